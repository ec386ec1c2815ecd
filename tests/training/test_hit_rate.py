"""Hit rate (equation 3 of the item-interaction paper), coverage, and the co-purchase baseline."""

from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.copurchase import CopurchaseScorer, baskets, copurchase_counts
from shortlist_training.hit_rate import NEVER, Wanted, coverage, followed_by, hit_rates, ranks, rows_in, user_interval

VIEW, PURCHASE = int(InteractionType.VIEW), int(InteractionType.PURCHASE)


class FixedScorer:
    """Scores by a given (I, I) matrix."""

    def __init__(self, matrix: NDArray[np.float32], covered: NDArray[np.bool_]) -> None:
        self.matrix, self.covered = matrix, covered

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        assert self.covered[rows].all()
        return self.matrix[rows]


def rows(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


def events(found: list[tuple[int, int, int, int, float]]) -> Any:
    names = ("user", "session", "item", "type", "quantity")
    return ibis.memtable(pa.table(dict(zip(names, map(list, zip(*found, strict=True)), strict=True))))


def test_followed_by_sums_quantities_over_sessions() -> None:
    """H_p of (1, view): item 2 bought 2 + 3 times in two sessions, and item 1 itself once; no pair has itself."""
    table = events(
        [
            (0, 0, 1, VIEW, 1.0),
            (0, 0, 1, VIEW, 1.0),
            (0, 0, 2, PURCHASE, 2.0),
            (0, 1, 1, VIEW, 1.0),
            (0, 1, 2, PURCHASE, 3.0),
            (0, 1, 1, PURCHASE, 1.0),
            (1, 0, 1, VIEW, 1.0),
            (1, 1, 2, PURCHASE, 9.0),
        ]
    )
    found = followed_by(table, InteractionType.PURCHASE).to_pyarrow().to_pylist()
    assert [tuple(row.values()) for row in found] == [
        (1, VIEW, 1, 1.0, 0),
        (1, VIEW, 2, 5.0, 0),
        (1, PURCHASE, 2, 3.0, 0),
        (2, PURCHASE, 1, 1.0, 0),
    ]


def test_hit_rate_by_hand() -> None:
    """With quantities 3 and 1 a hit on the first alone is 3/4; a query that wants nothing is not a number."""
    wanted = Wanted([rows(0), rows(1), rows(2)], [rows()] * 3, rows(0, 0, 1), rows(4, 5, 4), np.array([3.0, 1.0, 2.0]))
    rank = rows(0, 2, NEVER)
    np.testing.assert_array_equal(hit_rates(rank, wanted, 1), [0.75, 0.0, np.nan])
    np.testing.assert_array_equal(hit_rates(rank, wanted, 2), [0.75, 0.0, np.nan])
    np.testing.assert_array_equal(hit_rates(rank, wanted, 3), [1.0, 0.0, np.nan])


@settings(max_examples=100)
@given(st.integers(0, 10**6))
def test_ranks_are_those_of_sorting_each_querys_candidates(seed: int) -> None:
    """Merging, coverage, seen items, unknown items, ties and batches all agree with a naive loop."""
    rng = np.random.default_rng(seed)
    items = int(rng.integers(1, 9))
    matrix = rng.integers(0, 4, size=(items, items)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.2] = -np.inf
    scorer = FixedScorer(matrix, rng.random(items) < 0.7)
    sources = [rng.integers(items, size=rng.integers(0, 4)) for _ in range(5)]
    seen = [rng.integers(items, size=rng.integers(0, 3)) for _ in range(5)]
    query, item = rng.integers(5, size=12), rng.integers(-1, items, size=12)
    found = ranks(scorer, Wanted(sources, seen, query, item, np.ones(12)))
    for at in range(12):
        known = [int(row) for row in sources[query[at]] if scorer.covered[row]]
        best = (
            {row: max(matrix[source, row] for source in known) for row in range(items) if row not in seen[query[at]]}
            if known
            else {}
        )
        ranked = sorted((row for row in best if best[row] > -np.inf), key=lambda row: (-best[row], row))
        assert found[at] == (ranked.index(item[at]) if item[at] in ranked else NEVER)


def test_intervals_resample_whole_users() -> None:
    """With all queries of a user alike, the interval is that of the users, wider than that of the queries."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(100), 20)
    values = np.repeat(rng.random(100), 20)
    low, high = user_interval(np.r_[values, np.nan], np.r_[users, 7], 500, 0)
    expected = 1.96 * values.std() / np.sqrt(100)
    assert low == pytest.approx(values.mean() - expected, abs=0.02)
    assert high == pytest.approx(values.mean() + expected, abs=0.02)


def test_coverage_by_items_and_by_traffic() -> None:
    """Of four active items two are covered, with 7 of 10 events; an unknown item is never covered."""
    assert coverage(np.array([True, False, True]), rows(0, 1, 2, -1), rows(4, 2, 3, 1)) == (0.5, 0.7)


def test_unknown_keys_have_no_row() -> None:
    """Keys are found among the sorted items, and -1 stands for the others."""
    assert rows_in(np.array([3, 5, 9]), pa.chunked_array([[9, 4, 3, 10]])).tolist() == [2, -1, 0, -1]


def purchases(found: list[tuple[int, int, int]], gap_s: int) -> pa.Table:
    user, second, item = (list(column) for column in zip(*found, strict=True))
    count = len(user)
    table = pa.table(
        {
            "user": user,
            "item": item,
            "time": pa.array([1_000_000 * value for value in second], pa.timestamp("us")),
            "type": pa.array([PURCHASE] * count, pa.int8()),
            "country": [""] * count,
        }
    )
    return baskets(ibis.memtable(table), gap_s).to_pyarrow()


def test_baskets_are_purchases_within_the_gap() -> None:
    """Items bought within the gap share a basket; a basket of one item is none."""
    found = purchases([(0, 0, 1), (0, 10, 2), (0, 500, 3), (1, 0, 1), (1, 5, 1), (1, 9, 2)], 100)
    assert [tuple(row.values()) for row in found.to_pylist()] == [(0, 0, 1), (0, 0, 2), (1, 0, 1), (1, 0, 2)]


def test_copurchase_similarity_by_hand() -> None:
    """Baskets {1,2}, {1,3}: items 2 and 3 have the same vector; with an own weight 1 and 2 are close as well."""
    table = purchases([(0, 0, 1), (0, 0, 2), (1, 0, 1), (1, 0, 3)], 100)
    counts = copurchase_counts(table, np.array([1, 2, 3, 4]))
    np.testing.assert_array_equal(counts.toarray(), [[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    plain = CopurchaseScorer(counts, own=0.0)
    assert plain.covered.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(plain.scores(rows(1)), [[-np.inf, 1.0, 1.0, -np.inf]])
    own = CopurchaseScorer(counts, own=1.0).scores(rows(1))[0]
    # rows (1, 1, 1, 0) / sqrt 3 and (1, 1, 0, 0) / sqrt 2
    assert own[0] == pytest.approx(2 / np.sqrt(6))
    assert own[2] == pytest.approx(0.5)
