"""A desk over a small world, with compiled code for the usual calls or without, and how its calls ended."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from asking import only
from index_store.country import Country
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.answer import Answer
from server.board import Board
from server.desk import Desk
from server.limits import Limits
from server.native.call import Call, deadline_of
from server.observe import Observed, Observer, record_answer
from server.profiles import DEFAULT_PROFILE, Diversity, Profile, SourceName, SourceSetting
from server.query import Query
from server.retrieval import Retriever
from server.service import Retrieve
from server.transport import Many, Served
from server.usual import Usual
from server.worker_metrics import WorkerMetrics
from small_world import (
    SmallWorld,
    small_world,
)

LIMITS = Limits(max_k=70, max_history=12, max_excluded=40)
FAR_NS = deadline_of(None, 0)
LED = only("led")
ALONE: tuple[SourceName, ...] = ("two_tower", "pdn", "item_interaction", "similar", "popular")
PROFILES = {
    DEFAULT_PROFILE: LED,
    **{name: only(name) for name in ALONE},
    "few triggers": Profile("few triggers", (SourceSetting("pdn", triggers=1),), "single", exclude_history=True),
    "quota": Profile("quota", (SourceSetting("two_tower", quota=3),), "single"),
    "unseen": Profile("unseen", LED.sources, "single", exclude_history=True),
    "fused": Profile("fused", (SourceSetting("led"), SourceSetting("popular"))),
    "spread": Profile("spread", LED.sources, "single", diversity=Diversity(max_per_merchant=2)),
    "ranks": Profile("ranks", LED.sources),
}
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
AGES = [pb.FeatureValue(number=age) for age in (30.0, 55.0)]


class Seen:
    """A watcher that wants every call."""

    def __init__(self) -> None:
        self.calls: list[Observed[Any, Any]] = []

    def wants(self, _origin: object, _elapsed_ns: int, _ended_ns: int) -> bool:
        """Always."""
        return True

    def look(self, call: Observed[Any, Any]) -> None:
        """Keep it."""
        self.calls.append(call)

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Server:
    """A desk over a small world, and how its calls ended."""

    desk: Desk[Query, Answer]
    observer: Observer
    board: Board
    seen: Seen
    rpc: "Counted"
    endings: dict[int, tuple[int, object]] = field(default_factory=dict)

    def respond(self, call_id: int, payload: bytes) -> bool:
        """Note a reply."""
        assert call_id not in self.endings
        self.endings[call_id] = (0, payload)
        return True

    def fail(self, call_id: int, code: int, message: str, trailing_metadata: object = None) -> bool:
        """Note a status."""
        assert call_id not in self.endings
        self.endings[call_id] = (code, (message, trailing_metadata))
        return True


class Counted(Retrieve):
    """Knows how often the readable way was gone."""

    decoded = 0

    def decode(self, raw: bytes) -> Query:
        """See `Retrieve.decode`."""
        self.decoded += 1
        return super().decode(raw)


def server(world: SmallWorld, *, usual: bool) -> Server:
    """Make one; `usual`: with compiled code for the usual calls."""
    board = Board.create(1)
    places = board.add_countries(sorted(world.countries))
    seen = Seen()
    observer = Observer(WorkerMetrics(board.slot(0), places), (seen,))
    retriever = Retriever(world, world.encoders, PROFILES)  # type: ignore[arg-type] # what it takes of a bundle
    rpc = Counted(retriever, "v1", LIMITS)
    many = Many(lambda query: (query.country, query.profile), retriever.answer_batch)
    made = Server(None, observer, board, seen, rpc)  # type: ignore[arg-type] # the desk needs it
    compiled = Usual(retriever, "v1", LIMITS) if usual else None
    made.desk = Desk(Served("Retrieve", rpc, record_answer, many, compiled), observer)
    return made


def calls(made: Server, raws: Sequence[bytes], deadline_ns: int = FAR_NS) -> list[Call]:
    """Calls that came in now."""
    return [Call(made, number, raw, deadline_ns, time.perf_counter_ns()) for number, raw in enumerate(raws)]


def asked(of: Country, rows: Sequence[int], *, unknown: int = 0, typed: bool = True, **more: Any) -> bytes:  # noqa: ANN401 - fields of a request
    """Write a request; `unknown`: interactions with items that nobody has."""
    ids = [int(of.catalog.item_ids[row]) for row in rows] + [17 + number for number in range(unknown)]
    history = [
        pb.Interaction(item_id=item_id, type=1 + place % 5 if typed else 0, timestamp_ms=NOW_MS + place)
        for place, item_id in enumerate(ids)
    ]
    return pb.RetrieveRequest(**{"country": of.code, "history": history, "k": 5, **more}).SerializeToString()


def timeless(reply: object) -> pb.RetrieveResponse:
    """A reply without its durations."""
    assert isinstance(reply, bytes)
    found = pb.RetrieveResponse.FromString(reply)
    found.fuse_us = 0
    for report in found.sources:
        report.encode_us = report.search_us = 0
    return found


def plentiful() -> SmallWorld:
    """A world whose country AA has 60 items."""
    return next(world for world in map(small_world, range(50)) if world.countries["AA"].catalog.size == 60)
