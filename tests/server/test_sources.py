"""Every source through the Retriever, against the naive reference of its equation, on random countries and requests."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asking import only, query_of, requests
from naive import SCORES, Request, best, eligible_rows, pair_cosines
from server.answer import Answer, Degradation
from server.profiles import Profile, SourceName, SourceSetting
from server.retrieval import Retriever
from small_world import PAIR_SOURCES, SmallWorld, small_world

NAMES = sorted(SCORES)
PROFILES = {name: only(name) for name in NAMES}  # type: ignore[arg-type]


def retriever(world: SmallWorld, **profiles: Profile) -> Retriever:
    """A retriever with one profile per source."""
    return Retriever(world, world.encoders, {**PROFILES, **profiles}, None)  # type: ignore[arg-type]


def check_exact(answer: Answer, scores: dict[int, float], request: Request) -> None:
    """The answer is the source's exact best of the eligible rows, filled up with the most popular others."""
    country, rows = answer.country, answer.rows.tolist()
    eligible = eligible_rows(country, request)
    own = len(rows) - answer.backfilled
    expected = best(scores, eligible, request.k)
    assert len(set(rows)) == len(rows) == min(request.k, len(eligible))
    assert set(rows) <= set(eligible)
    assert answer.scores[:own].tolist() == pytest.approx(expected, abs=1e-4)
    assert answer.scores[:own].tolist() == pytest.approx([scores[row] for row in rows[:own]], abs=1e-4)
    popularity = country.catalog.popularity
    others = [row for row in eligible if row not in rows[:own]]
    assert rows[own:] == sorted(others, key=lambda row: (-popularity[row], row))[: answer.backfilled]
    assert (np.diff(answer.scores) <= 0).all()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150)
@given(data=st.data(), seed=st.integers(0, 31), code=st.sampled_from(["AA", "BB"]))
def test_it_equals_its_equation(name: str, data: st.DataObject, seed: int, code: str) -> None:
    """Whatever the filters: exactly k, the best of what is eligible, in order, nothing else."""
    world = small_world(seed)
    country = world.countries[code]
    request = data.draw(requests(country))
    answer = retriever(world).answer(query_of(country, request, name))
    missing = answer.reports[0].degradation == Degradation.NOT_IN_BUNDLE
    check_exact(answer, {} if missing else SCORES[name](country, request), request)


@pytest.mark.parametrize("name", ["led", "two_tower", "item_interaction"])
@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 15))
def test_over_a_graph_nothing_leaks_and_nothing_falls_short(name: str, data: st.DataObject, seed: int) -> None:
    """The graph may miss, but whatever it gives is eligible, rightly scored, and filled up to k."""
    world = small_world(seed, graph=True)
    country = world.countries["AA"]
    request = data.draw(requests(country))
    answer = retriever(world).answer(query_of(country, request, name))
    eligible = eligible_rows(country, request)
    rows, scores = answer.rows.tolist(), SCORES[name](country, request)
    own = len(rows) - answer.backfilled
    assert len(set(rows)) == len(rows) == min(request.k, len(eligible))
    assert set(rows) <= set(eligible)
    assert answer.scores[:own].tolist() == pytest.approx([scores[row] for row in rows[:own]], abs=1e-4)
    assert own == min(request.k, len([row for row in eligible if row in scores]))


@pytest.mark.parametrize("sources", [("item_interaction",), ("item_interaction", "led")], ids=["alone", "fused"])
@settings(max_examples=80)
@given(data=st.data(), seed=st.integers(0, 31))
def test_modules_are_the_nearest_of_each_pair(sources: tuple[SourceName, ...], data: st.DataObject, seed: int) -> None:
    """Each list holds the k nearest eligible target pairs of one recent pair, without the history's own items."""
    world = small_world(seed)
    country = world.countries["AA"]
    request = data.draw(requests(country))
    query = query_of(country, request, "asked", include_modules=True)
    answer = retriever(world, asked=only(*sources, fusion="reciprocal_rank")).answer(query)
    if answer.reports[0].degradation == Degradation.NOT_IN_BUNDLE:
        assert not answer.modules
        return
    own = {row for row, _ in request.known}
    allowed = set(eligible_rows(country, request)) - own
    cosines = pair_cosines(country, request)
    assert {((m.trigger_row, m.source_type), m.target_type) for m in answer.modules} == {
        (start, target) for start, target, _, _ in cosines
    }
    for module in answer.modules:
        start = (module.trigger_row, module.source_type)
        near = {row: cosine for key, target, row, cosine in cosines if (key, target) == (start, module.target_type)}
        assert module.scores.tolist() == pytest.approx(best(near, sorted(allowed), request.k), abs=1e-5)
        assert set(module.rows.tolist()) <= allowed


@pytest.mark.parametrize(("name", "setting"), [("pdn", {"triggers": 1}), ("item_interaction", {"last_n": 1})])
def test_a_profile_may_follow_fewer_starting_points(name: str, setting: dict[str, int]) -> None:
    """`triggers` and `last_n` of the profile stand before the bundle's."""
    narrow = Profile("narrow", (SourceSetting(name, **setting),), "single")  # type: ignore[arg-type]
    narrower = 0
    for seed in range(20):
        world = small_world(seed)
        country = world.countries["BB"]
        request = Request(tuple((row % country.catalog.size, 1) for row in range(6)), k=60)
        served = retriever(world, narrow=narrow)
        found = [served.answer(query_of(country, request, profile)).reports[0].fetched for profile in (name, "narrow")]
        assert found[1] <= found[0]
        narrower += found[1] < found[0]
    assert narrower > 10


@pytest.mark.parametrize("name", ["led", "two_tower"])
def test_a_merchant_that_the_user_never_visited_is_answered(name: str) -> None:
    """LED paper, section 1: any user, any merchant; the search is exact over the merchant's own items."""
    world = small_world(3, graph=True)
    country = max((world.countries["AA"], world.countries["BB"]), key=lambda each: each.catalog.size)
    merchants = country.catalog.merchant_codes
    visited = next(row for row in range(country.catalog.size) if country.catalog.details(row).merchant == "m1")
    request = Request(((visited, 1),), k=5, merchants=("m2",))
    answer = retriever(world).answer(query_of(country, request, name))
    assert len(set(merchants[answer.rows].tolist())) == 1
    check_exact(answer, SCORES[name](country, request), replace(request))
    assert (answer.reports[0].method, answer.reports[0].plan) == ("exact", "posting_lists")


def test_an_untyped_interaction_begins_at_the_first_source_type() -> None:
    """Callers that do not say what was done get the modules of the bundle's first source type."""
    answered = 0
    for seed in range(10):
        world = small_world(seed)
        country = world.countries["BB"]
        history = tuple((row, 0) for row in range(min(3, country.catalog.size)))
        answer = retriever(world).answer(query_of(country, Request(history), "item_interaction", include_modules=True))
        assert all(module.source_type == PAIR_SOURCES[0] for module in answer.modules)
        answered += bool(answer.modules)
    assert answered > 5
