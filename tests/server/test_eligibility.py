"""Eligibility against a look at every row, and what the planner makes of it."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asking import query_of, requests
from index_store.arrays import StringTable
from index_store.catalog import Catalog
from index_store.index import Neighbours, exact_top_k
from naive import Request, eligible_rows
from server.eligibility import Everything, eligibility
from server.exclusions import Exclusions
from server.query import Filters, ItemRefs
from server.sources.base import NO_ROWS, Eligibility
from server.sources.mips import Space, search_eligible
from server.sources.ordered import Order, first_eligible
from small_world import small_world

N = 20_000
EF = 100


@settings(max_examples=200)
@given(data=st.data(), seed=st.integers(0, 31), code=st.sampled_from(["AA", "BB", "LL"]))
def test_every_view_agrees_with_a_look_at_each_row(data: st.DataObject, seed: int, code: str) -> None:
    """Rows, count and marks are the same set; what is left out besides is left out, too."""
    country = small_world(seed).countries[code]
    request = data.draw(requests(country))
    left_out = np.array([row for row, _ in request.known] if request.exclude_history else [], dtype=np.int64)
    found = eligibility(country.catalog, query_of(country, request).filters, left_out)
    expected = eligible_rows(country, request)
    every = np.arange(-1, country.catalog.size)
    assert found.rows().tolist() == expected
    assert found.count == len(expected)
    assert every[found.keep(every)].tolist() == expected
    assert found.all == isinstance(found, Everything)
    assert country.catalog.size - len(expected) <= found.most_left_out <= country.catalog.size
    assert 0 <= found.estimate <= country.catalog.size
    more = np.array(data.draw(st.lists(st.integers(0, country.catalog.size - 1), max_size=5)), dtype=np.int64)
    fewer = found.without(more[:2]).without(more)
    left = [row for row in expected if row not in more]
    assert (fewer.rows().tolist(), fewer.count, every[fewer.keep(every)].tolist()) == (left, len(left), left)
    assert country.catalog.size - len(left) <= fewer.most_left_out <= country.catalog.size
    assert 0 <= fewer.estimate <= country.catalog.size


def large_catalog() -> Catalog:
    """20,000 items: merchants of 1, 2, 4, ... items, three categories, prices 0 to 99."""
    rng = np.random.default_rng(1)
    merchants = [f"m{int(np.log2(row + 1))}" for row in range(N)]
    columns = {
        "merchants": StringTable.of(merchants),
        "categories": StringTable.of([f"c{row % 3}" for row in range(N)]),
    }
    prices = rng.integers(0, 100, N).astype(np.float32)
    return Catalog(rng.permutation(N).astype(np.uint64) + 7, rng.integers(0, 50, N), columns, prices)


CATALOG = large_catalog()
VECTORS = np.random.default_rng(2).normal(size=(N, 8)).astype(np.float32)
QUERY = np.random.default_rng(3).normal(size=(1, 8)).astype(np.float32)
ORDER = exact_top_k(VECTORS, QUERY, N).rows[0]


@dataclass
class CountingIndex:
    """Exact search that remembers how many rows it was asked for, one query and all."""

    asked: list[int] = field(default_factory=list)
    most: int = 0

    def search(self, queries: np.ndarray, k: int, *, spare: bool = False) -> Neighbours:  # noqa: ARG002
        """See `index_store.index.Index`."""
        self.asked.append(k)
        self.most = max(self.most, k * len(queries))
        return exact_top_k(VECTORS, queries, k)


def excluding(rows: np.ndarray) -> Filters:
    """A filter that leaves rows out by id."""
    ids = CATALOG.item_ids[rows]
    return Filters(excluded=ItemRefs(len(ids), ids, np.arange(len(ids)), (), NO_ROWS))


def search(eligible: Eligibility, k: int) -> tuple[list[int], str, list[int]]:
    """Search as over a graph: rows, plan, and what the index was asked for."""
    index = CountingIndex()
    (hits,) = search_eligible(Space(VECTORS, index, N, graph_ef=EF, recall_k=EF), QUERY, [k], [eligible])
    kept = ORDER[eligible.keep(ORDER)][:k]
    assert hits.rows.tolist() == kept.tolist()
    return hits.rows.tolist(), hits.plan, index.asked


CASES = {
    "nothing": (Filters(), 50, "none", [50]),
    "a small merchant": (Filters(merchants=("m3",)), 50, "posting_lists", []),
    "two merchants": (Filters(merchants=("m3", "m5")), 50, "posting_lists", []),
    "no merchant": (Filters(merchants=("nobody",)), 50, "posting_lists", []),
    "a price": (Filters(price=(3.0, 3.0)), 50, "posting_lists", []),
    "a category": (Filters(categories=("c1",)), 10, "mask", None),
    "a category and a wide price": (Filters(categories=("c1",), price=(0.0, 90.0)), 10, "mask", None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_plan_follows_from_selectivity(case: str) -> None:
    """Few eligible rows are scored, many are fetched and masked; either way the answer is the same."""
    filters, k, plan, asked = CASES[case]
    found, planned, fetched = search(eligibility(CATALOG, filters, NO_ROWS), k)
    assert planned == plan
    assert asked is None or fetched == asked
    assert len(found) == min(k, eligibility(CATALOG, filters, NO_ROWS).count)


@settings(max_examples=200)
@given(data=st.data(), excluded=st.lists(st.integers(0, 2**64 - 1), max_size=60))
def test_exclusions_hold_what_they_hold(data: st.DataObject, excluded: list[int]) -> None:
    """Marks are those of a set, whichever side is longer, with repetitions on both."""
    known = st.sampled_from(excluded) if excluded else st.nothing()
    asked = data.draw(st.lists(st.integers(0, 2**64 - 1) | known, max_size=60))
    found = Exclusions(np.array(excluded, dtype=np.uint64)).hold(np.array(asked, dtype=np.uint64))
    assert found.tolist() == [item in excluded for item in asked]


@settings(max_examples=100)
@given(
    excluded=st.integers(0, 1_500), asked=st.integers(0, 1_500), common=st.integers(0, 1_500), seed=st.integers(0, 99)
)
def test_long_lists_hold_what_they_hold(excluded: int, asked: int, common: int, seed: int) -> None:
    """The same for as many ids as are hashed on either side, from none in common to all."""
    rng = np.random.default_rng(seed)
    both = rng.integers(0, 2**64, common, dtype=np.uint64)
    left_out = rng.permutation(np.concatenate([both, rng.integers(0, 2**64, excluded, dtype=np.uint64)]))
    ids = rng.permutation(np.concatenate([both, rng.integers(0, 2**64, asked, dtype=np.uint64)]))
    assert Exclusions(left_out).hold(ids).tolist() == np.isin(ids, left_out).tolist()


def test_a_long_list_of_exclusions_costs_no_wider_search() -> None:
    """Half the catalogue's size in ids that are spread over it: twice k is asked for, not k plus 9,000."""
    rows = np.random.default_rng(4).permutation(N)[:9_000]
    _, plan, fetched = search(eligibility(CATALOG, excluding(rows), NO_ROWS), 50)
    assert plan == "mask"
    assert max(fetched) <= 150


def test_exclusions_that_are_all_among_the_best_make_it_grow() -> None:
    """The first fetch has nothing to give: more is fetched, up to what is always enough, and the answer is exact."""
    _, plan, fetched = search(eligibility(CATALOG, excluding(ORDER[:400]), NO_ROWS), 50)
    assert plan == "growing"
    assert fetched == sorted(fetched)
    assert fetched[-1] <= 450


class ShallowIndex:
    """Like a graph that was calibrated at ef = 2 k: of the rows asked for only the best half are surely right."""

    def search(self, queries: np.ndarray, k: int, *, spare: bool = False) -> Neighbours:  # noqa: ARG002
        """Miss every third row of the worse half."""
        half = k // 2
        rows = np.concatenate([ORDER[:half], np.delete(ORDER[half : 2 * k], slice(None, None, 3))])[:k][None]
        return Neighbours(rows, (VECTORS[rows[0]] @ queries[0])[None], "hnsw")


def test_what_lies_deeper_than_the_index_is_right_is_searched_again() -> None:
    """A user's own best are left out: enough others are found at once, but too deep to be the best ones."""
    space = Space(VECTORS, ShallowIndex(), N, graph_ef=100, recall_k=50)
    eligible = eligibility(CATALOG, excluding(ORDER[:100]), NO_ROWS)
    (found,) = search_eligible(space, QUERY, [50], [eligible])
    assert found.rows.tolist() == ORDER[100:150].tolist()
    assert found.plan == "growing"


def test_growth_ends_in_scoring_what_is_eligible() -> None:
    """Where even that costs more than looking at the eligible rows, those are scored."""
    _, plan, fetched = search(eligibility(CATALOG, excluding(ORDER[:9_900]), NO_ROWS), 50)
    assert plan == "growing"
    assert sum(fetched) < 9_900


def test_a_history_is_expected_among_the_best() -> None:
    """As many more are fetched at once as the history has items: no second search."""
    history = ORDER[:30]
    _, plan, fetched = search(eligibility(CATALOG, Filters(), history), 50)
    assert (plan, fetched) == ("mask", [80])


@settings(max_examples=40)
@given(data=st.data())
def test_users_of_a_batch_do_not_disturb_each_other(data: st.DataObject) -> None:
    """Several queries with different filters and counts in one call: each gets what it would get alone."""
    drawn = [CASES[name][0] for name in data.draw(st.lists(st.sampled_from(sorted(CASES)), min_size=1, max_size=5))]
    filters = [*drawn, excluding(ORDER[:300])]
    eligible = [eligibility(CATALOG, each, NO_ROWS) for each in filters]
    wanted = [data.draw(st.integers(1, 300)) for _ in filters]
    queries = np.repeat(QUERY, len(filters), axis=0)
    for graph_ef in (0, EF):
        space = Space(VECTORS, CountingIndex(), N, graph_ef=graph_ef, recall_k=EF)
        for hits, each, k in zip(search_eligible(space, queries, wanted, eligible), eligible, wanted, strict=True):
            assert hits.rows.tolist() == ORDER[each.keep(ORDER)][:k].tolist()


@settings(max_examples=200)
@given(name=st.sampled_from(sorted(CASES)), k=st.integers(1, 400), few=st.booleans())
def test_an_order_is_walked_or_its_rows_listed(name: str, k: int, *, few: bool) -> None:
    """Popularity within filters: by descending count, equal ones by lower row, whatever the plan."""
    eligible = eligibility(CATALOG, CASES[name][0], NO_ROWS)
    if few:
        eligible = eligible.without(CATALOG.popular_order[:500])
    rows, plan, _ = first_eligible(Order(CATALOG.popular_order, CATALOG.popularity), k, eligible)
    assert rows.tolist() == CATALOG.popular_order[eligible.keep(CATALOG.popular_order)][:k].tolist()
    assert plan in {"none", "posting_lists", "mask", "growing"}


def test_without_filters_nothing_is_made() -> None:
    """All rows are eligible, and asking for marks costs one comparison."""
    assert isinstance(eligibility(CATALOG, Filters(), NO_ROWS), Everything)
    request = Request(((0, 1),))
    assert not request.exclude_history


def test_a_wider_search_keeps_the_measured_ratio() -> None:
    """A breadth of 100 that was measured for 40 rows serves up to 40; for 200 rows it takes 500."""
    index = CountingIndex()
    space = Space(VECTORS, index, N, graph_ef=100, recall_k=40)
    everything = eligibility(CATALOG, Filters(), NO_ROWS)
    for wanted in (40, 200, N):
        (hits,) = search_eligible(space, QUERY, [wanted], [everything])
        assert len(hits.rows) == wanted
    assert index.asked == [40, 500, N]


def test_a_large_batch_is_searched_in_parts() -> None:
    """256 users who want 1,000 each would gather 256,000 vectors: no search takes more than 32,768 at once."""
    index = CountingIndex()
    everything = eligibility(CATALOG, Filters(), NO_ROWS)
    space = Space(VECTORS, index, N, graph_ef=EF, recall_k=EF)
    hits = search_eligible(space, np.repeat(QUERY, 256, axis=0), [1_000] * 256, [everything] * 256)
    assert all(each.rows.tolist() == ORDER[:1_000].tolist() for each in hits)
    assert index.most <= 32_768
