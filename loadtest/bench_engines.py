"""`python -m loadtest.bench_engines`: what each engine needs at equal recall, over a bundle's vectors or drawn ones.

The publisher's own sweep (`index_store.sweep`) measures every engine with one half of the queries; for each target the
fastest setting of each engine is then judged by the other half: recall, median and 99th percentile of single searches
on one thread, in turns, and the median of their CPU time, which other processes disturb least. Where ScaNN's index is
over principal axes, one over the vectors stands beside it. Graphs, which take minutes for a million items, are kept
with `--kept` and not built again. `--vectors` and `--users` take what `shortlist-train vectors` writes. Markdown goes
where `--markdown` says, for docs/engines.md.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, get_args

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from index_store.calibration import describe
from index_store.content import IndexPolicy
from index_store.engines import scann_engine
from index_store.index import Index
from index_store.index_entry import Space
from index_store.principal import principal_axes
from index_store.recall import Truth
from index_store.sweep import Goal, Measured, measured_efs, measured_exactly, measured_tree
from loadtest.bench_engines_graph import graph_of
from loadtest.bench_engines_input import Given, of_bundle, of_file, of_files, of_recipe

TARGETS = (0.90, 0.95, 0.99)
_EF_GRID = (100, 150, 200, 300, 400, 600, 800, 1200, 1700, 2500, 4000)
_ROUNDS = 3
_OVER_ALL = "scann over all dimensions"
_WARM_UP = 20


@dataclass(frozen=True)
class Judged:
    """An engine's fastest setting for a target, judged by other queries; times of single searches in microseconds."""

    engine: str
    target: float
    setting: str
    recall: float
    p50_us: float
    p99_us: float
    cpu_us: float


def main(
    bundle: Annotated[Path | None, typer.Option(help="Version directory of a bundle.", show_default=False)] = None,
    source: Annotated[str, typer.Option(help="Of the bundle: led, two_tower, pdn, or a type of pairs.")] = "led",
    country: Annotated[str, typer.Option(help="Of the bundle; the largest if not given.", show_default=False)] = "",
    vectors: Annotated[Path | None, typer.Option(help="A .npy file instead, cosine.", show_default=False)] = None,
    users: Annotated[Path | None, typer.Option(help="Ask with this .npy file; no cosine.", show_default=False)] = None,
    items: Annotated[int, typer.Option(help="Or so many drawn items.")] = 1_000_000,
    queries: Annotated[int, typer.Option(help="Half of them choose, the other half judges.")] = 600,
    m: Annotated[list[int] | None, typer.Option(help="M of graphs.", show_default="16, 32")] = None,
    space: Annotated[list[str] | None, typer.Option(help="Of graphs.", show_default="ip, l2_augmented")] = None,
    kept: Annotated[Path | None, typer.Option(help="Graphs are kept here for another run.", show_default=False)] = None,
    markdown: Annotated[Path | None, typer.Option(help="Append the table to this file.", show_default=False)] = None,
    *,
    graphs: Annotated[bool, typer.Option(help="Measure hnswlib, too: minutes for a million items.")] = True,
) -> None:
    """Measure and print."""
    console = Console(stderr=True)
    with console.status("gathering vectors and queries") as status:
        if bundle is not None:
            given = of_bundle(bundle, source, country, queries)
        elif vectors is not None:
            given = of_file(vectors, queries) if users is None else of_files(vectors, users, queries)
        else:
            given = of_recipe(items, queries)
        spaces = msgspec.convert(space or get_args(Space), tuple[Space, ...])
        policy = IndexPolicy(m=tuple(m or (16, 32)), ef_grid=_EF_GRID, spaces=spaces if graphs else ())
        measured, spent = _curves(given, policy, kept, status.update)
        status.update("judging")
        judged = _judge(given, measured, policy)
    console.print(_curve_table(measured))
    lines = markdown_of(given, judged, spent)
    typer.echo("\n".join(lines))
    if markdown is not None:
        with markdown.open("a") as file:
            file.write("\n".join(lines) + "\n\n")


def _curves(
    given: Given, policy: IndexPolicy, kept: Path | None, say: Callable[[str], None]
) -> tuple[list[Measured], dict[str, float]]:
    """All engines' curves up to the highest target, and how many seconds building and measuring took."""
    choosing = given.queries[: len(given.queries) // 2]
    goal = Goal(Truth.of(given.vectors, choosing, policy.recall_k), (), TARGETS[-1])
    measured, spent = measured_exactly(given.vectors, goal), {}
    for name, sweep in _sweeps(given, goal, policy, kept).items():
        say(f"{name}: building and measuring")
        started = time.perf_counter()
        measured += sweep()
        spent[name] = time.perf_counter() - started
    return measured, spent


def _sweeps(
    given: Given, goal: Goal, policy: IndexPolicy, kept: Path | None
) -> dict[str, Callable[[], list[Measured]]]:
    def graph(space: Space, m: int) -> list[Measured]:
        return measured_efs(graph_of(given.vectors, policy, space, m, kept), goal, policy, give_up_us=math.inf)

    sweeps: dict[str, Callable[[], list[Measured]]] = {}
    if scann_engine() is not None:
        sweeps["scann"] = partial(measured_tree, given.vectors, goal, policy)
        if principal_axes(given.vectors, policy.scann_energy, policy.scann_sample) is not None:
            over_all = replace(policy, scann_energy=1.0)
            sweeps[_OVER_ALL] = partial(measured_tree, given.vectors, goal, over_all)
    for space, m in product(policy.spaces, policy.ms):
        sweeps[f"hnsw {space} M {m}"] = partial(graph, space, m)
    return sweeps


def _judge(given: Given, measured: Sequence[Measured], policy: IndexPolicy) -> list[Judged]:
    """Let the other half of the queries judge each engine's fastest setting for each target."""
    queries = given.queries[len(given.queries) // 2 :]
    truth = Truth.of(given.vectors, queries, policy.recall_k)
    chosen: dict[tuple[float, str], Measured] = {}
    with_axes = any(each.point.principal for each in measured)
    for target, engine in product(TARGETS, (*policy.engines, _OVER_ALL)):
        reached = [each for each in measured if each.point.recall >= target]
        own = [each for each in reached if _named(each, with_axes=with_axes) == engine]
        if own:
            chosen[target, engine] = min(own, key=lambda each: each.point.search_us)
    times: dict[tuple[float, str], list[tuple[float, float]]] = {key: [] for key in chosen}
    recalls = {}
    for key, each in chosen.items():  # warms up, too
        each.built.set_effort(each.point)
        recalls[key] = truth.measure(each.built.index)[0]
    for _ in range(_ROUNDS):
        for key, each in chosen.items():
            each.built.set_effort(each.point)
            times[key] += _times(each.built.index, queries, policy.recall_k)
    return [
        Judged(engine, target, describe(each.point), recalls[target, engine], *_summary(times[target, engine]))
        for (target, engine), each in chosen.items()
    ]


def _times(index: Index, queries: NDArray[np.float32], k: int) -> list[tuple[float, float]]:
    """Wall and CPU microseconds of every query alone."""
    found = []
    for query in queries:
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        index.search(query[None], k)
        found.append(((time.perf_counter_ns() - wall) / 1000, (time.thread_time_ns() - cpu) / 1000))
    return found


def _summary(times: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    wall, cpu = np.array(times).T
    return float(np.median(wall)), float(np.percentile(wall, 99)), float(np.median(cpu))


def _named(each: Measured, *, with_axes: bool) -> str:
    """Name the engine, and ScaNN over the vectors apart where there is one over their principal axes."""
    point = each.point
    return _OVER_ALL if point.engine == "scann" and with_axes and point.principal is None else point.engine


def _curve_table(measured: Sequence[Measured]) -> Table:
    table = Table(title="Curves, of the queries that choose", title_justify="left")
    for name in ("setting", "recall", "µs per search"):
        table.add_column(name, justify="left" if name == "setting" else "right")
    for each in measured:
        table.add_row(describe(each.point), f"{each.point.recall:.4f}", f"{each.point.search_us:.0f}")
    return table


def markdown_of(given: Given, judged: Sequence[Judged], spent: Mapping[str, float]) -> list[str]:
    """One table: per target each engine's fastest setting, by rising median; then who won and by how much."""
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in spent.items())
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    lines = [
        f"**{given.name}**, {len(given.queries) // 2} queries judge; building and measuring: {took}; {load}",
        "",
        "| recall@100 | setting | recall, judged | p50 µs | p99 µs | CPU µs |",
        "|---|---|---|---|---|---|",
    ]
    for target in TARGETS:
        own = sorted((each for each in judged if each.target == target), key=lambda each: each.cpu_us)
        lines += [
            f"| {target:.2f} | {each.setting} | {each.recall:.3f} | {each.p50_us:.0f} | {each.p99_us:.0f} "
            f"| {each.cpu_us:.0f} |"
            for each in own
        ]
        if missing := sorted({each.engine for each in judged} - {each.engine for each in own}):
            lines.append(f"| {target:.2f} | {', '.join(missing)}: not reached | | | | |")
    return [*lines, "", *_winners(judged)]


def _winners(judged: Sequence[Judged]) -> list[str]:
    lines = []
    for target in TARGETS:
        own = sorted((each for each in judged if each.target == target), key=lambda each: each.cpu_us)
        others = ", ".join(f"{each.engine} costs {each.cpu_us / own[0].cpu_us:.1f} times as much" for each in own[1:])
        lines.append(f"- {target:.2f}: **{own[0].engine}** wins" + (f"; {others}" if others else ""))
    return lines


if __name__ == "__main__":
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # read when numpy is loaded, which it is: begin again
        pinned = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, "-m", "loadtest.bench_engines", *sys.argv[1:]], pinned)  # noqa: S606
    typer.run(main)
