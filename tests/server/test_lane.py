"""The compiled way beside the readable one: what goes it, what is searched together, counts, watchers, failures."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from index_store.country import Country
from index_store.index import Neighbours
from index_store.led import LedShard
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.answer import Answer
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
from server.native.call import Call
from small_world import (
    DIM,
    POISON,
    SmallWorld,
    encoders,
    small_catalog,
)
from two_ways import (
    AGES,
    ALONE,
    DAY_MS,
    FAR_NS,
    NOW_MS,
    Server,
    asked,
    calls,
    plentiful,
    server,
    timeless,
)


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
    led, broken = plentiful().countries["AA"].led, False

    class Breaking:
        def __init__(self, index: Any) -> None:  # noqa: ANN401 - whatever the world has
            self._index = index

        def search(self, queries: Any, k: int, *, spare: bool = False) -> Neighbours:  # noqa: ANN401, ARG002 - as above
            if broken:
                message = "out of order"
                raise RuntimeError(message)
            found: Neighbours = self._index.search(queries, k)
            return found

    made, country = _with_led(replace(led, index=Breaking(led.index)))
    broken = True
    made.desk.answer(calls(made, [asked(country, [1]), asked(country, [2])]))
    assert {ending[0] for ending in made.endings.values()} == {CODES.index("INTERNAL")}
    broken = False
    made.desk.answer([Call(made, 7, asked(country, [3]), FAR_NS)])
    assert made.endings[7][0] == 0
    assert made.rpc.decoded == 2


def test_calls_whose_search_found_too_few_are_counted_once() -> None:
    """The group that answers them is the readable way's, which fills them up."""

    class Sparse:
        def __init__(self, index: Any) -> None:  # noqa: ANN401 - whatever the world has
            self._index = index

        def search(self, queries: Any, k: int, *, spare: bool = False) -> Neighbours:  # noqa: ANN401, ARG002 - as above
            found: Neighbours = self._index.search(queries, 5)
            return found

    led = plentiful().countries["AA"].led
    made, country = _with_led(replace(led, index=Sparse(led.index)))
    made.desk.answer(calls(made, [asked(country, [1], k=10), asked(country, [2], k=10)]))
    assert made.rpc.decoded == 2
    assert all(timeless(message).backfilled == 5 for _, message in made.endings.values())
    made.observer.publish()
    assert made.board.totals()[COLUMNS["group"] :][:6] == [0, 1, 0, 0, 0, 0]


def _with_led(led: LedShard) -> tuple[Server, Country]:
    country = Country("AA", plentiful().countries["AA"].catalog, led)
    return server(SmallWorld({"AA": country}, ("led",), encoders()), usual=True), country


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
