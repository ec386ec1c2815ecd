"""What recording a call costs the worker: `python -m loadtest.bench_metrics`.

    noted: before the reply is handed over, what its caller waits for
    settled: after it, CPU of the worker
    counted: when it is published, ten times a second, with all calls since the last time
    publishing: what each time costs, however many calls there were

CPU time of this thread, medians over rounds of a thousand calls; the spread is between the quartiles of the rounds.
Counting and publishing are told apart by rounds of a hundred calls.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Annotated, Any, cast

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from server.answer import Answer, Degradation, Fallback, SourceReport
from server.board import Board
from server.observe import Observer, record_answer
from server.query import History, ItemRefs, Query
from server.slow_log import SlowLog
from server.worker_metrics import WorkerMetrics

_CALLS, _FEW = 1000, 100
_GROUP = 16
_SOURCES = ("led", "two_tower", "pdn", "item_interaction", "popular")
_TIMES_NS = (114_000, 28_000, 530_000)


def main(
    rounds: Annotated[int, typer.Option(help="Rounds of 1000 calls per line.")] = 40,
    countries: Annotated[int, typer.Option(help="Countries of the bundle.")] = 37,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of a table.")] = False,
) -> None:
    """Measure and print."""
    codes = [f"C{number}" for number in range(countries)]
    lines = []
    for count in (1, len(_SOURCES)):
        bench = Bench(codes, _SOURCES[:count])
        lines.append({"sources": count, **bench.measure(rounds)})
    _print(lines, as_json=as_json)


class Bench:
    """Records answers of `sources` as a worker does, every call of another country."""

    def __init__(self, codes: Sequence[str], sources: Sequence[str]) -> None:
        board = Board.create(1)
        self._metrics = WorkerMetrics(board.slot(0), board.add_countries(codes))
        self._observer = Observer(self._metrics, [SlowLog(100.0, self._metrics)])
        # few objects, so that they are in the caches as those of calls that have just been answered
        calls = [_call(codes[number % len(codes)], sources) for number in range(_GROUP)]
        self._calls = [calls[number % _GROUP] for number in range(_CALLS)]
        self._origin = cast("Any", SimpleNamespace(invocation_metadata=lambda: None))

    def measure(self, rounds: int) -> dict[str, float]:
        """Give nanoseconds per call of each part, and microseconds of publishing."""
        noted, settled, counted, fixed = [], [], [], []
        for _ in range(rounds):
            before = self._settled_ns
            whole = _timed(lambda: self._record(_CALLS)) / _CALLS
            settled.append((self._settled_ns - before) / _CALLS)
            noted.append(whole - settled[-1])
            many = _timed(self._metrics.publish)
            self._record(_FEW)
            few = _timed(self._metrics.publish)
            counted.append((many - few) / (_CALLS - _FEW))
            fixed.append(few - _FEW * counted[-1])
        parts = {"noted": noted, "settled": settled, "counted": counted}
        whole_ns = [sum(each) for each in zip(*parts.values(), strict=True)]
        return {
            **{f"{name}_ns": _median(values) for name, values in parts.items()},
            "in_all_ns": _median(whole_ns),
            "in_all_spread_ns": _spread(whole_ns),
            "publishing_us": _median(fixed) / 1000,
        }

    _settled_ns = 0

    def _record(self, calls: int) -> None:
        """As `server.desk` does, in groups."""
        metrics, observer, origin = self._metrics, self._observer, self._origin
        decode_ns, reply_ns, elapsed_ns = _TIMES_NS
        for start in range(0, calls, _GROUP):
            for query, answer in self._calls[start : min(start + _GROUP, calls)]:
                metrics.call_started(0)
                metrics.queued(1000)
                observer.answered(record_answer, 0, origin, query, answer, 0, decode_ns, reply_ns, elapsed_ns)
            self._settled_ns += _timed(observer.settle)


def _call(country: str, sources: Sequence[str]) -> tuple[Query, Answer]:
    places = np.arange(20)
    items = ItemRefs(20, places.astype(np.uint64), places, (), places[:0])
    query = Query(country=country, history=History(items, places, places), k=100, time_ms=1)
    rows = np.arange(100)
    answer = Answer(
        country=cast("Any", SimpleNamespace(code=country)),
        profile="default",
        rows=rows,
        scores=rows.astype(np.float32),
        source_masks=rows.astype(np.uint32),
        reports=tuple(SourceReport(name, "hnsw", "none", 100, 50, 100, 17, 356, Degradation.NONE) for name in sources),
        fallback=Fallback.NONE,
        unknown_items=0,
        unused_features=0,
        backfilled=0,
        fuse_us=14,
    )
    return query, answer


def _timed(do: Callable[[], None]) -> int:
    started = time.thread_time_ns()
    do()
    return time.thread_time_ns() - started


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


def _spread(values: Sequence[float]) -> float:
    low, high = np.quantile(values, (0.25, 0.75))
    return float(high - low)


def _print(lines: Sequence[dict[str, float]], *, as_json: bool) -> None:
    if as_json:
        for line in lines:
            sys.stdout.write(json.dumps(line) + "\n")
        return
    heads = ("before the reply, ns", "after it, ns", "when published, ns", "in all, ns", "each publishing, µs")
    table = Table("sources", *heads, title="Recording one call")
    for line in lines:
        table.add_row(
            f"{line['sources']:.0f}",
            *(f"{line[f'{name}_ns']:,.0f}" for name in ("noted", "settled", "counted")),
            f"{line['in_all_ns']:,.0f} ± {line['in_all_spread_ns']:,.0f}",
            f"{line['publishing_us']:,.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
