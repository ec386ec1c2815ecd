"""`python -m loadtest.bench_sources`: what each source costs in process, and the sweep over selectivity and exclusions.

One thread, one synthetic country (`loadtest.synthetic`), no transport. CPU is the calling thread's, which does all the
work; encode and search are the sources' own stopwatch, made to read CPU (whole microseconds), the rest is what is left:
looking up rows, fusing, the answer. All but p99 are medians of single calls, so that a call which another process
interrupted does not count.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from index_store.country import Country
from index_store.grouping import best_places
from loadtest.synthetic import HISTORY, SHARES, SyntheticItems, synthetic_world
from loadtest.synthetic_encoders import synthetic_encoders
from loadtest.wide import wide
from server.answer import Answer
from server.eligibility import eligibility
from server.fusion import Ranked, fuse
from server.profiles import FusionName, Profile, SourceName, SourceSetting
from server.query import Filters, History, ItemRefs, Query
from server.retrieval import Retriever
from server.sources import reporting
from server.sources.base import NO_ROWS

_SOURCES: tuple[SourceName, ...] = ("led", "two_tower", "pdn", "item_interaction", "similar", "popular")
_FUSIONS: tuple[FusionName, ...] = ("reciprocal_rank", "weighted", "quota", "single")
_K = 100
_EXCLUSIONS = (0, 100, 1_000, 10_000)
_WARM_UP = 30
_SEED = 11
_WIDE = 120


def main(
    items: Annotated[int, typer.Option(help="Catalogue size.")] = 1_000_000,
    ef: Annotated[int, typer.Option(help="Search breadth of the graph.")] = 256,
    calls: Annotated[int, typer.Option(help="Timed calls per line.")] = 300,
    cache: Annotated[Path, typer.Option(help="Where the graph is kept between runs.")] = Path("build/bench"),
    *,
    sweep: Annotated[bool, typer.Option(help="Also sweep selectivity and exclusions.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of tables.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw the sweep into this PNG.", show_default=False)] = None,
) -> None:
    """Measure, print, and keep nothing but the graph."""
    console = Console(stderr=True)
    reporting.time = SimpleNamespace(perf_counter_ns=time.thread_time_ns)  # type: ignore[attr-defined, assignment]
    load = os.getloadavg()[0]
    with console.status("drawing items") as status:
        drawn, country = synthetic_world(items, ef, cache, status.update)
        served = _retriever(country)
        queries = _queries(drawn, country, calls)
        status.update("timing sources")
        tables = {"sources": _sources(served, queries), "fusion": _fusions(items, calls)}
        if sweep:
            status.update("sweeping")
            tables["filters"] = _sweep(served, country, queries[: max(calls // 6, 10)])
    console.print(f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} cores")
    _print(tables, as_json=as_json)
    if plot is not None and sweep:
        # needed by nobody who only wants the numbers
        importlib.import_module("loadtest.bench_plot").draw_sweep(tables["filters"], plot)


def _retriever(country: Country) -> Retriever:
    profiles: dict[str, Profile] = {name: Profile(name, (SourceSetting(name),), "single") for name in _SOURCES}
    profiles["fused"] = Profile("fused", tuple(SourceSetting(name) for name in _SOURCES[:4]))
    bundle = SimpleNamespace(countries={country.code: country}, sources=_SOURCES[:4])
    return Retriever(cast("Any", bundle), synthetic_encoders(), profiles)


def _queries(items: SyntheticItems, country: Country, count: int) -> list[Query]:
    rng = np.random.default_rng(_SEED)
    queries = []
    for _ in range(count):
        ids = country.catalog.item_ids[items.history(rng, HISTORY)]
        history = History(_refs(ids), rng.choice([1, 4], HISTORY), np.zeros(HISTORY, dtype=np.int64))
        queries.append(Query(country.code, history, _K, time_ms=0, features={"age": float(rng.integers(18, 80))}))
    return queries


def _refs(ids: NDArray[np.uint64]) -> ItemRefs:
    return ItemRefs(len(ids), ids, np.arange(len(ids)), (), NO_ROWS)


def _timed(call: Callable[[Query], Answer], lines: Sequence[Sequence[Query]]) -> list[dict[str, float]]:
    """Latency, CPU and its split of each line's queries, microseconds.

    Lines take turns, so that they share the noise, each at another query: the same one again would find warm caches.
    """
    for query in (query for line in lines for query in line[:_WARM_UP]):
        call(query)
    parts: list[list[tuple[float, ...]]] = [[] for _ in lines]
    for turn in range(len(lines[0])):
        for number, (line, taken) in enumerate(zip(lines, parts, strict=True)):
            taken.append(_once(call, line[(turn + number * len(line) // len(lines)) % len(line)]))
    found = []
    for taken in parts:
        wall, cpu, encode, search, rest = np.median(taken, axis=0).tolist()
        p99 = float(np.percentile([part[0] for part in taken], 99))
        split = {"encode_us": encode, "search_us": search, "rest_us": rest}
        found.append({"p50_us": wall, "p99_us": p99, "cpu_us": cpu, **split})
    return found


def _once(call: Callable[[Query], Answer], query: Query) -> tuple[float, ...]:
    """Wall time of one call, its CPU, and the CPU's parts."""
    start, cpu_start = time.perf_counter_ns(), time.thread_time_ns()
    answer = call(query)
    cpu = (time.thread_time_ns() - cpu_start) / 1000
    wall = (time.perf_counter_ns() - start) / 1000
    encode = sum(report.encode_us for report in answer.reports)
    search = sum(report.search_us for report in answer.reports)
    return wall, cpu, encode, search, cpu - encode - search


def _sources(served: Retriever, queries: Sequence[Query]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in (*_SOURCES, "fused"):
        (timed,) = _timed(served.answer, [[msgspec.structs.replace(query, profile=name) for query in queries]])
        rows.append({"source": name, **timed, "per_core_second": 1e6 / timed["cpu_us"]})
    return rows


def _fusions(items: int, calls: int) -> list[dict[str, object]]:
    """Four sources of 500 candidates."""
    rng = np.random.default_rng(_SEED)
    scores = np.linspace(1.0, 0.0, 500, dtype=np.float32)
    lists = [Ranked(rng.choice(items, 500, replace=False), scores, quota=250) for _ in range(4)]
    rows: list[dict[str, object]] = []
    for fusion in _FUSIONS:
        fuse(lists, fusion)
        spent = []
        for _ in range(calls):
            start = time.thread_time_ns()
            fuse(lists, fusion)
            spent.append((time.thread_time_ns() - start) / 1000)
        rows.append({"fusion": fusion, "cpu_us": float(np.median(spent))})
    return rows


def _sweep(served: Retriever, country: Country, queries: Sequence[Query]) -> list[dict[str, Any]]:
    """LED under merchants of every size, with ids excluded at random, and with the user's own best excluded."""
    rng = np.random.default_rng(_SEED)
    size = country.catalog.size
    rows: list[dict[str, Any]] = []
    for share in (*SHARES, 1.0):
        merchants = () if share == 1.0 else (f"{share}",)
        lists = {
            f"{count}": [rng.choice(size, min(count, size), replace=False) for _ in queries] for count in _EXCLUSIONS
        }
        if share == 1.0:
            lists["best 1000"] = [best_places(country.led.vectors @ _user(country, query), 1_000) for query in queries]
        rows += _swept(served, country, queries, share, merchants, lists)
    none = {row["share"]: row["cpu_us"] for row in rows if row["excluded"] == "0"}
    return [{**row, "times_none": row["cpu_us"] / none[row["share"]]} for row in rows]


def _swept(
    served: Retriever,
    country: Country,
    queries: Sequence[Query],
    share: float,
    merchants: tuple[str, ...],
    lists: Mapping[str, Sequence[NDArray[np.int64]]],
) -> list[dict[str, Any]]:
    """One share's lines: for each of `lists`, the rows excluded from each query."""
    lines = [
        [
            msgspec.structs.replace(
                query, profile="led", filters=Filters(merchants, excluded=_refs(country.catalog.item_ids[rows]))
            )
            for query, rows in zip(queries, excluded, strict=True)
        ]
        for excluded in lists.values()
    ]
    return [
        {"share": share, "excluded": label, "p50_us": timed["p50_us"], "cpu_us": timed["cpu_us"]}
        | _quality(served, country, line)
        for label, timed, line in zip(lists, _timed(served.answer, lines), lines, strict=True)
    ]


def _quality(served: Retriever, country: Country, queries: Sequence[Query]) -> dict[str, Any]:
    """Plan, mean recall, and how many answers had fewer than they could, or were filled up from popularity."""
    recalls, short, plans = [], 0, set()
    for query in queries:
        answer = served.answer(query)
        allowed = eligibility(country.catalog, query.filters, NO_ROWS)
        recalls.append(_recall(country, query, answer, allowed.rows()))
        short += len(answer.rows) < min(_K, allowed.count) or answer.backfilled > 0
        plans.add(answer.reports[0].plan)
    return {"plan": "/".join(sorted(plans)), "recall": float(np.mean(recalls)), "short": int(short)}


def _recall(country: Country, query: Query, answer: Answer, allowed: NDArray[np.int64]) -> float:
    """Share of the exact best of the eligible rows that were found."""
    exact = allowed[best_places(country.led.vectors[allowed] @ _user(country, query), query.k)]
    return float(np.isin(exact, answer.rows).mean()) if len(exact) else 1.0


def _user(country: Country, query: Query) -> NDArray[np.float32]:
    """LED's user vector."""
    history = country.led.vectors[country.catalog.rows_of_ids(query.history.items.item_ids), :-1]
    return np.append(history.mean(axis=0), np.float32(1.0))


def _print(tables: dict[str, list[dict[str, object]]], *, as_json: bool) -> None:
    for title, rows in tables.items():
        if as_json:
            sys.stdout.writelines(json.dumps({"table": title, **row}) + "\n" for row in rows)
            continue
        table = Table(title=title)
        for heading in rows[0]:
            table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
        for row in rows:
            table.add_row(*(f"{value:,.4g}" if isinstance(value, float) else str(value) for value in row.values()))
        wide(_WIDE).print(table)


if __name__ == "__main__":
    typer.run(main)
