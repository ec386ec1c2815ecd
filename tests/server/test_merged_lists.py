"""Item-interaction's lists where they are only merged, over an index that gives what it has scored besides."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asking import only, query_of, requests
from index_store.country import Country
from index_store.index import Neighbours, exact_top_k
from index_store.index_entry import ScannEntry
from index_store.item_interaction import Pairs
from index_store.manifest import PairsEntry
from models.interactions import InteractionType
from naive import SCORES, Request, best, eligible_rows
from server.answer import Answer
from server.query import Query
from server.retrieval import Retriever
from small_world import PAIR_TARGETS, SmallWorld, small_world

RECALL_K = 2
PROFILES = {name: only(name) for name in ("item_interaction", "led")}  # type: ignore[arg-type]
EFFORT = ScannEntry(leaves=4, block=2, soar=None, seed=1, search_leaves=1, reorder=RECALL_K)


@dataclass
class Sparing:
    """Exact for the k rows that it is asked for; of `more` to spare it misses every `missing`-th."""

    vectors: np.ndarray
    more: int
    missing: int
    rows: int = 0

    def search(self, queries: np.ndarray, k: int, *, spare: bool = False) -> Neighbours:
        """See `index_store.index.Index`."""
        self.rows += k * len(queries)
        found = exact_top_k(self.vectors, queries, k + self.more if spare else k)
        if self.missing:
            lost = np.arange(found.rows.shape[1]) % self.missing == 0
            lost[:k] = False
            order = np.argsort(lost, kind="stable")
            found = Neighbours(np.where(lost, -1, found.rows), np.where(lost, -np.inf, found.scores), "scann")
            found = Neighbours(found.rows[:, order], found.scores[:, order].astype(np.float32), "scann")
        return found


def sparing_world(seed: int, more: int, missing: int = 0) -> SmallWorld:
    """A small world whose pairs are searched like that."""
    world = small_world(seed)
    return replace(world, countries={**world.countries, "AA": _sparing(world.countries["AA"], more, missing)})


def _sparing(country: Country, more: int, missing: int) -> Country:
    shard = country.item_interaction
    assert shard is not None
    pairs = {}
    for kind, each in shard.pairs.items():
        known: dict[str, Any] = {name: getattr(each.entry, name) for name in each.entry.__struct_fields__}
        entry = PairsEntry(**{**known, "engine": "scann", "recall_k": RECALL_K, "scann": EFFORT})
        pairs[kind] = Pairs(entry, each.rows, each.vectors, Sparing(each.vectors, more, missing))
    return replace(country, item_interaction=replace(shard, pairs=pairs))


def answered(world: SmallWorld, query: Query) -> Answer:
    """Ask item-interaction alone."""
    return Retriever(world, world.encoders, PROFILES, None).answer(query)  # type: ignore[arg-type]


@st.composite
def shallow(draw: st.DrawFn, country: Country) -> Request:
    """Draw a request for few items, often without a filter: of few eligible ones all would be scored."""
    return replace(draw(requests(country, filtered=draw(st.booleans()))), k=draw(st.integers(1, 25)))


@settings(max_examples=200)
@given(data=st.data(), seed=st.integers(0, 31), more=st.sampled_from([0, 1, 5, 20]))
def test_what_is_to_spare_makes_up_for_shallow_lists(data: st.DataObject, seed: int, more: int) -> None:
    """Where nothing is missed the merged answer is the best of all whole lists, however shallow they were asked for."""
    world = sparing_world(seed, more)
    country = world.countries["AA"]
    request = data.draw(shallow(country))
    answer = answered(world, query_of(country, request, "item_interaction"))
    scores = SCORES["item_interaction"](country, request)
    own = len(answer.rows) - answer.backfilled
    expected = best(scores, eligible_rows(country, request), request.k)
    assert answer.scores[:own].tolist() == pytest.approx(expected, abs=1e-5)
    assert answer.scores[:own].tolist() == pytest.approx([scores[row] for row in answer.rows[:own].tolist()], abs=1e-5)


@settings(max_examples=200)
@given(data=st.data(), seed=st.integers(0, 31))
def test_what_is_missed_neither_leaks_nor_leaves_a_gap(data: st.DataObject, seed: int) -> None:
    """Where some is missed what is given is eligible, each once, in order, and as much as the lists hold."""
    world = sparing_world(seed, more=20, missing=3)
    country = world.countries["AA"]
    request = data.draw(shallow(country))
    answer = answered(world, query_of(country, request, "item_interaction"))
    scores, eligible = SCORES["item_interaction"](country, request), eligible_rows(country, request)
    rows = answer.rows.tolist()
    own = len(rows) - answer.backfilled
    assert len(set(rows)) == len(rows) == min(request.k, len(eligible))
    assert set(rows) <= set(eligible)
    # the list that has an item's largest cosine may be one that missed it
    assert (answer.scores[:own] <= np.array([scores[row] for row in rows[:own]]) + 1e-5).all()
    assert (np.diff(answer.scores[:own]) <= 0).all()
    assert own == min(request.k, len([row for row in eligible if row in scores]))


def lopsided_world(more: int, missing: int) -> tuple[SmallWorld, Request]:
    """A world, and a request that begins two lists for each of two target types: one of the four has all the best."""
    world = next(world for world in map(small_world, range(50)) if world.countries["AA"].catalog.size == 60)
    country = world.countries["AA"]
    shard = country.item_interaction
    assert shard is not None
    rng = np.random.default_rng(0)
    near, far = shard.pairs[InteractionType.VIEW].rows[:2].tolist()
    pairs = {}
    for kind, each in shard.pairs.items():
        vectors = 0.3 * rng.normal(size=each.vectors.shape).astype(np.float32)
        vectors[:, 0] += -1.0 if kind == PAIR_TARGETS[1] else 1.0
        vectors[each.rows == far] = np.eye(vectors.shape[1])[1]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        pairs[kind] = replace(each, vectors=vectors)
    country = _sparing(replace(country, item_interaction=replace(shard, pairs=pairs)), more, missing)
    view = int(InteractionType.VIEW)
    return replace(world, countries={"AA": country}), Request(((near, view), (far, view)), k=16)


@pytest.mark.parametrize(("more", "missing"), [(0, 0), (40, 3)])
def test_a_list_that_has_most_of_the_best_is_asked_again(more: int, missing: int) -> None:
    """Where it was cut off, and where much of what it gave was only to spare; what that cost is reported."""
    world, request = lopsided_world(more, missing)
    country = world.countries["AA"]
    answer = answered(world, query_of(country, request, "item_interaction"))
    expected = best(SCORES["item_interaction"](country, request), eligible_rows(country, request), request.k)
    assert not answer.backfilled
    assert answer.scores.tolist() == pytest.approx(expected, abs=1e-5)
    (report,) = answer.reports
    assert country.item_interaction is not None
    asked = sum(each.index.rows for each in country.item_interaction.pairs.values())  # type: ignore[attr-defined]
    assert report.fetched == asked
    assert report.plan == "mask"


def test_merged_lists_are_asked_for_less_than_whole_ones() -> None:
    """The same request fetches fewer rows where its modules are not asked for."""
    fewer = 0
    for seed in range(20):
        fetched = []
        for include_modules in (False, True):
            world = sparing_world(seed, more=20)
            country = world.countries["AA"]
            if country.catalog.size < 20:
                continue
            history = tuple((row, 1) for row in range(4))
            answered(
                world, query_of(country, Request(history, k=12), "item_interaction", include_modules=include_modules)
            )
            shard = country.item_interaction
            assert shard is not None
            fetched.append(sum(each.index.rows for each in shard.pairs.values()))  # type: ignore[attr-defined]
        fewer += bool(fetched) and fetched[0] < fetched[1]
    assert fewer > 3


def test_lists_whose_eligible_items_were_all_scored_are_not_asked_again() -> None:
    """Under a filter that leaves few items each is scored once for each list, as where the modules are asked for."""
    compared = 0
    for seed in range(10):
        fetched, plans = set(), set()
        for include_modules in (False, True):
            world = sparing_world(seed, more=0)
            country = world.countries["AA"]
            request = Request(tuple((row, 1) for row in range(4)), k=12, merchants=("m1",))
            query = query_of(country, request, "item_interaction", include_modules=include_modules)
            report = answered(world, query).reports[0]
            fetched.add(report.fetched)
            plans.add(report.plan)
        assert plans == {"posting_lists"}
        assert len(fetched) == 1
        compared += fetched != {0}
    assert compared > 3
