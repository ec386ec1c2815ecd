"""`python -m loadtest.bench_request`: what each step of a `Retrieve` costs in process, microseconds of CPU.

One thread, one synthetic country (`loadtest.synthetic`), the very desk that answers calls, and
a front that only takes the reply: all that a call costs a worker but for HTTP/2. Each step is timed by a clock around
its functions, less the steps within them and less the clock. "tax" is the call less encode and search. Medians of
single calls, each with another history, so that caches are as cold as the catalogue's size makes them.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce, wraps
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Self, cast

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from index_store.country import Country
from loadtest.synthetic import SyntheticItems, synthetic_world
from loadtest.synthetic_encoders import synthetic_encoders
from loadtest.wide import wide
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.answer import Answer
from server.board import Board
from server.desk import Desk
from server.limits import Limits
from server.native.call import Call, Front
from server.observe import Observer, record_answer
from server.profiles import Profile, SourceName, SourceSetting
from server.query import Query
from server.retrieval import Retriever
from server.service import Retrieve
from server.transport import Served
from server.usual import Usual
from server.worker_metrics import WorkerMetrics

_SOURCES: tuple[SourceName, ...] = ("led", "two_tower", "pdn", "popular")
_K = 100
_WARM_UP = 50
_SEED = 11
_NOW_MS = 1_700_000_000_000
_FOREVER_NS = 2**63
_CLOCKED = 5_000
_WIDE = 130
_STEPS: Mapping[str, Sequence[str]] = {
    "decode": ("server.service:Retrieve.decode",),
    "look up": ("server.resolve:Resolver.task",),
    "encode": ("server.sources.led:mean_users", "models.encoder:OnnxEncoder.encode"),
    "search": ("index_store.hnsw:HnswIndex.search", "index_store.pdn:PdnShard.search"),
    "around both": ("server.retrieval:Retriever._ask",),
    "fuse, report": ("server.retrieval:Retriever._finish",),
    "reply": ("server.service:Retrieve.encode",),
    "observe": ("server.observe:Observer.answered", "server.observe:Observer.settle"),
}
"""Steps of a call, and the functions whose own time they are; what is left of the call is the desk's."""
_LIMIT = ("encode", "search")


def main(
    items: Annotated[int, typer.Option(help="Catalogue size.")] = 1_000_000,
    ef: Annotated[int, typer.Option(help="Search breadth of the graph.")] = 256,
    calls: Annotated[int, typer.Option(help="Timed calls per line.")] = 1000,
    history: Annotated[int, typer.Option(help="Interactions of each request.")] = 20,
    cache: Annotated[Path, typer.Option(help="Where the graph is kept between runs.")] = Path("build/bench"),
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of a table.")] = False,
) -> None:
    """Measure, print, and keep nothing but the graph."""
    console = Console(stderr=True)
    load = os.getloadavg()[0]
    with console.status("drawing items") as status:
        drawn, country = synthetic_world(items, ef, cache, status.update)
        bench = Bench(country)
        lines: list[dict[str, object]] = []
        for source in _SOURCES:
            status.update(f"timing {source}")
            requests = _requests(drawn, country, source, history, calls + _WARM_UP)
            lines += bench.lines(source, requests)
    console.print(f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} cores")
    _print(lines, as_json=as_json)


class Bench:
    """One desk over one country, and the replies it gave."""

    def __init__(self, country: Country) -> None:
        profiles: dict[str, Profile] = {name: Profile(name, (SourceSetting(name),), "single") for name in _SOURCES}
        bundle = SimpleNamespace(countries={country.code: country}, sources=_SOURCES[:3])
        retriever = Retriever(cast("Any", bundle), synthetic_encoders(), profiles)
        limits = Limits(max_k=1000, max_history=500)
        rpc = Retrieve(retriever, "2026-01-01T00-00-00Z", limits)
        observer = Observer(WorkerMetrics(Board.create(1).slot(0)))
        self._front = cast("Front", SimpleNamespace(respond=lambda _, reply: len(reply), fail=_refused))
        served = Served("Retrieve", rpc, record_answer)
        self._desk = Desk(served, observer)
        usual = Usual(retriever, "2026-01-01T00-00-00Z", limits)
        self._compiled = Desk(Served("Retrieve", rpc, record_answer, usual=usual), observer)

    def lines(self, source: str, requests: Sequence[bytes]) -> list[dict[str, object]]:
        """Median microseconds of each step over the requests but the first few, and of calls in both ways, in turns.

        The compiled way has no steps that a clock could be put around; its tax is less the readable way's.
        """
        desks = self._desk, self._compiled
        calls = [self._timed(raw, desks[number % 2]) for number, raw in enumerate(requests)][_WARM_UP:]
        with _Clocks() as clocks:
            spent = [clocks.taken(self._timed(raw, self._desk)) for raw in requests][_WARM_UP:]
        steps = {step: float(np.median([each[step] for each in spent])) for step in spent[0]}
        readable, compiled = (float(np.median(calls[first::2])) for first in (0, 1))
        limit = sum(steps[step] for step in _LIMIT)
        nothing = dict.fromkeys(steps, "-")
        return [
            {"source": source, **steps, "call": readable, "tax": readable - limit},
            {"source": f"{source}, compiled", **nothing, "call": compiled, "tax": compiled - limit},
        ]

    def _timed(self, raw: bytes, desk: Desk[Query, Answer]) -> float:
        """One call's CPU, microseconds."""
        started = time.thread_time_ns()
        desk.answer([Call(self._front, 0, raw, _FOREVER_NS)])
        return (time.thread_time_ns() - started) / 1000


def _refused(*told: object) -> bool:
    message = f"a request was refused: {told}"
    raise RuntimeError(message)


class _Clocks:
    """Clocks around the steps' functions, while entered."""

    def __init__(self) -> None:
        self._spent = dict.fromkeys(_STEPS, 0.0)
        self._within = [0.0]
        self._plain: list[tuple[Any, str, Any]] = []
        self._inner_us = self._outer_us = 0.0

    def __enter__(self) -> Self:
        """Measure the clock, then put one around each function."""
        self._calibrate()
        for step, names in _STEPS.items():
            for name in names:
                module, _, path = name.partition(":")
                *owners, last = path.split(".")
                owner = reduce(getattr, owners, import_module(module))
                plain = getattr(owner, last)
                self._plain.append((owner, last, plain))
                setattr(owner, last, self._clocked(plain, step))
        return self

    def __exit__(self, *_: object) -> None:
        """Take them away."""
        for owner, last, plain in self._plain:
            setattr(owner, last, plain)

    def taken(self, whole_us: float) -> dict[str, float]:
        """Microseconds of each step since the last time, and of what is left of a call."""
        taken, self._spent = self._spent, dict.fromkeys(_STEPS, 0.0)
        left, self._within[0] = whole_us - self._within[0], 0.0
        return {**taken, "desk": left}

    def _clocked(self, plain: Callable[..., Any], step: str) -> Callable[..., Any]:
        within, now = self._within, time.thread_time_ns

        @wraps(plain)
        def clocked(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the function takes
            within.append(0.0)
            started = now()
            try:
                return plain(*args, **named)
            finally:
                took = (now() - started) / 1000 - self._inner_us
                self._spent[step] += took - within.pop()
                within[-1] += took + self._inner_us + self._outer_us

        return clocked

    def _calibrate(self) -> None:
        """Find what a clock sees of itself, and what it costs besides."""
        clocked = self._clocked(lambda: None, "decode")
        inner, outer = [], []
        for _ in range(_CLOCKED):
            started = time.thread_time_ns()
            clocked()
            whole = (time.thread_time_ns() - started) / 1000
            seen = self.taken(whole)
            inner.append(seen["decode"])
            outer.append(seen["desk"])
        self._inner_us, self._outer_us = float(np.median(inner)), float(np.median(outer)) / 2


def _requests(items: SyntheticItems, country: Country, source: str, history: int, count: int) -> list[bytes]:
    """Draw serialised requests: typed interactions a minute apart, and one feature where an encoder takes one."""
    rng = np.random.default_rng(_SEED)
    requests = []
    for _ in range(count):
        ids = country.catalog.item_ids[items.history(rng, history)].tolist()
        types = rng.choice([1, 4], history).tolist()
        interactions = [
            pb.Interaction(item_id=item_id, type=kind, timestamp_ms=_NOW_MS + 60_000 * place)
            for place, (item_id, kind) in enumerate(zip(ids, types, strict=True))
        ]
        features = {} if source in {"led", "popular"} else {"age": pb.FeatureValue(number=float(rng.integers(18, 80)))}
        request = pb.RetrieveRequest(
            country=country.code, history=interactions, k=_K, profile=source, features=features, exclude_history=False
        )
        requests.append(request.SerializeToString())
    return requests


def _print(lines: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.writelines(json.dumps(line) + "\n" for line in lines)
        return
    table = Table(title="a Retrieve in process, µs of CPU")
    for heading in lines[0]:
        table.add_column(heading, justify="right")
    for line in lines:
        table.add_row(*(f"{value:,.1f}" if isinstance(value, float) else str(value) for value in line.values()))
    wide(_WIDE).print(table)


if __name__ == "__main__":
    typer.run(main)
