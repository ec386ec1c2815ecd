"""`python -m loadtest.bench_order`: whether it matters in which order an HNSW graph's vectors are inserted.

A row's place in memory follows the order of insertion, so neighbours that are inserted one after another may share
pages and cache lines. The same vectors are inserted as they are numbered, most popular first, and cluster by cluster,
on one thread; the graphs are then searched in turns, and for each target stands the smallest ef that reaches it.
"""

import os
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, get_args

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from index_store.hnsw import HnswIndex
from index_store.index_entry import Space
from index_store.recall import Truth
from loadtest.bench_content import user_vectors
from loadtest.catalogue import REFERENCE, Catalogue, draw
from loadtest.wide import wide

TARGETS = (0.90, 0.95)
_EFS = [round(100 * 1.08**step) for step in range(60)]
_HISTORY, _SEED, _K, _ROUNDS = 20, 17, 100, 5
_WIDE = 100


@dataclass(frozen=True)
class _Ordered:
    """A graph whose rows are those of `truth`, in the order they were inserted."""

    index: HnswIndex
    truth: Truth


def main(
    items: Annotated[int, typer.Option(help="Drawn items.")] = 100_000,
    queries: Annotated[int, typer.Option(help="Users that ask.")] = 200,
    space: Annotated[str, typer.Option(help="ip or l2_augmented.")] = "l2_augmented",
    m: Annotated[int, typer.Option(help="M of the graphs.")] = 16,
    ef_construction: Annotated[int, typer.Option(help="Breadth of insertion.")] = 200,
) -> None:
    """Build, search, print."""
    catalogue = draw(REFERENCE.of_size(items))
    vectors = np.column_stack([catalogue.vectors, catalogue.biases]).astype(np.float32)
    asked = user_vectors(catalogue.vectors, catalogue.histories(queries, (_HISTORY, _HISTORY), _SEED))
    graphs: dict[str, _Ordered] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for name, order in progress.track(orders(catalogue).items(), description="inserting"):
            rows = vectors[order]
            index = HnswIndex.build(rows, _space(space), m=m, ef_construction=ef_construction, seed=_SEED)
            graphs[name] = _Ordered(index, Truth.of(rows, asked, _K))
    table = Table(title=f"{items:,} items, {space}, M {m}; {os.cpu_count()} cores", title_justify="left")
    for heading in ("recall@100", "inserted", "ef", "recall", "CPU us", "of as numbered"):
        table.add_column(heading, justify="left" if heading == "inserted" else "right")
    for target in TARGETS:
        for row in _compared(graphs, target):
            table.add_row(f"{target:.2f}", *row)
    wide(_WIDE).print(table)


def orders(catalogue: Catalogue) -> Mapping[str, NDArray[np.int64]]:
    """Every order of insertion by its name; the first is the one that the others are compared with."""
    return {
        "as numbered": np.arange(len(catalogue.vectors)),
        "most popular first": np.argsort(-catalogue.popularity, kind="stable"),
        "by cluster": catalogue.by_cluster,
    }


def _space(name: str) -> Space:
    try:
        found: Space = msgspec.convert(name, Space)
    except msgspec.ValidationError as error:
        message = f"expected {' or '.join(get_args(Space))}, found {name!r}"
        raise typer.BadParameter(message, param_hint="--space") from error
    return found


def _compared(graphs: Mapping[str, _Ordered], target: float) -> list[list[str]]:
    """A row for each graph: the smallest ef of the grid that reaches the target, and the median CPU of some turns."""
    found = {name: _smallest(each, target) for name, each in graphs.items()}
    times: dict[str, list[float]] = {name: [] for name, ef in found.items() if ef}
    recalls = {}
    for _ in range(_ROUNDS):
        for name, spent in times.items():
            graphs[name].index.set_ef(found[name])
            recalls[name], cpu_us = graphs[name].truth.measure(graphs[name].index)
            spent.append(cpu_us)
    medians = {name: float(np.median(each)) for name, each in times.items()}
    first = medians.get(next(iter(graphs)))
    return [
        [
            name,
            str(found[name]),
            f"{recalls[name]:.3f}",
            f"{medians[name]:.0f}",
            f"{medians[name] / first:.2f}" if first else "",
        ]
        if name in medians
        else [name, f"over {_EFS[-1]}", "", "", ""]
        for name in graphs
    ]


def _smallest(ordered: _Ordered, target: float) -> int:
    """Find the smallest of the efs that reaches the target, 0 if none does: recall rises with ef."""

    def reaches(ef: int) -> bool:
        ordered.index.set_ef(ef)
        return ordered.truth.measure(ordered.index)[0] >= target

    place = bisect_left(_EFS, True, key=reaches)  # noqa: FBT003 - False before, True from there on
    return _EFS[place] if place < len(_EFS) else 0


if __name__ == "__main__":
    typer.run(main)
