"""Whatever is asked, the compiled way ends it as the readable one does: any bytes, any mix."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index_store.country import Country
from models.features import FeatureTransform
from models.history_weights import HistoryWeights
from models.spec import led_spec, two_tower_spec
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.native.call import Call
from small_world import (
    AGE,
    DIM,
    MAX_HISTORY,
    POISON,
    FakeEncoder,
    SmallWorld,
    small_world,
)
from two_ways import (
    AGES,
    DAY_MS,
    FAR_NS,
    NOW_MS,
    PROFILES,
    calls,
    server,
    timeless,
)

IDLE = FeatureTransform(name="idle", origin="idle_days", kind="bucket", bounds=(0.5, 1.5, 2.5))
PARTS = (b"\xa2\x06\x01x", b"\x3a\x02hi", b"\x0a\x02BB", b"\x12\x09\x09" + b"\1" * 8, b"\x18\x07")
"""Fields that may follow: unknown ones, a country, an interaction and k again."""


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


@settings(max_examples=200)
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
