"""The compiled way answers what the readable one does: any bytes, any mix, the same words, counts and watchers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asking import only
from index_store.country import Country
from index_store.index import Neighbours
from index_store.led import LedShard
from models.features import FeatureTransform
from models.history_weights import HistoryWeights
from models.spec import led_spec, two_tower_spec
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.answer import Answer
from server.board import Board
from server.desk import Desk
from server.limits import Limits
from server.metrics import (
    CODES,
    COLUMNS,
    COUNTRY_COLUMNS,
    DEGRADATIONS,
    HISTOGRAM_SIZE,
    METHODS,
    PLANS,
    SOURCE_STAGES,
    SOURCES,
    STAGES,
)
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
    AGE,
    DIM,
    MAX_HISTORY,
    POISON,
    FakeEncoder,
    SmallWorld,
    encoders,
    small_catalog,
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
IDLE = FeatureTransform(name="idle", origin="idle_days", kind="bucket", bounds=(0.5, 1.5, 2.5))
PARTS = (b"\xa2\x06\x01x", b"\x3a\x02hi", b"\x0a\x02BB", b"\x12\x09\x09" + b"\1" * 8, b"\x18\x07")
"""Fields that may follow: unknown ones, a country, an interaction and k again."""


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


class Idle(FakeEncoder):
    """A query tower that cares for how long its user was away, too."""

    def __init__(self) -> None:
        super().__init__(two_tower_spec(DIM, DIM, (AGE, IDLE), MAX_HISTORY, 17))

    def encode(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Compute the output."""
        return super().encode(inputs) * (1 + inputs["idle"][:, None]).astype(np.float32)


def caring(world: SmallWorld, *, weighted: bool) -> SmallWorld:
    """The same countries, searched with `Idle`, and by LED with weights by type and age, if wanted."""
    rule = HistoryWeights({"VIEW": 0.5, "PURCHASE": 4.0}, 1.0) if weighted else None
    led = FakeEncoder(led_spec(DIM, MAX_HISTORY, 17, rule))
    return SmallWorld(world.countries, world.sources, {**world.encoders, "two_tower_query": Idle(), "led": led})


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


@st.composite
def histories(draw: st.DrawFn, of: Country) -> list[pb.Interaction]:
    """Interactions with and without types and times, known and not; mostly all of a kind."""
    typed, timed, odd = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from([False, False, False, True]))
    known = draw(st.lists(st.integers(0, of.catalog.size - 1), max_size=8))
    ids = [int(of.catalog.item_ids[row]) for row in known] + [17 + each for each in range(draw(st.integers(0, 6)))]
    return [
        pb.Interaction(
            item_id=item_id,
            type=draw(st.integers(1, 5)) if typed != (odd and place == 1) else 0,
            timestamp_ms=NOW_MS - draw(st.integers(0, 4)) * DAY_MS if timed else 0,
        )
        for place, item_id in enumerate(draw(st.permutations(ids)))
    ]


AGES = [pb.FeatureValue(number=age) for age in (30.0, 55.0)]
FEATURES = [{}, *({"age": age} for age in AGES), {"age": AGES[0], "height": AGES[1]}]
SELDOM: list[tuple[str, Any]] = [
    ("country", "XX"),
    ("country", ""),
    ("history", []),
    ("k", 0),
    ("k", 70),
    ("k", 71),
    ("profile", "none"),
    ("features", {"age": pb.FeatureValue(category="old")}),
    ("features", {"age": pb.FeatureValue(number=POISON)}),
    ("seed_item", pb.ItemRef(item_key="key-0")),
    ("explain", True),
    ("include_item_details", True),
    ("timestamp_ms", -1),
]


@st.composite
def drawn(draw: st.DrawFn, seed: int, graph: bool) -> bytes:  # noqa: FBT001 - as `small_world` has them
    """Any request to a small world, mostly usual ones; sometimes in another order, with more fields, or broken."""
    country = small_world(seed, graph=graph).countries[draw(st.sampled_from(["AA", "AA", "BB", "LL"]))]
    fields = {
        "country": country.code,
        "history": draw(histories(country)),
        "k": draw(st.sampled_from([1, 2, 5, country.catalog.size])),
        "exclude_history": draw(st.booleans()),
        "profile": draw(st.sampled_from(["two_tower", "pdn", "", *PROFILES])),
        "features": draw(st.sampled_from(FEATURES)),
        "timestamp_ms": draw(st.sampled_from([0, NOW_MS, NOW_MS + DAY_MS])),
    }
    fields.update([draw(st.sampled_from(SELDOM))] if draw(st.integers(0, 7)) == 5 else [])
    written = [pb.RetrieveRequest(**{name: value}).SerializeToString() for name, value in fields.items()]
    match draw(st.sampled_from([*["plain"] * 9, "order", "more", "broken"])):
        case "order":
            written = draw(st.permutations(written))
        case "more":
            written.append(draw(st.sampled_from(PARTS)))
        case "broken":
            raw = b"".join(written)
            place = draw(st.integers(0, max(len(raw) - 1, 0)))
            return raw[:place] + draw(st.binary(max_size=3)) + raw[place + 1 :]
    return b"".join(written)


def timeless(reply: object) -> pb.RetrieveResponse:
    """A reply without its durations."""
    assert isinstance(reply, bytes)
    found = pb.RetrieveResponse.FromString(reply)
    found.fuse_us = 0
    for report in found.sources:
        report.encode_us = report.search_us = 0
    return found


def assert_alike(found: tuple[int, object], expected: tuple[int, object]) -> None:
    """The same ending but for durations, the last bit of a score and which of the items that tie by it."""
    assert found[0] == expected[0], (found, expected)
    if found[0]:
        assert found[1] == expected[1]
        return
    one, other = timeless(found[1]), timeless(expected[1])
    scores = [candidate.score for candidate in other.candidates]
    assert [candidate.score for candidate in one.candidates] == pytest.approx(scores, abs=1e-5)
    least = min(scores, default=0.0) + 1e-4
    for reply in (one, other):
        assert len({candidate.item_id for candidate in reply.candidates}) == len(scores)
        surely = sorted(candidate.item_id for candidate in reply.candidates if candidate.score > least)
        del reply.candidates[:]
        reply.profile += str(surely)
    assert one == other


@settings(max_examples=200, deadline=None)
@given(data=st.data(), seed=st.integers(0, 15), graph=st.booleans(), weighted=st.booleans())
def test_any_request_ends_as_on_the_readable_way(
    data: st.DataObject, seed: int, *, graph: bool, weighted: bool
) -> None:
    """Alone, byte for byte but for durations; together with any others, but for what ties."""
    world = caring(small_world(seed, graph=graph), weighted=weighted)
    raws = data.draw(st.lists(drawn(seed, graph), min_size=1, max_size=20))
    compiled, readable, together = (server(world, usual=usual) for usual in (True, False, True))
    for number, raw in enumerate(raws):
        for made in (compiled, readable):
            made.desk.answer([Call(made, number, raw, FAR_NS, time.perf_counter_ns())])
        found, expected = compiled.endings[number], readable.endings[number]
        if found[0] or expected[0]:
            assert found == expected
        else:
            assert timeless(found[1]).SerializeToString() == timeless(expected[1]).SerializeToString()
    together.desk.answer(calls(together, raws))
    for number, expected in readable.endings.items():
        assert_alike(together.endings[number], expected)


def test_a_reply_is_as_long_as_protobuf_would_write_it() -> None:
    """Fields in order, nothing twice, no zeros: what the generated class writes of it is the same bytes."""
    made, country = server(plentiful(), usual=True), plentiful().countries["AA"]
    made.desk.answer(calls(made, [asked(country, [0, 1], unknown=2, exclude_history=True, k=3)]))
    reply = made.endings[0][1]
    assert isinstance(reply, bytes)
    assert pb.RetrieveResponse.FromString(reply).SerializeToString() == reply
    assert made.rpc.decoded == 0


SPECIAL: dict[str, dict[str, Any]] = {
    "another source": {"profile": "fused"},
    "scores of fusion": {"profile": "ranks"},
    "diversity": {"profile": "spread"},
    "details": {"include_item_details": True},
    "explained": {"explain": True},
    "the user's vector": {"return_embedding": True},
    "a feature of the wrong kind": {"features": {"age": pb.FeatureValue(category="old")}},
    "a quota": {"profile": "quota"},
    "a seed": {"seed_item": pb.ItemRef(item_key="key-1")},
    "a filter": {"filters": pb.Filters(merchants=["m1"])},
    "quotas": {"source_quotas": {"led": 3}},
    "fewer items than k": {"k": 70},
    "a profile that there is not": {"profile": "none"},
}


@pytest.mark.parametrize("more", SPECIAL.values(), ids=SPECIAL)
def test_anything_special_goes_the_readable_way(more: dict[str, Any]) -> None:
    """And what is usual does not."""
    country = plentiful().countries["AA"]
    made = server(plentiful(), usual=True)
    made.desk.answer(calls(made, [asked(country, [1, 2, 3])]))
    assert made.rpc.decoded == 0
    made.desk.answer([Call(made, 1, asked(country, [1, 2, 3], **more), FAR_NS)])
    assert made.rpc.decoded == 1


def test_calls_of_one_lane_are_searched_together() -> None:
    """At most 16, for whatever time; those that leave out as many items, where the history is left out."""
    made, country = server(plentiful(), usual=True), plentiful().countries["AA"]
    raws = [asked(country, [1, 2 + number], timestamp_ms=1_700_000_000_000 + number) for number in range(20)]
    made.desk.answer(calls(made, raws))
    made.desk.answer(
        [
            Call(made, 100 + number, asked(country, [1, 2, 3][: 1 + number % 3], exclude_history=True), FAR_NS)
            for number in range(9)
        ]
    )
    assert made.rpc.decoded == 0
    made.observer.publish()
    start = COLUMNS["group"]
    groups = made.board.totals()[start : start + 6]
    assert groups[:6] == [0, 0, 4, 0, 1, 0]  # of 4, 3, 3 and 3 calls, and of 16


def test_every_source_alone_is_usual() -> None:
    """With features or without; where it finds less than k the rest is filled up from there."""
    world = plentiful()
    made, country = server(world, usual=True), world.countries["AA"]
    raws = [asked(country, [1, 2, 3], profile=name, k=50, features={"age": AGES[0]}) for name in ALONE]
    made.desk.answer(calls(made, raws))
    assert made.rpc.decoded == 0
    replies = [timeless(made.endings[number][1]) for number in range(len(raws))]
    assert {len(reply.candidates) for reply in replies} == {50}
    assert [reply.profile for reply in replies if reply.backfilled] == ["pdn", "item_interaction", "similar"]


def test_an_encoder_that_fails_on_one_user_fails_on_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The group goes the readable way, which asks for each user alone; that is no error of ours."""
    world = plentiful()
    made, country = server(world, usual=True), world.countries["AA"]
    ages = [30.0, POISON, 55.0]
    raws = [asked(country, [1], profile="pdn", k=1, features={"age": pb.FeatureValue(number=age)}) for age in ages]
    made.desk.answer(calls(made, raws))
    found = [timeless(made.endings[number][1]).sources[0].degradation for number in range(3)]
    assert not caplog.records
    assert found == [pb.DEGRADATION_NONE, pb.DEGRADATION_ENCODER_FAILED, pb.DEGRADATION_NONE]


def test_metrics_are_those_of_the_readable_way() -> None:
    """Every count is the same, and every histogram of times has as many entries."""
    world = plentiful()
    country = world.countries["AA"]
    profiles = ["", *ALONE, "few triggers"]
    raws = [
        asked(country, range(1 + number % 7), unknown=number % 3, exclude_history=number % 2 == 0, profile=profile)
        for number in range(12)
        for profile in profiles
    ]
    found, expected = (_counted(server(world, usual=usual), raws) for usual in (True, False))
    assert found == expected


def _counted(made: Server, raws: Sequence[bytes]) -> dict[str, object]:
    for call in calls(made, raws):
        made.desk.answer([call])
    made.observer.publish()
    totals = made.board.totals()
    times = {"handling": len(METHODS), "queue": 1, "stage": len(STAGES)}
    times["source_stage"] = len(SOURCES) * len(SOURCE_STAGES)
    counted: dict[str, object] = {
        name: [sum(totals[COLUMNS[name] + place * HISTOGRAM_SIZE :][: HISTOGRAM_SIZE - 1]) for place in range(size)]
        for name, size in times.items()
    }
    sizes = {"started": len(METHODS), "handled": len(METHODS) * len(CODES), "plan": len(SOURCES) * len(PLANS)}
    sizes |= {"degradation": len(SOURCES) * len(DEGRADATIONS), "group": 9, "history": 9, "unknown_ratio": 9}
    for name, size in sizes.items():
        counted[name] = totals[COLUMNS[name] : COLUMNS[name] + size]
    start = made.observer.metrics.start_of("AA")
    counted["country"] = totals[start : start + COUNTRY_COLUMNS["retrieval"]]
    return counted


@pytest.mark.parametrize("profile", ["", *ALONE])
def test_watchers_see_what_the_readable_way_shows_them(profile: str) -> None:
    """The request, the answer with its lists, and times that add up."""
    world = plentiful()
    time_ms = NOW_MS + DAY_MS
    raw = asked(
        world.countries["AA"], [4, 5, 5], unknown=1, exclude_history=True, profile=profile, timestamp_ms=time_ms
    )
    compiled, readable = (server(world, usual=usual) for usual in (True, False))
    for made in (compiled, readable):
        made.desk.answer(calls(made, [raw]))
    (found,), (expected,) = compiled.seen.calls, readable.seen.calls
    assert isinstance(found.answer, Answer)
    for name in ("rows", "scores", "source_masks"):
        assert np.array_equal(getattr(found.answer, name), getattr(expected.answer, name))
    (rows, scores), (expected_rows, expected_scores) = found.answer.lists[0], expected.answer.lists[0]
    assert rows.tolist() == expected_rows.tolist()
    assert scores.tolist() == expected_scores.tolist()
    for name in ("country", "profile", "fallback", "unknown_items", "unused_features", "backfilled"):
        assert getattr(found.answer, name) == getattr(expected.answer, name)
    reports = [msgspec.structs.replace(each.answer.reports[0], encode_us=0, search_us=0) for each in (found, expected)]
    assert reports[0] == reports[1]
    assert found.request.time_ms == expected.request.time_ms
    assert found.request.history.items.item_ids.tolist() == expected.request.history.items.item_ids.tolist()
    assert found.code == expected.code
    assert 0 < found.decode_ns + found.reply_ns <= found.elapsed_ns


def test_a_call_whose_deadline_has_passed_is_not_begun() -> None:
    """Neither when it is taken, nor when its group's turn comes; the others of its group are answered."""
    made, country = server(plentiful(), usual=True), plentiful().countries["AA"]
    made.desk.answer(calls(made, [asked(country, [1])], deadline_ns=time.perf_counter_ns()))
    assert made.endings[0][0] == CODES.index("DEADLINE_EXCEEDED")
    soon = time.perf_counter_ns() + 2_000_000
    late = Call(made, 1, asked(country, [1]), soon)
    # as many as take longer than that to be read, of other lanes
    others = [Call(made, 2 + number, asked(country, [2], k=1 + number % 40), FAR_NS) for number in range(6_000)]
    in_time = Call(made, 9_000, asked(country, [3]), FAR_NS)
    made.desk.answer([late, in_time, *others])
    assert made.endings[1][0] == CODES.index("DEADLINE_EXCEEDED")
    assert {made.endings[each.call_id][0] for each in (in_time, *others)} == {0}


def test_a_search_that_fails_fails_only_its_calls() -> None:
    """They go the readable way, which says what happened; the next ones are answered."""
    world, broken = plentiful(), False

    class Breaking:
        def __init__(self, index: Any) -> None:  # noqa: ANN401 - whatever the world has
            self._index = index

        def search(self, queries: Any, k: int, *, spare: bool = False) -> Neighbours:  # noqa: ANN401, ARG002 - as above
            if broken:
                message = "out of order"
                raise RuntimeError(message)
            found: Neighbours = self._index.search(queries, k)
            return found

    country = world.countries["AA"]
    led = LedShard(country.led.entry, country.led.vectors, Breaking(country.led.index), country.led.bias_order)
    world = SmallWorld({"AA": Country("AA", country.catalog, led)}, ("led",), encoders())
    made = server(world, usual=True)
    broken = True
    made.desk.answer(calls(made, [asked(country, [1]), asked(country, [2])]))
    assert {ending[0] for ending in made.endings.values()} == {CODES.index("INTERNAL")}
    broken = False
    made.desk.answer([Call(made, 7, asked(country, [3]), FAR_NS)])
    assert made.endings[7][0] == 0
    assert made.rpc.decoded == 2


def test_vectors_whose_rows_are_not_in_one_piece_are_refused() -> None:
    """The lane reads memory by rows; it says so before it reads anything else."""
    rng = np.random.default_rng(0)
    catalog = small_catalog(rng, 8)
    vectors = np.asfortranarray(rng.normal(size=(8, DIM + 1)).astype(np.float32))
    world = plentiful()
    index, entry = world.countries["AA"].led.index, world.countries["AA"].led.entry
    country = Country("AA", catalog, LedShard(entry, vectors, index, np.arange(8)))
    made = server(SmallWorld({"AA": country}, ("led",), encoders()), usual=True)
    made.desk.answer(calls(made, [asked(country, [1])]))
    assert made.rpc.decoded == 1


def plentiful() -> SmallWorld:
    """A world whose country AA has 60 items."""
    return next(world for world in map(small_world, range(50)) if world.countries["AA"].catalog.size == 60)
