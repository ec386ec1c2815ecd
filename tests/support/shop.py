"""A tiny generated shop: users who stay within one of a few groups of items."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shortlist_training.config import LoadedProject
from shortlist_training.workspace import Workspace

COLUMNS = ("customer", "sku", "when", "action", "land", "amount", "label")
GROUPS, GROUP_ITEMS = 4, 12


def rows(users: int = 90, seed: int = 0) -> list[tuple[str, str, datetime, str, str, int, str]]:
    """Generate interactions; users of every third number live in NL, the others in BE."""
    rng = np.random.default_rng(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    found = []
    for user in range(users):
        group = user % GROUPS
        for step in range(int(rng.integers(6, 11))):
            item = f"g{group}-{int(rng.integers(GROUP_ITEMS)):02}"
            when = start + timedelta(hours=int(rng.integers(2000)), minutes=step)
            action = "buy" if rng.random() < 0.3 else "see"
            land = "Nederland" if user % 3 == 0 else "Belgie"
            found.append((f"c{user:03}", item, when, action, land, int(rng.integers(1, 5)), f"item {item}"))
    return found


def write_parquet(path: Path, found: list[tuple[Any, ...]]) -> None:
    """Write rows as a table with `COLUMNS`."""
    columns = list(zip(*found, strict=True))
    pq.write_table(pa.table({name: list(values) for name, values in zip(COLUMNS, columns, strict=True)}), path)


def write_csv(path: Path, found: list[tuple[Any, ...]]) -> None:
    """Write rows with a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(found)


def settings(table: str = "log.parquet") -> dict[str, Any]:
    """Describe the shop's log as a project file would."""
    return {
        "name": "shop",
        "interactions": {
            "path": table,
            "user": "customer",
            "item": "sku",
            "time": "when",
            "quantity": "amount",
            "type": {"column": "action", "mapping": {"see": "VIEW", "buy": "PURCHASE"}},
            "country": {"column": "land", "mapping": {"Nederland": "NL", "Belgie": "BE"}},
        },
        "items": {"title": "label"},
        "split": {"validation": 0.2, "test": 0.2, "min_items": 3},
        "cooccurrence": {"min_count": 1},
        "svd": {"dim": 8},
        "led": {"epochs": 3, "batch_users": 16, "negatives": 20, "threads": 1},
        "evaluate": {"ease_lambdas": [5.0, 20.0], "bootstrap": 50},
        "publish": {"golden_k": 10, "calibration_queries": 20},
    }


def toml(value: object) -> str:
    """Write a value in TOML's inline form."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(inner) for inner in value) + "]"
    return json.dumps(value)


class Shop:
    """One folder with the shop's log and a project file that a test may change before it is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = settings()
        self.rows = rows()

    def write(self, table: str = "log.parquet") -> Path:
        """Write the log and the project file; gives the project file's path."""
        self.settings["interactions"]["path"] = table
        (write_csv if table.endswith(".csv") else write_parquet)(self.folder / table, self.rows)
        return self.write_project()

    def write_project(self) -> Path:
        """Write the project file alone; gives its path."""
        path = self.folder / "shop.toml"
        path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in self.settings.items()), encoding="utf-8")
        return path

    def load(self, table: str = "log.parquet") -> LoadedProject:
        """Write, and read as a run does."""
        return LoadedProject.read(self.write(table))

    def workspace(self, name: str = "runs", table: str = "log.parquet") -> Workspace:
        """Write, and open the folder of a run."""
        return Workspace(self.folder / name / "shop", self.load(table))
