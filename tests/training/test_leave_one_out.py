"""The two leave-one-out protocols against hand-computed places."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from shortlist_training.leave_one_out import (
    Cases,
    history_scorer,
    hits,
    hold_out_one,
    measured,
    ndcg,
    ranks,
    read_cases,
    sampled_ranks,
)


def cases() -> Cases:
    history = sp.csr_matrix(np.array([[1, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0]], dtype=np.float32))
    return Cases(history, np.array([1, 0]), np.array([[2, 3], [4, 5]]))


SCORES = np.array([[9, 5, 6, 1, 7, 5], [4, 9, 9, 4, 1, 2]], dtype=np.float32)


def test_places_of_both_protocols_by_hand() -> None:
    """Sampled counts only the drawn negatives; all counts every unseen item, and never one of the history."""
    found = ranks(lambda users: SCORES[users], cases())
    np.testing.assert_array_equal(found.sampled, [2, 1])
    np.testing.assert_array_equal(found.all, [4, 2])  # user 0: items 2 and 4 are higher, 5 ties; user 1: item 3 ties


def test_a_constant_model_is_last() -> None:
    """Ties count against the target, so a model that cannot tell items apart gains nothing."""
    found = ranks(lambda users: np.zeros((len(users), 6), dtype=np.float32), cases())
    np.testing.assert_array_equal(found.sampled, [3, 3])
    np.testing.assert_array_equal(found.all, [5, 4])


def test_a_target_that_is_no_candidate_is_last() -> None:
    """A score of -inf ties with all others that have it."""
    scores = np.full((2, 6), -np.inf, dtype=np.float32)
    scores[:, 5] = 1.0
    np.testing.assert_array_equal(ranks(lambda users: scores[users], cases()).all, [5, 4])


@given(st.integers(0, 10_000))
def test_scoring_pairs_gives_the_sampled_places(seed: int) -> None:
    """A scorer of candidates and one of all items agree on the sampled protocol."""
    scores = np.random.default_rng(seed).integers(0, 4, size=(2, 6)).astype(np.float32)
    found = sampled_ranks(lambda users, items: np.take_along_axis(scores[users], items, axis=1), cases())
    np.testing.assert_array_equal(found, ranks(lambda users: scores[users], cases()).sampled)


def test_metrics_by_hand() -> None:
    """HR@3 is 1 up to place 3; NDCG@3 is 1 / log2(place + 1) there."""
    places = np.array([1, 3, 4])
    np.testing.assert_array_equal(hits(places, 3), [1, 1, 0])
    np.testing.assert_allclose(ndcg(places, 3), [1.0, 0.5, 0.0])


def test_the_interval_contains_the_mean() -> None:
    """Bootstrap bounds lie on both sides of the mean."""
    found = measured(np.random.default_rng(1).random(200), seed=3, samples=200)
    assert found.low < found.value < found.high


def test_holding_out_takes_one_known_item_and_unknown_negatives() -> None:
    """The target leaves the history, and no negative was ever in it."""
    history = sp.csr_matrix((np.random.default_rng(3).random((30, 40)) < 0.3).astype(np.float32))
    held = hold_out_one(history, seed=5, negatives=7)
    users = np.arange(30)
    assert (held.history[users, held.targets] == 0).all()
    assert (history[users, held.targets] == 1).all()
    assert held.history.nnz == history.nnz - 30
    assert not history.toarray()[users[:, None], held.negatives].any()
    assert all(len(set(row)) == 7 for row in held.negatives.tolist())
    np.testing.assert_array_equal(held.targets, hold_out_one(history, seed=5, negatives=7).targets)


def test_rarer_items_are_held_out_more_often_if_asked() -> None:
    """With everybody's two items, one of many users and one of few, rarity r draws the second by the ratio's power."""
    rng = np.random.default_rng(1)
    history = np.zeros((4000, 31), dtype=np.float32)
    history[:, 0] = 1
    history[np.arange(4000), 1 + rng.integers(30, size=4000)] = 1
    held = hold_out_one(sp.csr_matrix(history), seed=5, negatives=3, rarity=0.5)
    share = float((held.targets > 0).mean())
    assert share == pytest.approx(30**0.5 / (1 + 30**0.5), abs=0.03)


def test_only_the_first_users_are_judged_if_asked() -> None:
    """The places of the first users are those of a ranking of all."""
    scores = np.random.default_rng(3).random((len(cases().targets), cases().history.shape[1])).astype(np.float32)
    whole, first = (ranks(lambda users: scores[users], cases(), judged) for judged in (None, 1))
    np.testing.assert_array_equal(first.all, whole.all[:1])
    np.testing.assert_array_equal(first.sampled, whole.sampled[:1])


def test_reading_ncf_tables(tmp_path: Path) -> None:
    """Test rows become targets, the rest the history, whatever the order of the rows."""
    log = pa.table({"ncf_user": [1, 0, 0, 1], "ncf_item": [2, 3, 1, 0], "is_test": [True, False, True, False]})
    drawn = pa.table({"ncf_user": [1, 0], "ncf_item": [2, 1], "negatives": [[1, 3], [0, 2]]})
    pq.write_table(log, tmp_path / "log.parquet")
    pq.write_table(drawn, tmp_path / "drawn.parquet")
    found = read_cases(tmp_path / "log.parquet", tmp_path / "drawn.parquet")
    np.testing.assert_array_equal(found.history.toarray(), [[0, 0, 0, 1], [1, 0, 0, 0]])
    np.testing.assert_array_equal(found.targets, [1, 2])
    np.testing.assert_array_equal(found.negatives, [[0, 2], [1, 3]])


def test_a_user_without_a_test_row_is_refused(tmp_path: Path) -> None:
    """A split that leaves a user out is no leave-one-out split."""
    log = pa.table({"ncf_user": [0, 1, 1], "ncf_item": [0, 0, 1], "is_test": [False, False, True]})
    pq.write_table(log, tmp_path / "log.parquet")
    pq.write_table(pa.table({"ncf_user": [1], "negatives": [[2]]}), tmp_path / "drawn.parquet")
    with pytest.raises(ValueError, match="exactly one test row"):
        read_cases(tmp_path / "log.parquet", tmp_path / "drawn.parquet")


def test_item_weights_add_up_over_the_history() -> None:
    """A score is the sum of [j, i] over the user's items j."""
    weights = np.arange(36, dtype=np.float32).reshape(6, 6)
    found = history_scorer(cases().history, weights)(np.array([1]))
    np.testing.assert_array_equal(found[0], weights[1] + weights[2])
