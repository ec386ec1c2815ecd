"""`python -m loadtest.draw_log --items N --out DIR`: an interaction log over N drawn items, for `shortlist-train`.

Writes events.parquet, items.parquet and project.toml. The catalogue is `loadtest.catalogue.REFERENCE` of that size, the
log is `loadtest.interaction_log`'s; the same size and seed give the same tables. Needs pyarrow, as training does.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from loadtest.catalogue import REFERENCE, draw
from loadtest.interaction_log import TYPES, Events, Log, LogRecipe
from loadtest.log_project import SourceName, project

_CLUSTERS_PER_CATEGORY = 30
_ITEMS_PER_MERCHANT = 1_000


def main(
    out: Annotated[Path, typer.Option(help="Directory to write to.")],
    items: Annotated[int, typer.Option(min=100, help="Items of the catalogue.")] = 1_000_000,
    interactions_per_item: Annotated[float, typer.Option(min=1.0, help="On average.")] = 12.0,
    seed: Annotated[int, typer.Option(min=0)] = 11,
    source: Annotated[
        list[SourceName] | None, typer.Option(help="Trained beside LED; may be repeated.", show_default=False)
    ] = None,
) -> None:
    """Draw and write."""
    console = Console(stderr=True)
    with console.status("drawing the catalogue"):
        catalogue = draw(REFERENCE.of_size(items))
        log = Log(catalogue, LogRecipe(interactions_per_item=interactions_per_item, seed=seed))
        del catalogue  # the log keeps what it needs of it
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(item_table(log, seed), out / "items.parquet", compression="zstd")
    counts = _write_events(log, items, out / "events.parquet", console)
    (out / "project.toml").write_text(project(items, log.users, source or ()), encoding="utf-8")
    typer.echo(
        f"{out}: {log.users:,} users, {counts.sum():,} interactions with {(counts > 0).sum():,} items "
        f"({(counts >= 3).sum() / items:.1%} have 3 and more, the most popular {counts.max():,}). "  # noqa: PLR2004
        f"Next: shortlist-train run {out / 'project.toml'}"
    )


def item_table(log: Log, seed: int) -> pa.Table:
    """Describe the items: a category is some alike clusters, merchants and prices are drawn."""
    rng = np.random.default_rng(seed)
    heads = log.centres[: max(1, len(log.centres) // _CLUSTERS_PER_CATEGORY)]
    categories = (log.centres @ heads.T).argmax(axis=1)[log.clusters]
    count = len(log.clusters)
    return pa.table(
        {
            "item": np.arange(count),
            "category": _named("category", categories),
            "merchant": _named("merchant", rng.integers(max(1, count // _ITEMS_PER_MERCHANT), size=count)),
            "price": np.round(np.exp(rng.normal(3.0, 1.0, count)), 2),
        }
    )


def _named(kind: str, numbers: NDArray[np.int64]) -> pa.Array:
    values, places = np.unique(numbers, return_inverse=True)
    names = pa.array([f"{kind} {value}" for value in values])
    return pa.DictionaryArray.from_arrays(places.astype(np.int32), names).cast(pa.string())


def _write_events(log: Log, items: int, path: Path, console: Console) -> NDArray[np.int64]:
    """Write the log part by part, and count each item's interactions (N,)."""
    counts = np.zeros(items, dtype=np.int64)
    columns = TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar, pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        users = bar.add_task("users", total=log.users)
        for part in log.parts():
            writer.write_table(_table(part))
            counts += np.bincount(part.items, minlength=items)
            bar.update(users, completed=int(part.users[-1]) + 1)
    return counts


_SCHEMA = pa.schema(
    {
        "user": pa.int64(),
        "item": pa.int64(),
        "time": pa.timestamp("ms"),
        "event": pa.dictionary(pa.int8(), pa.string()),
    }
)


def _table(part: Events) -> pa.Table:
    events = pa.DictionaryArray.from_arrays(part.types, pa.array(TYPES))
    return pa.table([part.users, part.items, part.times_ms, events], schema=_SCHEMA)


if __name__ == "__main__":
    typer.run(main)
