"""Ingest: rules, types, countries, ids and attributes, and an error for everything that can be wrong."""

import hashlib
from datetime import datetime
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shortlist_training.config import LoadedProject
from shortlist_training.errors import ConfigError, DataError
from shortlist_training.ingest import Ingested, ingest
from shortlist_training.items import item_id, item_ids

NOON = datetime(2024, 5, 1, 12)  # noqa: DTZ001  # logs are read as UTC without saying so
ROW = ("c1", "sku1", NOON, "see", "Nederland", 1, "one")


def ingested(loaded: LoadedProject) -> Ingested:
    return ingest(ibis.duckdb.connect(), loaded)


def changed(**values: Any) -> tuple[Any, ...]:
    names = ("customer", "sku", "when", "action", "land", "amount", "label")
    return tuple(values.get(name, value) for name, value in zip(names, ROW, strict=True))


def test_rules_apply_in_order_and_every_dropped_row_is_counted_once(shop: Any) -> None:
    """A row that several rules match counts under the first; nulls and duplicates come after the rules."""
    shop.rows = [
        ROW,
        ROW,
        changed(sku="POST"),
        changed(sku="POST", amount=-1),
        changed(amount=-1),
        changed(amount=99),
        changed(label=None),
        changed(action="void"),
        changed(land="Nowhere"),
        changed(customer=None),
        changed(sku=None),
        changed(when=None),
    ]
    shop.settings["interactions"]["deduplicate"] = ["customer", "sku", "when"]
    shop.settings["drop"] = [
        {"name": "post", "column": "sku", "matches": "^POST$"},
        {"name": "negative", "column": "amount", "at_most": 0},
        {"name": "huge", "column": "amount", "at_least": 50},
        {"name": "nameless", "column": "label", "is_null": True},
        {"name": "void", "column": "action", "equals": "void"},
        {"name": "nowhere", "column": "land", "in": ["Nowhere", "Elsewhere"]},
    ]
    report = ingested(shop.load()).report
    assert report.dropped == [
        ("post", 2),
        ("negative", 1),
        ("huge", 1),
        ("nameless", 1),
        ("void", 1),
        ("nowhere", 1),
        ("no user", 1),
        ("no item", 1),
        ("no time", 1),
        ("duplicate", 1),
    ]
    assert (report.read, report.kept) == (12, 1)


def test_canonical_columns(shop: Any) -> None:
    """User, item, time, type, country and quantity come out named, typed, mapped and in order."""
    shop.rows = [changed(customer="c2", amount=3), changed(action="buy", land="Belgie"), ROW]
    table = ingested(shop.load()).interactions.to_pyarrow()
    assert table.to_pylist() == [
        {"user": "c1", "item": "sku1", "time": NOON, "type": 1, "country": "NL", "quantity": 1.0},
        {"user": "c1", "item": "sku1", "time": NOON, "type": 5, "country": "BE", "quantity": 1.0},
        {"user": "c2", "item": "sku1", "time": NOON, "type": 1, "country": "NL", "quantity": 3.0},
    ]


def test_constant_type_and_country(shop: Any) -> None:
    """A log of one kind from one country needs no columns for them."""
    shop.settings["interactions"] |= {"type": {"constant": "CART"}, "country": {"constant": "FR"}}
    table = ingested(shop.load()).interactions.to_pyarrow()
    assert set(table["type"].to_pylist()) == {4}
    assert set(table["country"].to_pylist()) == {"FR"}


def test_csv_and_parquet_give_the_same(shop: Any) -> None:
    """The same rows as CSV become the same interactions and items."""
    from_parquet, from_csv = ingested(shop.load("log.parquet")), ingested(shop.load("log.csv"))
    assert from_parquet.interactions.to_pyarrow().to_pylist() == from_csv.interactions.to_pyarrow().to_pylist()
    assert from_parquet.items.to_pylist() == from_csv.items.to_pylist()
    assert from_parquet.report.fingerprint != from_csv.report.fingerprint


def test_string_item_type_keeps_leading_zeros_of_a_csv(shop: Any) -> None:
    """With item_type "string" the key 00123 does not turn into the number 123."""
    shop.settings["interactions"]["item_type"] = "string"
    shop.rows = [changed(sku="00123"), changed(sku="00124")]
    assert ingested(shop.load("log.csv")).items["item"].to_pylist() == ["00123", "00124"]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000)])
def test_integer_times(shop: Any, unit: str, factor: int) -> None:
    """Integer times count the project's unit since 1970."""
    shop.settings["interactions"]["time_unit"] = unit
    shop.rows = [changed(when=1_714_564_800 * factor)]
    assert ingested(shop.load()).interactions.to_pyarrow()["time"].to_pylist() == [NOON]


def test_string_keys_hash_to_stable_ids(shop: Any) -> None:
    """item_id is the first 8 bytes, little endian, of BLAKE2b with an 8-byte digest over the UTF-8 key."""
    shop.rows = [changed(sku="café")]
    items = ingested(shop.load()).items
    digest = hashlib.blake2b("café".encode(), digest_size=8).digest()
    assert items["item_id"].to_pylist() == [int.from_bytes(digest, "little")] == [item_id("café")]


def test_integer_items_keep_their_value(shop: Any) -> None:
    """Integer item columns are the ids."""
    shop.rows = [changed(sku=7), changed(sku=2**62)]
    items = ingested(shop.load()).items
    assert items["item"].to_pylist() == items["item_id"].to_pylist() == [7, 2**62]


def test_two_keys_with_one_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash collision names both keys."""
    monkeypatch.setattr("shortlist_training.items.item_id", lambda _: 1)
    with pytest.raises(DataError, match="'a' and 'b' have the same 64-bit id"):
        item_ids(["a", "b"])
    np.testing.assert_array_equal(item_ids(np.array([3, 4], dtype=np.uint64)), [3, 4])


def test_item_case_joins_spellings(shop: Any) -> None:
    """With item_case "upper" sku1a and SKU1A are one item, before the rules see them."""
    shop.settings["interactions"]["item_case"] = "upper"
    shop.settings["drop"] = [{"name": "post", "column": "sku", "equals": "POST"}]
    shop.rows = [changed(sku="sku1a"), changed(sku="SKU1A"), changed(sku="post")]
    found = ingested(shop.load())
    assert found.items["item"].to_pylist() == ["SKU1A"]
    assert found.report.dropped[0] == ("post", 1)


def test_the_most_frequent_title_wins_and_ties_go_to_the_smallest(shop: Any) -> None:
    """An item's title is its most frequent one without spaces around it; unknown titles are null."""
    labels = [("a", "x "), ("a", "x"), ("a", "b"), ("t", "z"), ("t", "y"), ("n", None)]
    shop.rows = [changed(sku=sku, label=label) for sku, label in labels]
    items = ingested(shop.load()).items
    assert dict(zip(items["item"].to_pylist(), items["title"].to_pylist(), strict=True)) == {
        "a": "x",
        "n": None,
        "t": "y",
    }


def test_item_table_and_user_table(shop: Any) -> None:
    """Attributes may come from a table of their own, keys in the log's case; users keep the columns asked for."""
    pq.write_table(
        pa.table({"code": ["SKU1", "other"], "maker": ["Ann", "Bob"], "group": ["mugs", "cups"], "eur": [2.5, 1.0]}),
        shop.folder / "items.parquet",
    )
    pq.write_table(pa.table({"id": ["c1", "c9"], "age": [30, 40]}), shop.folder / "users.parquet")
    shop.settings["interactions"]["item_case"] = "lower"
    shop.settings["items"] = {
        "path": "items.parquet",
        "item": "code",
        "merchant": "maker",
        "category": "group",
        "price": "eur",
    }
    shop.settings["users"] = {"path": "users.parquet", "user": "id", "keep": ["age"]}
    shop.rows = [ROW]
    found = ingested(shop.load())
    described = {name: value for name, value in found.items.to_pylist()[0].items() if name != "item_id"}
    assert described == {"item": "sku1", "merchant": "Ann", "category": "mugs", "price": 2.5}
    assert found.users is not None
    assert found.users.to_pyarrow().to_pylist() == [{"user": "c1", "age": 30}]


def test_a_column_that_the_user_table_lacks_is_named(shop: Any) -> None:
    """A feature asked for in users.keep is looked for in the users' own table, whose columns the error lists."""
    pq.write_table(pa.table({"id": ["c1"], "age": [30]}), shop.folder / "users.parquet")
    shop.settings["users"] = {"path": "users.parquet", "user": "id", "keep": ["age", "colour"]}
    with pytest.raises(ConfigError, match=r"users\.keep = 'colour': users\.parquet .* it has id, age"):
        ingested(shop.load())


def test_report_counts_countries_users_and_items(shop: Any) -> None:
    """The report's totals are those of the generated log."""
    report = ingested(shop.load()).report
    assert report.kept == len(shop.rows) == sum(report.countries.values())
    assert report.users == len({row[0] for row in shop.rows})
    assert report.items == len({row[1] for row in shop.rows})
    assert sorted(report.countries) == ["BE", "NL"]


UNKNOWN_COLUMNS: list[tuple[str, dict[str, Any], str]] = [
    ("interactions", {"user": "who"}, "interactions.user = 'who'"),
    ("interactions", {"quantity": "pieces"}, "interactions.quantity = 'pieces'"),
    ("interactions", {"deduplicate": ["line"]}, "interactions.deduplicate = 'line'"),
    ("interactions", {"type": {"column": "kind", "mapping": {"a": "VIEW"}}}, r"interactions.type.column = 'kind'"),
    ("items", {"title": "name"}, "items.title = 'name'"),
]


@pytest.mark.parametrize(("section", "change", "message"), UNKNOWN_COLUMNS)
def test_unknown_columns_are_named_with_those_there_are(
    shop: Any, section: str, change: dict[str, Any], message: str
) -> None:
    """A column that the table does not have is a config error that lists the table's columns."""
    shop.settings[section] |= change
    with pytest.raises(ConfigError, match=message + ".*it has customer, sku, when, action, land, amount, label"):
        ingested(shop.load())


def test_unknown_column_of_a_rule(shop: Any) -> None:
    """A rule on a column that is not there is named."""
    shop.settings["drop"] = [{"name": "free", "column": "price", "equals": 0}]
    with pytest.raises(ConfigError, match="drop rule 'free' = 'price'"):
        ingested(shop.load())


def test_missing_and_foreign_tables(shop: Any) -> None:
    """A table that is not there, of another kind, or not what its name says is a data error."""
    shop.settings["interactions"]["path"] = "gone.parquet"
    with pytest.raises(DataError, match=r"there is no table .*gone\.parquet"):
        ingested(LoadedProject.read(shop.write_project()))
    (shop.folder / "log.xlsx").write_bytes(b"x")
    shop.settings["interactions"]["path"] = "log.xlsx"
    with pytest.raises(DataError, match=r"tables are \.parquet or \.csv files"):
        ingested(LoadedProject.read(shop.write_project()))
    (shop.folder / "bad.parquet").write_bytes(b"not parquet")
    shop.settings["interactions"]["path"] = "bad.parquet"
    with pytest.raises(DataError, match=r"bad\.parquet cannot be read"):
        ingested(LoadedProject.read(shop.write_project()))


def test_unmapped_values_are_listed(shop: Any) -> None:
    """Types and countries without a mapping are data errors with their counts."""
    shop.rows = [ROW, changed(action="stare"), changed(action="stare")]
    with pytest.raises(DataError, match=r"interactions\.type: .*'stare' \(2 rows\)"):
        ingested(shop.load())
    shop.rows = [ROW, changed(land="Atlantis")]
    with pytest.raises(DataError, match=r"interactions\.country: .*'Atlantis' \(1 rows\)"):
        ingested(shop.load())
    shop.settings["interactions"]["country"] = {"column": "land"}
    with pytest.raises(DataError, match="'Nederland'"):
        ingested(shop.load())


def test_nothing_left_names_the_hungriest_rule(shop: Any) -> None:
    """When the rules drop everything, the error names the rule that dropped most."""
    shop.settings["drop"] = [{"name": "all of it", "column": "amount", "at_least": 0}]
    with pytest.raises(DataError, match="no row is left; what dropped most is 'all of it'"):
        ingested(shop.load())


def test_times_that_are_none(shop: Any) -> None:
    """Text that is not a time is a data error with an example; a column that cannot be one is a config error."""
    shop.rows = [changed(when="2024-05-01 12:00:00"), changed(when="yesterday")]
    with pytest.raises(DataError, match=r"1 rows of 'when' are no time, e\.g\. 'yesterday'"):
        ingested(shop.load())
    shop.rows = [changed(when=1.5)]
    with pytest.raises(ConfigError, match="column 'when' is float64; it must be a timestamp"):
        ingested(shop.load())


def test_items_that_cannot_be_ids(shop: Any) -> None:
    """Negative or fractional item columns are refused."""
    shop.rows = [changed(sku=-4)]
    with pytest.raises(DataError, match="holds -4"):
        ingested(shop.load())
    shop.rows = [changed(sku=1.5)]
    with pytest.raises(ConfigError, match="item keys are strings or integers"):
        ingested(shop.load())


def test_a_condition_that_does_not_fit_its_column_is_named(shop: Any) -> None:
    """A number is not compared with a text column: the rule, the column and its type are in the message."""
    shop.settings["drop"] = [{"name": "cheap", "column": "label", "at_most": 0}]
    with pytest.raises(ConfigError, match=r"drop rule 'cheap': .* column 'label', which is string"):
        ingested(shop.load())


def test_values_that_the_engine_refuses_are_bad_data(shop: Any) -> None:
    """A time far outside of what a timestamp can hold is an error of the data, in one line."""
    shop.settings["interactions"]["time_unit"] = "s"
    shop.rows = [changed(when=99_999_999_999_999_999)]
    with pytest.raises(DataError, match="the values cannot be processed"):
        ingested(shop.load()).interactions.to_pyarrow()
