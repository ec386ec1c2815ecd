"""Search agrees with a naive computation: exactly where it is exact, at the measured recall where it is a graph."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_store.calibration import calibrate, choose
from index_store.content import IndexPolicy
from index_store.errors import RecallUnderTarget
from index_store.hnsw import HnswIndex
from index_store.index import ExactIndex
from index_store.index_entry import CurvePoint, Engine, Space
from index_store.recall import recall
from index_store.spaces import largest_square, stored_items, stored_queries
from index_store.sweep import Everything, Measured

SPACES: list[Space] = ["ip", "l2_augmented"]


def naive_top_k(vectors: np.ndarray, query: np.ndarray, k: int) -> list[int]:
    """Rows by descending inner product, equal scores by lower row."""
    scores = vectors @ query
    return sorted(range(len(vectors)), key=lambda row: (-scores[row], row))[:k]


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    dim=st.integers(1, 9),
    k=st.integers(1, 80),
    ties=st.booleans(),
)
def test_exact_search_is_the_sorted_list_of_inner_products(seed: int, count: int, dim: int, k: int, ties: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Exact search returns the k best rows in order, ties by lower row, never more than there are."""
    rng = np.random.default_rng(seed)
    # small integers make every inner product exact in float32, and ties frequent
    draw = rng.integers(-2, 3, size=(count, dim)) if ties else rng.integers(-99, 100, size=(count, dim))
    vectors = draw.astype(np.float32)
    queries = rng.integers(-2, 3, size=(3, dim)).astype(np.float32)
    found = ExactIndex(vectors).search(queries, k)
    for query, rows, scores in zip(queries, found.rows, found.scores, strict=True):
        assert rows.tolist() == naive_top_k(vectors, query, k)
        assert np.array_equal(scores, (vectors @ query)[rows])


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), space=st.sampled_from(SPACES), dim=st.integers(1, 40))
def test_both_layouts_keep_the_order_of_inner_products(seed: int, space: Space, dim: int) -> None:
    """Distances between stored items and stored queries rank items as their inner products do."""
    rng = np.random.default_rng(seed)
    vectors, query = rng.normal(size=(50, dim)).astype(np.float32), rng.normal(size=(1, dim)).astype(np.float32)
    largest = largest_square(vectors)
    items = stored_items(space, vectors, largest).astype(np.float64)
    asked = stored_queries(space, query).astype(np.float64)
    assert items.shape[1] % 16 == 0
    distances = ((items - asked) ** 2).sum(axis=1) if space == "l2_augmented" else 1 - items @ asked[0]
    products = vectors.astype(np.float64) @ query[0].astype(np.float64)
    # float32 keeps the added dimension to about 1e-7 of the largest norm
    assert np.all(np.diff(products[np.argsort(distances)]) < 1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_a_graph_with_a_wide_search_finds_what_exact_search_finds(space: Space) -> None:
    """With ef as large as the catalogue, scores of the graph's top 50 are those of the exact top 50, in order."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(400, 20)).astype(np.float32)
    index = HnswIndex.build(vectors, space, m=16, ef_construction=100, seed=1)
    index.set_ef(400)
    queries = rng.normal(size=(20, 20)).astype(np.float32)
    found, exact = index.search(queries, 50), ExactIndex(vectors).search(queries, 50)
    assert found.method == "hnsw"
    assert (np.diff(found.scores, axis=1) <= 0).all()
    shared = [len(set(a.tolist()) & set(b.tolist())) / 50 for a, b in zip(found.rows, exact.rows, strict=True)]
    assert np.mean(shared) > 0.99
    for rows, scores, query in zip(found.rows, found.scores, queries, strict=True):
        np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-5, atol=1e-6)


def test_a_graph_that_comes_back_short_is_searched_exactly() -> None:
    """Many identical vectors disconnect a graph; the answer is still complete, and says how it was found."""
    vectors = np.zeros((500, 4), dtype=np.float32)
    index = HnswIndex.build(vectors, "ip", m=2, ef_construction=4, seed=1)
    found = index.search(np.ones((1, 4), dtype=np.float32), 500)
    assert sorted(found.rows[0].tolist()) == list(range(500))
    assert found.method == "exact_fallback"


def test_more_neighbours_than_items_are_all_items() -> None:
    """K over the catalogue's size gives each item once."""
    vectors = np.random.default_rng(0).normal(size=(80, 8)).astype(np.float32)
    index = HnswIndex.build(vectors, "ip", m=8, ef_construction=50, seed=1)
    found = index.search(vectors[:1], 1000)
    assert sorted(found.rows[0].tolist()) == list(range(80))


def test_building_twice_gives_the_same_bytes(tmp_path: object) -> None:
    """One thread, one seed, one order: two builds over the same vectors are the same file."""
    vectors = np.random.default_rng(0).normal(size=(300, 24)).astype(np.float32)
    paths = [tmp_path / "a.bin", tmp_path / "b.bin"]  # type: ignore[operator]
    for path in paths:
        HnswIndex.build(vectors, "l2_augmented", m=8, ef_construction=50, seed=5).save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_recall_of_exact_search_is_one() -> None:
    """Recall counts ties as found, so exact search over duplicates has recall 1."""
    vectors = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)
    assert recall(ExactIndex(vectors[::-1].copy()), vectors, vectors[:5], 15) == 1.0


def test_recall_counts_the_share_that_was_found() -> None:
    """An index over the first half of the items finds what of the top k lies there."""
    rng = np.random.default_rng(1)
    vectors, queries = rng.normal(size=(200, 6)).astype(np.float32), rng.normal(size=(30, 6)).astype(np.float32)
    half = vectors.copy()
    half[100:] = 0
    expected = np.mean([sum(row < 100 for row in naive_top_k(vectors, query, 10)) / 10 for query in queries])
    assert recall(ExactIndex(half), vectors, queries, 10) == pytest.approx(expected)


NOTHING = Everything(ExactIndex(np.zeros((1, 1), dtype=np.float32)))


def graph_point(space: Space, ef: int, recall: float, search_us: float, m: int = 16) -> Measured:
    """A point of a graph's curve, whose golden answers were all found."""
    point = CurvePoint(engine="hnsw", space=space, ef=ef, m=m, recall=recall, search_us=search_us)
    return Measured(point, 1.0, NOTHING, work=ef)


def other_point(engine: Engine, recall: float, search_us: float) -> Measured:
    """A point of another engine."""
    own = {"leaves": 10, "reorder": 100} if engine == "scann" else {}
    return Measured(CurvePoint(engine=engine, recall=recall, search_us=search_us, **own), 1.0, NOTHING, work=1)


def test_the_fastest_setting_that_reaches_the_target_is_chosen() -> None:
    """The clock decides between settings that differ by more than the margin; what misses the target never wins."""
    measured = [
        graph_point("ip", 128, recall=0.96, search_us=310),
        graph_point("ip", 64, recall=0.94, search_us=1),
        graph_point("l2_augmented", 256, recall=0.951, search_us=200),
        other_point("scann", recall=0.97, search_us=250),
    ]
    assert choose("FR", measured, IndexPolicy()) is measured[2]
    assert choose("FR", measured, IndexPolicy(recall_target=0.955)) is measured[3]


def test_settings_within_the_margin_are_told_apart_without_a_clock() -> None:
    """Of times within a fifth the policy's first engine wins, then the least work, then the first space and M."""
    alike = [
        other_point("scann", recall=0.99, search_us=100),
        graph_point("l2_augmented", 64, recall=0.99, search_us=101),
        graph_point("ip", 128, recall=0.99, search_us=102),
        graph_point("ip", 64, recall=0.96, search_us=119, m=32),
        graph_point("ip", 64, recall=0.96, search_us=118),
    ]
    policy = IndexPolicy(m=(16, 32))
    assert choose("FR", alike, policy) is alike[4]
    assert choose("FR", alike[:4], policy) is alike[3]
    assert choose("FR", alike, replace(policy, engines=("scann", "hnsw"))) is alike[0]
    assert choose("FR", [*alike, other_point("exact", recall=1.0, search_us=119)], policy).point.engine == "exact"
    assert choose("FR", alike, replace(policy, margin=0.0)) is alike[0]


def test_a_setting_that_misses_golden_answers_is_not_chosen() -> None:
    """The target holds for the golden requests too, so that a published bundle can be replayed."""
    first, second = graph_point("ip", 32, 0.99, 10), graph_point("ip", 64, 0.99, 20)
    assert choose("FR", [replace(first, golden_recall=0.9), second], IndexPolicy()) is second


def test_a_target_out_of_reach_is_refused_with_what_was_reached() -> None:
    """The error names the country, the target, the best of each space and what would help."""
    rng = np.random.default_rng(2)
    vectors, queries = rng.normal(size=(600, 32)).astype(np.float32), rng.normal(size=(30, 32)).astype(np.float32)
    policy = IndexPolicy(
        recall_target=0.999, exact_below=10, exact_measured_to=9, m=2, ef_construction=4, ef_grid=(10, 12),
        leaves_grid=(1,), reorder_grid=(1,), recall_k=10,
    )  # fmt: skip
    reached = (
        r"country FR: expected recall@10 .*scann 1 leaves reorder 10: 0\.\d+ \(golden .*"
        r"hnsw ip M 2 ef 12: 0\.\d+ .*hnsw l2_augmented M 2"
    )
    with pytest.raises(RecallUnderTarget, match=reached):
        calibrate("FR", vectors, queries, 30, [], policy)


def test_a_small_country_is_searched_exactly() -> None:
    """Under `exact_below` items no graph is built and recall is 1."""
    vectors = np.random.default_rng(2).normal(size=(99, 8)).astype(np.float32)
    found = calibrate("MT", vectors, vectors[:7], 3, [], IndexPolicy(exact_below=100))
    assert found.index is None
    assert (found.entry.engine, found.entry.recall, found.entry.recall_k) == ("exact", 1.0, 99)
    assert (found.entry.queries, found.entry.own_queries) == (7, 3)
