"""DuckDB as the steps open it: bounded memory, and what does not fit goes to the run directory."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shortlist_training.config import CooccurrenceConfig, LoadedProject
from shortlist_training.cooccurrence import pair_counts
from shortlist_training.steps import learning
from shortlist_training.workspace import Workspace


def test_pairs_beyond_its_memory_are_counted_alike(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A join of more than the engine may hold gives what it gives with room; it would spill beside the run's files."""
    shop.write()
    work = Workspace(shop.folder / "run", LoadedProject.read(shop.folder / "shop.toml"))
    work.folder.mkdir()
    _write_log(work.path("interactions.parquet"))
    monkeypatch.setattr(learning, "DATABASE_MEMORY", "2GB")
    roomy = _counted(work)
    monkeypatch.setattr(learning, "DATABASE_MEMORY", "64MB")
    assert _counted(work).equals(roomy)
    database: Any = learning.database(work)
    limit, folder = database.raw_sql(
        "select current_setting('memory_limit'), current_setting('temp_directory')"
    ).fetchone()
    assert limit == "61.0 MiB"
    assert Path(folder) == work.path("spilled")


def _counted(work: Workspace) -> pa.Table:
    log = learning.database(work).read_parquet(work.path("interactions.parquet"))
    return pair_counts(log, CooccurrenceConfig(min_count=1), 1800).to_pyarrow()


def _write_log(path: Path) -> None:
    rng, rows = np.random.default_rng(0), 40_000
    table = {
        "user": [f"u{user}" for user in np.sort(rng.integers(rows // 10, size=rows))],
        "item": rng.integers(5000, size=rows).astype(np.uint64),
        "time": pa.array(np.arange(rows) * 1000, pa.timestamp("ms")),
        "type": np.zeros(rows, dtype=np.int8),
        "country": ["FR"] * rows,
    }
    pq.write_table(pa.table(table), path)
