"""The Retriever as a whole: profiles, batches, the ladder of what is missing, refusals. No server here."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asking import only, query_of, refs, requests
from models.errors import FeatureKindError
from naive import Request, eligible_rows
from server.answer import Answer, Degradation, Fallback
from server.profiles import Diversity, Profile, SourceSetting
from server.query import Filters, Query
from server.resolve import resolve_rows
from server.retrieval import (
    NoPricesError,
    RefusedInBatchError,
    Retriever,
    UnknownCountryError,
    UnknownProfileError,
    built_in_profile,
)
from small_world import POISON, SmallWorld, encoders, small_world

EVERY = only("led", "two_tower", "pdn", "item_interaction", "similar", "popular", fusion="reciprocal_rank")
FEW = Profile("few", (SourceSetting("pdn", quota=3), SourceSetting("led", quota=2)), "quota")
SPREAD = Profile(
    "spread",
    (SourceSetting("led"), SourceSetting("two_tower", weight=0.5)),
    "weighted",
    exclude_history=True,
    diversity=Diversity(max_per_merchant=2, max_per_category=3, mmr=0.7),
)
PROFILES = {
    **{each.name: each for each in (EVERY, FEW, SPREAD)},
    **{name: only(name) for name in ("led", "pdn", "two_tower", "popular", "similar")},  # type: ignore[arg-type]
}
PLENTY = 5


def retriever(world: SmallWorld, fallback_country: str | None = None) -> Retriever:
    """A retriever with the profiles above."""
    return Retriever(world, world.encoders, PROFILES, fallback_country)  # type: ignore[arg-type]


def plentiful() -> SmallWorld:
    """A world whose country AA has 60 items."""
    return next(world for world in map(small_world, range(50)) if world.countries["AA"].catalog.size == 60)


def assert_same(found: Answer, expected: Answer) -> None:
    """The same answer but for durations and the last bit of a score."""
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.scores.tolist() == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert found.source_masks.tolist() == expected.source_masks.tolist()
    for name in ("country", "profile", "fallback", "unknown_items", "unused_features", "backfilled"):
        assert getattr(found, name) == getattr(expected, name)
    timeless = [
        [msgspec.structs.replace(each, encode_us=0, search_us=0) for each in answer.reports]
        for answer in (found, expected)
    ]
    assert timeless[0] == timeless[1]


@settings(max_examples=200)
@given(data=st.data(), seed=st.integers(0, 31), name=st.sampled_from(sorted(PROFILES)), graph=st.booleans())
def test_any_profile_gives_exactly_k(data: st.DataObject, seed: int, name: str, *, graph: bool) -> None:
    """Exactly k different eligible items, whatever the sources, the fusion, the filters and the diversity."""
    world = small_world(seed, graph=graph)
    country = world.countries[data.draw(st.sampled_from(["AA", "BB", "LL"]))]
    request = data.draw(requests(country))
    answer = retriever(world).answer(query_of(country, request, name))
    allowed = eligible_rows(country, replace(request, exclude_history=request.exclude_history or name == "spread"))
    rows = answer.rows.tolist()
    assert len(set(rows)) == len(rows) == len(answer.scores) == min(request.k, len(allowed))
    assert set(rows) <= set(allowed)
    assert (answer.source_masks > 0).all()
    assert [report.contributed for report in answer.reports] == [
        int((answer.source_masks >> bit & 1).sum()) for bit in range(len(answer.reports))
    ]
    assert all(report.found >= report.contributed for report in answer.reports)
    assert answer.unknown_items == len(request.history) - len(request.known)
    assert name == "spread" or (np.diff(answer.scores) <= 0).all()


@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 15), graph=st.booleans())
def test_a_batch_is_answered_as_one_by_one(data: st.DataObject, seed: int, *, graph: bool) -> None:
    """Countries, profiles, filters and failing encoders mixed: every answer is the one it would get alone."""
    world = small_world(seed, graph=graph)
    queries = []
    for _ in range(data.draw(st.integers(0, 6))):
        country = world.countries[data.draw(st.sampled_from(["AA", "BB", "LL"]))]
        request = data.draw(requests(country))
        request = replace(request, age=data.draw(st.sampled_from([request.age, request.age, POISON])))
        quotas = data.draw(st.sampled_from([{}, {}, {"led": 3}, {"led": 0, "popular": 4}]))
        name = data.draw(st.sampled_from(["every", "few", "spread", "led"]))
        profile = EVERY.name if name == "every" else name
        queries.append(query_of(country, request, profile, quotas=quotas))
    served = retriever(world)
    for found, query in zip(served.answer_batch(queries), queries, strict=True):
        assert_same(found, served.answer(query))


def test_a_batch_encodes_once() -> None:
    """One call of each encoder for all users of a country and profile, however many; none of a graph that is a mean."""
    world = plentiful()
    country = world.countries["AA"]
    fresh = encoders()
    served = Retriever(world, fresh, PROFILES, None)  # type: ignore[arg-type]
    queries = [query_of(country, Request(((row, 1), (row + 1, 2)), k=9), EVERY.name) for row in range(12)]
    opened = {name: encoder.calls for name, encoder in fresh.items()}
    served.answer_batch(queries)
    calls = {name: encoder.calls - opened[name] for name, encoder in fresh.items()}
    assert calls == {**dict.fromkeys(fresh, 1), "led": 0}


@pytest.mark.parametrize(
    ("history", "fallback", "degradation"),
    [
        ((), Fallback.EMPTY_HISTORY, Degradation.EMPTY_HISTORY),
        (((-1, 1), (-1, 2)), Fallback.UNKNOWN_HISTORY, Degradation.UNKNOWN_HISTORY),
    ],
)
def test_a_user_without_history_is_labelled(
    history: tuple[tuple[int, int], ...], fallback: Fallback, degradation: Degradation
) -> None:
    """LED orders by bias, two-tower goes by features, path and pair sources give nothing; popular needs none."""
    world = plentiful()
    country = world.countries["AA"]
    answer = retriever(world).answer(query_of(country, Request(history, k=7), EVERY.name))
    reports = {report.source: report for report in answer.reports}
    assert (answer.fallback, answer.unknown_items, len(answer.rows)) == (fallback, len(history), 7)
    assert reports["led"].method == "bias_order"
    assert {name for name, report in reports.items() if report.found} == {"led", "two_tower", "popular"}
    assert {report.degradation for name, report in reports.items() if name != "popular"} == {degradation}
    assert reports["popular"].degradation == Degradation.NONE
    popular = retriever(world).answer(query_of(country, Request(history, k=7), "popular"))
    assert popular.fallback == Fallback.NONE


def test_an_encoder_that_fails_leaves_the_others() -> None:
    """The source is labelled, the answer is full, and evidence is still given."""
    world = plentiful()
    country = world.countries["AA"]
    request = Request(((1, 1), (2, 4)), k=20, age=POISON)
    answer = retriever(world).answer(query_of(country, request, EVERY.name, explain=True))
    failed = {each.source for each in answer.reports if each.degradation == Degradation.ENCODER_FAILED}
    assert (answer.fallback, failed, len(answer.rows)) == (Fallback.SOURCE_FAILED, {"two_tower", "pdn"}, 20)
    alone = retriever(world).answer(query_of(country, request, "pdn"))
    assert (alone.fallback, alone.backfilled, alone.scores.tolist()) == (Fallback.SOURCE_FAILED, 20, [0.0] * 20)


def test_a_source_that_the_bundle_lacks_leaves_the_others() -> None:
    """It is labelled, and what it lacks comes from the others and from popularity."""
    world = plentiful()
    country = world.countries["LL"]
    answer = retriever(world).answer(query_of(country, Request(((0, 1),), k=3), EVERY.name))
    lacking = {each.source for each in answer.reports if each.degradation == Degradation.NOT_IN_BUNDLE}
    assert (answer.fallback, lacking) == (
        Fallback.SOURCE_MISSING,
        {"two_tower", "pdn", "item_interaction", "similar"},
    )
    led_only = Retriever(world, {"led": world.encoders["led"]}, PROFILES, None)  # type: ignore[dict-item, arg-type]
    answer = led_only.answer(query_of(world.countries["AA"], Request(((0, 1),), k=3), "pdn"))
    assert (answer.fallback, answer.backfilled) == (Fallback.SOURCE_MISSING, 3)


def test_what_popularity_fills_up_is_labelled() -> None:
    """It comes last, under the bit of popular, with the score of the one before it."""
    world = plentiful()
    country = world.countries["AA"]
    row = next(row for row in range(60) if (country.pdn.neighbours[row] >= 0).sum() > 0)  # type: ignore[union-attr]
    answer = retriever(world).answer(query_of(country, Request(((row, 1),), k=30), "pdn"))
    found = answer.reports[0].found
    assert 0 < found < 30
    assert [report.source for report in answer.reports] == ["pdn", "popular"]
    assert (answer.backfilled, answer.fallback) == (30 - found, Fallback.BACKFILLED)
    assert answer.reports[0].degradation == Degradation.EXHAUSTED
    assert answer.source_masks.tolist() == [1] * found + [2] * (30 - found)
    assert set(answer.scores[found:].tolist()) == {float(answer.scores[found - 1])}


def test_a_merchant_with_fewer_than_k_items_gives_all_of_them() -> None:
    """Nothing is made up: fewer than k are answered, and nobody is said to have filled up."""
    world = plentiful()
    country = world.countries["AA"]
    own = len(country.catalog.rows_of_merchant("m1"))
    answer = retriever(world).answer(query_of(country, Request(((0, 1),), k=60, merchants=("m1",)), "led"))
    assert (len(answer.rows), answer.backfilled) == (own, 0)
    assert answer.reports[0].degradation == Degradation.EXHAUSTED
    none = retriever(world).answer(query_of(country, Request(((0, 1),), k=60, merchants=("nobody",)), "led"))
    assert len(none.rows) == 0


def test_another_country_may_stand_in() -> None:
    """An unknown country is refused with the known ones, or answered by the configured one, and labelled."""
    world = plentiful()
    query = msgspec.structs.replace(query_of(world.countries["AA"], Request(((0, 1),), k=3), "led"), country="ZZ")
    with pytest.raises(UnknownCountryError) as caught:
        retriever(world).answer(query)
    assert (str(caught.value), caught.value.known) == ("unknown country 'ZZ'", ("AA", "BB", "LL"))
    answer = retriever(world, "AA").answer(query)
    assert (answer.country.code, answer.fallback) == ("AA", Fallback.COUNTRY)
    with pytest.raises(UnknownCountryError):
        retriever(world, "YY").answer(query)


def test_refusals_come_before_any_work() -> None:
    """Unknown profile, price without prices, a feature of the wrong kind; a batch says which request it was."""
    world = plentiful()
    fine = query_of(world.countries["LL"], Request(((0, 1),), k=3), EVERY.name)
    refused: list[tuple[type[Exception], Query]] = [
        (UnknownProfileError, msgspec.structs.replace(fine, profile="none")),
        (NoPricesError, msgspec.structs.replace(fine, filters=Filters(price=(0.0, 1.0)))),
        (FeatureKindError, msgspec.structs.replace(fine, features={"age": "old"})),
    ]
    for error, query in refused:
        fresh = encoders()
        served = Retriever(world, fresh, PROFILES, None)  # type: ignore[arg-type]
        opened = [encoder.calls for encoder in fresh.values()]
        with pytest.raises(error):
            served.answer(query)
        with pytest.raises(RefusedInBatchError) as caught:
            served.answer_batch([fine, query])
        assert (caught.value.position, type(caught.value.reason)) == (1, error)
        assert [encoder.calls for encoder in fresh.values()] == opened


def test_quotas_of_the_request_replace_those_of_the_profile() -> None:
    """0 leaves a source out, a source that the profile has not is added, and counts are those asked for."""
    world = plentiful()
    country = world.countries["AA"]
    request = Request(((0, 1), (1, 1)), k=10)
    answer = retriever(world).answer(
        query_of(country, request, EVERY.name, quotas={"led": 4, "pdn": 0, "popular": 2, "two_tower": 0})
    )
    assert [report.source for report in answer.reports] == ["led", "item_interaction", "similar", "popular"]
    assert answer.reports[0].found == 4
    added = retriever(world).answer(query_of(country, request, "led", quotas={"popular": 5}))
    assert [(report.source, report.found) for report in added.reports] == [("led", 10), ("popular", 5)]
    nothing = retriever(world).answer(query_of(country, request, "led", quotas={"led": 0}))
    assert (nothing.backfilled, [report.source for report in nothing.reports]) == (10, ["popular"])


def test_features_that_no_encoder_takes_are_counted() -> None:
    """Whether the profile's sources use a feature does not matter, the bundle's encoders do."""
    world = plentiful()
    query = query_of(world.countries["AA"], Request(((0, 1),), k=3), "led", features={"age": 20.0, "mood": "good"})
    assert retriever(world).answer(query).unused_features == 1


def test_a_seed_that_is_not_known_counts_as_unknown() -> None:
    """The history's unknown items and the seed are counted together."""
    world = plentiful()
    query = query_of(world.countries["AA"], Request(((0, 1), (-1, 1)), k=3), "similar", seed=refs([6]))
    assert retriever(world).answer(query).unknown_items == 2


def test_embeddings_are_given_when_asked_for() -> None:
    """The vector of every source that has one, as its encoder gave it."""
    world = plentiful()
    country = world.countries["AA"]
    request = Request(((0, 1), (3, 1)), k=3)
    answer = retriever(world).answer(query_of(country, request, EVERY.name, return_embedding=True))
    assert set(answer.embeddings) == {"led", "two_tower", "pdn"}
    mean = country.led.vectors[[0, 3], :-1].mean(axis=0)
    assert answer.embeddings["led"].tolist() == pytest.approx([*mean.tolist(), 1.0])
    assert not retriever(world).answer(query_of(country, request, EVERY.name)).embeddings


def test_without_profiles_the_default_is_made_of_what_the_bundle_has() -> None:
    """LED alone is answered in its own order; with more sources, reciprocal rank decides."""
    assert built_in_profile(("led",)).fusion == "single"
    world = plentiful()
    served = Retriever(world, world.encoders, {}, None)  # type: ignore[arg-type]
    answer = served.answer(query_of(world.countries["AA"], Request(((0, 1),), k=PLENTY)))
    assert [report.source for report in answer.reports][:4] == ["led", "two_tower", "pdn", "item_interaction"]
    assert answer.profile == "default"


def test_the_order_of_a_mixed_history_is_kept() -> None:
    """Ids and keys are looked up apart and put back in their places."""
    country = plentiful().countries["AA"]
    ids, key = country.catalog.item_ids, country.catalog.details(1).item_key
    items = [int(ids[3]), key, "none", int(ids[0]), 99, country.catalog.details(2).item_key]
    assert resolve_rows(country, refs(items)).tolist() == [3, 1, -1, 0, -1, 2]
