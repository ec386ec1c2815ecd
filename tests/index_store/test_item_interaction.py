"""Pairs: nearest items by target type, merged to one list, as a naive loop over all pairs gives them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index_store.hnsw import HnswIndex
from index_store.index import ExactIndex
from index_store.item_interaction import ItemInteractionShard, PairNeighbours, Pairs, merged
from index_store.manifest import PairsEntry
from models.interactions import InteractionType
from tiny_sources import CART, PURCHASE, VIEW, unit

SIZE, DIM = 25, 4
SEEDS = st.integers(0, 2**32 - 1)


def shard_of(seed: int, kinds: tuple[InteractionType, ...] = (VIEW, CART, PURCHASE)) -> ItemInteractionShard:
    """Pairs of some items of a catalogue of 25; many have the same vector, so that ties are frequent."""
    rng = np.random.default_rng(seed)
    few = unit(rng.normal(size=(6, DIM)).astype(np.float32))
    pairs = {}
    for kind in kinds:
        rows = np.sort(rng.permutation(SIZE)[: rng.integers(1, SIZE)]).astype(np.int32)
        vectors = few[rng.integers(0, len(few), size=len(rows))]
        pairs[kind] = Pairs(entry_of(len(rows)), rows, vectors, ExactIndex(vectors))
    return ItemInteractionShard(sources=(VIEW, CART), targets=(CART, PURCHASE), last_n=2, pairs=pairs)


def entry_of(count: int) -> PairsEntry:
    """Say that pairs are searched exactly."""
    facts = {"recall_k": 1, "recall_target": 1.0, "recall": 1.0, "queries": 0, "own_queries": 0, "curve": ()}
    return PairsEntry(dim=DIM, engine="exact", count=count, **facts)


def naive(shard: ItemInteractionShard, row: int, source: InteractionType, target: InteractionType) -> dict[int, float]:
    """All target items but the pair's own, with their cosines."""
    if source not in shard.pairs or target not in shard.pairs or row not in shard.pairs[source].rows:
        return {}
    begins, ends = shard.pairs[source], shard.pairs[target]
    query = begins.vectors[begins.rows.tolist().index(row)]
    found = zip(ends.rows.tolist(), ends.vectors, strict=True)
    return {other: float((query * vector).sum()) for other, vector in found if other != row}


@settings(max_examples=200)
@given(seed=SEEDS, k=st.integers(1, 40), asked=st.lists(st.integers(0, SIZE - 1), max_size=6))
def test_search_finds_each_pairs_nearest_items_but_its_own(seed: int, k: int, asked: list[int]) -> None:
    """Best first, equal ones by lower row, -1 where there are no more; a row without a pair finds nothing."""
    shard = shard_of(seed)
    found = shard.search(np.array(asked, dtype=np.int64), VIEW, CART, k)
    assert found.rows.shape == found.scores.shape
    assert found.rows.shape[0] == len(asked)
    for row, rows, scores in zip(asked, found.rows.tolist(), found.scores.tolist(), strict=True):
        expected = naive(shard, row, VIEW, CART)
        best = sorted(expected, key=lambda other: (-round(expected[other], 5), other))[:k]
        kept = [other for other in rows if other >= 0]
        assert rows[len(kept) :] == [-1] * (len(rows) - len(kept))
        assert scores[len(kept) :] == [-np.inf] * (len(rows) - len(kept))
        assert len(set(kept)) == len(kept) == len(best)
        np.testing.assert_allclose(scores[: len(kept)], [expected[other] for other in best], atol=1e-5)
        np.testing.assert_allclose(scores[: len(kept)], [expected[other] for other in kept], atol=1e-5)


HISTORIES = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, 5)), max_size=12)


@settings(max_examples=200)
@given(seed=SEEDS, history=HISTORIES, last_n=st.none() | st.integers(1, 5))
def test_recent_pairs_are_the_last_different_ones_with_a_vector(
    seed: int, history: list[tuple[int, int]], last_n: int | None
) -> None:
    """Newest first, by source type, each pair once; pairs without a vector do not count."""
    shard = shard_of(seed)
    rows, types = (np.array([pair[place] for pair in history], dtype=np.int64) for place in (0, 1))
    expected = {}
    for kind in shard.sources:
        own: list[int] = []
        for row, type_ in reversed(history):
            if type_ == kind and row in shard.pairs[kind].rows and row not in own:
                own.append(row)
        if own:
            expected[kind] = own[: last_n or shard.last_n]
    assert {kind: found.tolist() for kind, found in shard.recent(rows, types, last_n).items()} == expected


@settings(max_examples=200)
@given(seed=SEEDS, history=HISTORIES, kinds=st.sampled_from([(VIEW, CART, PURCHASE), (VIEW, PURCHASE), (CART,), ()]))
def test_merged_modules_have_every_item_once_with_its_largest_cosine(
    seed: int, history: list[tuple[int, int]], kinds: tuple[InteractionType, ...]
) -> None:
    """Over all recent pairs and target types; `lists` and `triggers` name a pair that gives this cosine."""
    shard = shard_of(seed, kinds)
    rows, types = (np.array([pair[place] for pair in history], dtype=np.int64) for place in (0, 1))
    modules = shard.modules(rows, types, k=SIZE)
    found = merged(modules)
    expected: dict[int, float] = {}
    for source, begins in shard.recent(rows, types).items():
        for row in begins.tolist():
            for target in shard.targets:
                for other, score in naive(shard, row, source, target).items():
                    expected[other] = max(expected.get(other, -np.inf), score)
    assert sorted(found.rows.tolist()) == sorted(expected)
    np.testing.assert_allclose(found.scores, [expected[row] for row in found.rows.tolist()], atol=1e-5)
    order = list(zip((-found.scores).tolist(), found.rows.tolist(), strict=True))
    assert order == sorted(order)
    for row, score, which, trigger in zip(found.rows, found.scores, found.lists, found.triggers, strict=True):
        module = modules[which]
        assert score == module.scores[trigger][module.rows[trigger] == row]


def test_of_equal_cosines_the_first_pair_is_named() -> None:
    """The order of the merged lists, then of the pairs in them, decides who gave an item."""

    def lists(rows: list[list[int]], scores: list[list[float]]) -> PairNeighbours:
        given = np.arange(len(rows))
        return PairNeighbours(VIEW, CART, given, np.array(rows), np.array(scores, dtype=np.float32), "exact")

    found = merged([lists([[5, 2], [5, -1]], [[0.5, 0.25], [0.5, -np.inf]]), lists([[2, 5]], [[0.75, 0.5]])])
    assert found.rows.tolist() == [2, 5]
    assert (found.lists.tolist(), found.triggers.tolist()) == ([1, 0], [0, 0])


def test_nothing_to_merge_is_nothing() -> None:
    """A user without a single pair gets an empty list."""
    found = merged([])
    assert [len(each) for each in (found.rows, found.scores, found.lists, found.triggers)] == [0, 0, 0, 0]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_graph_is_searched_as_an_exact_index_is(seed: int) -> None:
    """With ef as large as the type, an approximate index of a target type finds the exact cosines."""
    rng = np.random.default_rng(seed)
    rows = np.arange(200, dtype=np.int32)
    vectors: NDArray[np.float32] = unit(rng.normal(size=(200, 16)).astype(np.float32))
    graph = HnswIndex.build(vectors, "ip", m=16, ef_construction=100, seed=seed)
    graph.set_ef(200)
    both = [
        ItemInteractionShard((VIEW,), (VIEW,), 4, {VIEW: Pairs(entry_of(200), rows, vectors, index)})
        for index in (graph, ExactIndex(vectors))
    ]
    found, exact = (shard.search(np.arange(5), VIEW, VIEW, 20) for shard in both)
    assert found.method == "hnsw"
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-5)
    assert (found.rows != np.arange(5)[:, None]).all()
