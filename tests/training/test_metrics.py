"""Ranking metrics and the fold-in, against hand-computed cases."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from shortlist_training.metrics import (
    BATCH_SCORES,
    BATCH_USERS,
    evaluate_scores,
    fold_in,
    interval,
    per_user_metrics,
    top_rows,
    user_batches,
)


def test_recall_divides_by_the_smaller_of_k_and_targets() -> None:
    """Of 2 targets 1 is in the top 20 and both in the top 50: recall is 1/2 and 1."""
    targets = sp.csr_matrix(([1.0, 1.0], [3, 30], [0, 2]), shape=(1, 60))
    found = per_user_metrics(np.arange(60)[None, :], targets)
    assert found["recall@20"].tolist() == [0.5]
    assert found["recall@50"].tolist() == [1.0]


def test_recall_of_many_targets_is_out_of_k() -> None:
    """With 40 targets and all of the top 20 among them, recall@20 is 1, not 1/2."""
    targets = sp.csr_matrix((np.ones(40), np.arange(40), [0, 40]), shape=(1, 60))
    assert per_user_metrics(np.arange(60)[None, :], targets)["recall@20"].tolist() == [1.0]


def test_ndcg_by_hand() -> None:
    """Hits at ranks 1 and 3 of two targets give (1 + 1/2) / (1 + 1/log2(3))."""
    targets = sp.csr_matrix(([1.0, 1.0], [7, 5], [0, 2]), shape=(1, 8))
    found = per_user_metrics(np.array([[7, 0, 5, 1, 2, 3, 4, 6]]), targets)["ndcg@100"]
    assert found[0] == pytest.approx(1.5 / (1 + 1 / math.log2(3)))


def test_seen_items_are_never_ranked_before_others_and_ties_go_to_the_lower_row() -> None:
    """Input items go to the very end, equal scores keep row order."""
    scores = np.array([[1.0, 5.0, 1.0, 9.0]], dtype=np.float32)
    seen = sp.csr_matrix(([1.0], [3], [0, 1]), shape=(1, 4))
    assert top_rows(scores, seen, 4).tolist() == [[1, 0, 2, 3]]


@given(seed=st.integers(0, 10_000), users=st.integers(1, 5), items=st.integers(1, 30), k=st.integers(1, 40))
def test_ranking_equals_a_stable_sort_of_everything(seed: int, users: int, items: int, k: int) -> None:
    """With many equal scores and few unseen rows the ranking is that of a full stable sort."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (users, items)).astype(np.float32)
    seen = sp.csr_matrix((rng.random((users, items)) < rng.random()).astype(np.float32))
    masked = np.where(seen.toarray() > 0, -np.inf, scores)
    expected = np.argsort(-masked, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top_rows(scores, seen, k), expected)


@given(
    lengths=st.lists(st.integers(0, 40), max_size=8),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 1000),
)
def test_fold_in_parts_are_disjoint_and_complete(lengths: list[int], share: float, seed: int) -> None:
    """Input and targets partition the history, neither is empty, histories of one item are left out."""
    histories = [np.arange(length, dtype=np.int64) for length in lengths]
    inputs, targets = fold_in(histories, share, seed)
    usable = [length for length in lengths if length >= 2]
    assert len(inputs) == len(targets) == len(usable)
    for given_items, wanted, length in zip(inputs, targets, usable, strict=True):
        assert len(given_items) >= 1
        assert len(wanted) >= 1
        assert sorted([*given_items, *wanted]) == list(range(length))
        assert len(given_items) in {1, int(share * length), length - 1}


def test_interval_holds_the_mean_and_shrinks_with_users() -> None:
    """The bootstrap interval surrounds the mean and is narrower for more users; the same seed gives the same one."""
    rng = np.random.default_rng(0)
    few, many = rng.random(20), rng.random(2000)
    low, high = interval(few, 500, seed=1)
    assert low < few.mean() < high
    narrow = interval(many, 500, seed=1)
    assert narrow[1] - narrow[0] < (high - low) / 3
    assert interval(few, 500, seed=1) == (low, high)


def test_scoring_in_batches_gives_what_scoring_at_once_gives() -> None:
    """Users beyond one batch are measured in order, with their own input and targets."""
    rng = np.random.default_rng(1)
    users, items = BATCH_USERS + 50, 30
    inputs = sp.csr_matrix((rng.random((users, items)) < 0.2).astype(np.float32))
    targets = sp.csr_matrix(np.eye(items, dtype=np.float32)[rng.integers(items, size=users)])
    weights = rng.random((items, items)).astype(np.float32)
    found = evaluate_scores(lambda some: np.asarray(some @ weights), inputs, targets)
    at_once = per_user_metrics(top_rows(np.asarray(inputs @ weights), inputs, 100), targets)
    for name, values in at_once.items():
        np.testing.assert_array_equal(found[name], values)


@given(users=st.integers(0, 2000), items=st.integers(0, 3 * BATCH_SCORES))
def test_batches_hold_every_user_once_and_few_scores(users: int, items: int) -> None:
    """They follow each other, and unless one user has more, no batch has more than `BATCH_SCORES` scores."""
    batches = user_batches(users, items)
    assert [user for part in batches for user in range(users)[part]] == list(range(users))
    for part in batches:
        size = part.stop - part.start
        assert size == 1 or (size <= BATCH_USERS and size * items <= BATCH_SCORES)
