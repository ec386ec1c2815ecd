"""UCI Online Retail (Chen 2015) as a project, for the reproduction: the demo's cleaning rules, without its training."""

from pathlib import Path

import msgspec

from shortlist_training.config import LoadedProject, Project

TABLE = "transactions.parquet"

COUNTRIES = {
    "Australia": "AU",
    "Austria": "AT",
    "Bahrain": "BH",
    "Belgium": "BE",
    "Brazil": "BR",
    "Canada": "CA",
    "Channel Islands": "XC",
    "Cyprus": "CY",
    "Czech Republic": "CZ",
    "Denmark": "DK",
    "EIRE": "IE",
    "European Community": "EU",
    "Finland": "FI",
    "France": "FR",
    "Germany": "DE",
    "Greece": "GR",
    "Hong Kong": "HK",
    "Iceland": "IS",
    "Israel": "IL",
    "Italy": "IT",
    "Japan": "JP",
    "Lebanon": "LB",
    "Lithuania": "LT",
    "Malta": "MT",
    "Netherlands": "NL",
    "Norway": "NO",
    "Poland": "PL",
    "Portugal": "PT",
    "RSA": "ZA",
    "Saudi Arabia": "SA",
    "Singapore": "SG",
    "Spain": "ES",
    "Sweden": "SE",
    "Switzerland": "CH",
    "USA": "US",
    "United Arab Emirates": "AE",
    "United Kingdom": "GB",
    "Unspecified": "ZZ",
}

NOT_A_PRODUCT = "^(POST|DOT|M|D|S|C2|B|BANK CHARGES|AMAZONFEE|CRUK|PADS|GIFT_[0-9_]+)$"

SETTINGS = {
    "name": "online-retail",
    "interactions": {
        "path": TABLE,
        "user": "CustomerID",
        "item": "StockCode",
        "time": "InvoiceDate",
        "quantity": "Quantity",
        "item_case": "upper",
        "item_type": "string",
        "deduplicate": [
            "InvoiceNo",
            "StockCode",
            "Description",
            "Quantity",
            "InvoiceDate",
            "UnitPrice",
            "CustomerID",
            "Country",
        ],
        "type": {"constant": "PURCHASE"},
        "country": {"column": "Country", "mapping": COUNTRIES},
    },
    "items": {"title": "Description", "price": "UnitPrice"},
    "drop": [
        {"name": "cancelled invoices (C...)", "column": "InvoiceNo", "matches": "^C"},
        {"name": "bad-debt adjustments (A...)", "column": "InvoiceNo", "matches": "^A"},
        {"name": "no customer", "column": "CustomerID", "is_null": True},
        {"name": "not a product", "column": "StockCode", "matches": NOT_A_PRODUCT},
        {"name": "quantity not positive", "column": "Quantity", "at_most": 0},
        {"name": "price not positive", "column": "UnitPrice", "at_most": 0},
    ],
}


def project(folder: Path) -> LoadedProject:
    """Describe the table in `folder` for `ingest`."""
    return LoadedProject(project=msgspec.convert(SETTINGS, Project), folder=folder, source=SETTINGS)
