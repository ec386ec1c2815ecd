"""Item-based CF against its definitions."""

import numpy as np
import scipy.sparse as sp

from shortlist_training.baselines import ease, gram
from shortlist_training.neighbourhood import LinearConfig, cosine, ease_and_slim, nearest, pearson, rarer_first, slim


def log() -> sp.csr_matrix:
    return sp.csr_matrix((np.random.default_rng(5).random((60, 9)) < 0.4).astype(np.float32))


def test_cosine_is_that_of_the_columns() -> None:
    """Without shrinkage it is the cosine of the items' user vectors, and 0 for an item with itself."""
    columns = log().toarray().astype(np.float64)
    unit = columns / np.linalg.norm(columns, axis=0)
    expected = unit.T @ unit
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(cosine(gram(log()), 0.0), expected, atol=1e-6)


def test_pearson_is_that_of_the_columns() -> None:
    """Without shrinkage it is numpy's correlation of the 0/1 columns."""
    expected = np.corrcoef(log().toarray().T)
    np.fill_diagonal(expected, 0.0)
    expected[gram(log()) == 0] = 0.0
    np.testing.assert_allclose(pearson(gram(log()), 60, 0.0), expected, atol=1e-6)


def test_a_column_that_everybody_has_correlates_with_nothing() -> None:
    """A constant column has no correlation; it is 0, not a division by zero."""
    dense = log().toarray()
    dense[:, 0] = 1.0
    assert not pearson(gram(sp.csr_matrix(dense)), 60, 0.0)[0].any()


def test_shrinkage_lowers_weights() -> None:
    """Every weight shrinks towards 0."""
    assert (np.abs(pearson(gram(log()), 60, 10.0)) <= np.abs(pearson(gram(log()), 60, 0.0))).all()
    assert (cosine(gram(log()), 10.0) <= cosine(gram(log()), 0.0)).all()


def test_nearest_keeps_the_largest_of_each_column() -> None:
    """Each target keeps its k largest weights and no other."""
    weights = np.random.default_rng(2).random((7, 7)).astype(np.float32)
    kept = nearest(weights, 3)
    for column in range(7):
        largest = set(np.argsort(-weights[:, column])[:3].tolist())
        assert set(np.flatnonzero(kept[:, column]).tolist()) == largest


def test_nearest_with_many_neighbours_keeps_all() -> None:
    """K at or above the number of items changes nothing."""
    weights = np.random.default_rng(2).random((4, 4)).astype(np.float32)
    np.testing.assert_array_equal(nearest(weights, 4), weights)


def test_slim_solves_its_problem_column_by_column() -> None:
    """ADMM reaches the optimum of the non-negative elastic net that coordinate descent finds for each item."""
    matrix = gram(log())
    found = slim(matrix, l2=2.0, l1=0.5, iterations=400, rho=20.0)
    for item in range(9):
        weights = np.zeros(9)
        for _ in range(500):
            for other in range(9):
                if other != item:
                    rest = matrix[other, item] - matrix[other] @ weights + matrix[other, other] * weights[other]
                    weights[other] = max(rest - 0.5, 0.0) / (matrix[other, other] + 2.0)
        np.testing.assert_allclose(found[:, item], weights, atol=1e-3)


def test_ease_and_slim_are_averaged() -> None:
    """With enough iterations it is the mean of the two, each solved alone with its own penalties."""
    matrix = gram(log())
    found = ease_and_slim(matrix, LinearConfig(l2=2.0, l1=0.5, rho=20.0, iterations=400))
    expected = (ease(matrix, 22.0) + slim(matrix, l2=2.0, l1=0.5, iterations=400, rho=20.0)) / 2
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_penalties_shrink_with_the_users() -> None:
    """Twice the users with twice the penalties give the same weights."""
    config = LinearConfig(l2=2.0, l1=0.5, rho=20.0, iterations=50)
    whole = ease_and_slim(2 * gram(log()), config)
    np.testing.assert_allclose(ease_and_slim(gram(log()), config.of_part(0.5)), whole, atol=1e-5)


def test_the_nearest_are_those_of_a_stable_sort() -> None:
    """In each column the k largest stay, of equal ones the lower rows, over several blocks."""
    weights = np.round(np.random.default_rng(3).normal(size=(600, 600)), 1).astype(np.float32)
    rows = np.argsort(-weights, axis=0, kind="stable")[:7]
    expected = np.zeros_like(weights)
    np.put_along_axis(expected, rows, np.take_along_axis(weights, rows, axis=0), axis=0)
    np.testing.assert_array_equal(nearest(weights, 7), expected)


def test_without_iterations_there_is_ease_alone() -> None:
    """SLIM is left out, and the penalty is l2 + rho."""
    found = ease_and_slim(gram(log()), LinearConfig(l2=2.0, rho=3.0, iterations=0))
    np.testing.assert_allclose(found, ease(gram(log()), 5.0), atol=1e-6)


def test_a_discount_favours_rarer_items() -> None:
    """Scores are divided by a power of the item's share; at the share of an average interaction nothing changes."""
    history = sp.csr_matrix(log())
    factor, count = rarer_first(history, 0.5), np.asarray(history.sum(0)).ravel()
    assert (np.diff(factor[np.argsort(count)]) <= 0).all()
    usual = (count**2).sum() / count.sum()
    prior = 1e-3 * history.shape[0]
    np.testing.assert_allclose(factor, ((usual + prior) / (count + prior)) ** 0.5, rtol=1e-5)
