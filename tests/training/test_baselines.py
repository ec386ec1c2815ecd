"""EASE and popularity against their definitions."""

import numpy as np
import scipy.sparse as sp

from shortlist_training.baselines import ease, gram, popularity


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
