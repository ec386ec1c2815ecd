"""The training tests' shop with all four systems: its project file, and `shortlist-train` on it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from shortlist_training.cli import app

SOURCES = {
    "two_tower": {"hidden": [16, 8], "epochs": 2, "batch_users": 16, "uniform": 16, "items": {"id_dim": 4}},
    "pdn": {"folds": 2, "epochs": 1, "by_log": 8, "by_profile": 2, "neighbours": 5, "triggers": 6, "pool": 16},
    "item_interaction": {"dim": 8, "epochs": 3, "session_gap_s": 0},
}


def invoke(folder: Path, *arguments: str, runs: str) -> Result:
    """Call one command with the shop's project file."""
    return CliRunner().invoke(
        app, [arguments[0], str(folder / "shop.toml"), "--runs", str(folder / runs), *arguments[1:]]
    )


def write(shop: Any) -> None:  # noqa: ANN401 - conftest gives the shop no type
    """Write the shop's log with a user table and all four sections."""
    shop.settings |= SOURCES
    shop.settings["users"] = {"path": "users.parquet", "user": "customer", "keep": ["segment", "age"]}
    shop.settings["publish"]["golden_per_country"] = 2
    shop.settings["led"]["per_country_biases"] = True
    names = sorted({row[0] for row in shop.rows})
    columns = {"customer": names, "segment": ["gold", None, "iron"] * 30, "age": [20.0 + place for place in range(90)]}
    pq.write_table(pa.table(columns), shop.folder / "users.parquet")
    shop.write()


def run(folder: Path, version: str) -> Result:
    """Run every step and publish to `b` under this version, which also names the runs' folder."""
    result = invoke(folder, "run", "--version", version, "--bundles", str(folder / "b"), runs=version)
    assert result.exit_code == 0, result.output
    return result
