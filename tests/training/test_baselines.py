"""EASE, WMF and popularity against their definitions."""

import numpy as np
import scipy.sparse as sp

from shortlist_training.baselines import ease, gram, popularity
from shortlist_training.wmf import WmfConfig, wmf


def log() -> sp.csr_matrix:
    return sp.csr_matrix((np.random.default_rng(5).random((40, 8)) < 0.4).astype(np.float32))


def test_ease_has_a_zero_diagonal() -> None:
    """An item never predicts itself."""
    assert not np.diag(ease(gram(log()), 3.0)).any()


def test_ease_is_the_ridge_regression_of_each_item_on_the_others() -> None:
    """Column j equals least squares with penalty lambda of item j on all other items, solved one by one."""
    matrix, penalty = log().toarray().astype(np.float64), 3.0
    weights = ease(gram(log()), penalty)
    for item in range(matrix.shape[1]):
        others = [other for other in range(matrix.shape[1]) if other != item]
        design = matrix[:, others]
        solution = np.linalg.solve(design.T @ design + penalty * np.eye(len(others)), design.T @ matrix[:, item])
        np.testing.assert_allclose(weights[others, item], solution, atol=1e-5)


def test_ease_does_not_change_its_input() -> None:
    """One Gram matrix serves all lambdas."""
    matrix = gram(log())
    before = matrix.copy()
    ease(matrix, 3.0)
    np.testing.assert_array_equal(matrix, before)


def test_popularity_counts_users() -> None:
    """An item's score is the number of training users that have it."""
    np.testing.assert_array_equal(popularity(log()), log().toarray().sum(axis=0))


def test_wmf_solves_for_users_it_has_not_seen() -> None:
    """After enough sweeps a test user's scores are the weighted ridge solution over item factors (Hu et al., eq. 4)."""
    blocks = np.kron(np.eye(2, dtype=np.float32), np.ones((15, 6), dtype=np.float32))
    config = WmfConfig(factors=2, alpha=5.0, regularization=0.1, iterations=30)
    scores = wmf(sp.csr_matrix(blocks), config, 0, 1)(sp.csr_matrix(np.eye(12, dtype=np.float32)[[0, 11]]))
    assert scores.shape == (2, 12)
    assert scores[0, :6].min() > scores[0, 6:].max() + 0.3
    assert scores[1, 6:].min() > scores[1, :6].max() + 0.3


def test_wmf_repeats_for_a_seed() -> None:
    """The same seed gives the same scores."""
    first, second = (wmf(log(), WmfConfig(factors=4), 1, 1)(log()[:3]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
