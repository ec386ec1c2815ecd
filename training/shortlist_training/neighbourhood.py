"""Item-based collaborative filtering from a binary log: cosine and Pearson neighbourhoods, and SLIM.

All give an (I, I) float32 matrix whose entry [j, i] is what an item j of the history adds to the score of i.
"""

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]


def cosine(gram: NDArray[np.float64], shrink: float) -> Weights:
    """Cosine of the items' user vectors, n_ij / (sqrt(n_i n_j) + shrink), 0 on the diagonal.

    gram: (I, I) float64 X^T X. shrink pulls pairs with few users towards 0.
    """
    count = np.diag(gram)
    found = gram / (np.sqrt(np.outer(count, count)) + shrink + 1e-12)
    return _without_self(found)


def pearson(gram: NDArray[np.float64], users: int, shrink: float) -> Weights:
    """Pearson correlation of the items' 0/1 columns over all users, times n_ij / (n_ij + shrink); 0 on the diagonal.

    (U n_ij - n_i n_j) / sqrt(n_i (U - n_i) n_j (U - n_j)); 0 where a column is constant.
    """
    count = np.diag(gram)
    spread = np.sqrt(count * (users - count))
    scale = np.outer(spread, spread)
    found = np.divide(users * gram - np.outer(count, count), scale, out=np.zeros_like(gram), where=scale > 0)
    return _without_self(found * gram / (gram + shrink + 1e-12))


def nearest(weights: Weights, k: int) -> Weights:
    """Keep in each column i the k largest weights: the target's k nearest neighbours. Equal weights: lower row."""
    if k >= len(weights):
        return weights
    kept = np.zeros_like(weights)
    rows = np.argsort(-weights, axis=0, kind="stable")[:k]
    np.put_along_axis(kept, rows, np.take_along_axis(weights, rows, axis=0), axis=0)
    return kept


def slim(gram: NDArray[np.float64], l2: float, l1: float, iterations: int = 40, rho: float = 1000.0) -> Weights:
    """Solve SLIM (Ning and Karypis 2011) by ADMM (Steck et al. 2020): least squares, l1 and l2, weights >= 0.

    min 1/2 |X - X B|^2 + l2/2 |B|^2 + l1 |B|_1 with a zero diagonal. Each iteration is one (I, I) product.
    """
    solved = np.linalg.inv(gram + (l2 + rho) * np.eye(len(gram)))
    data = solved @ gram
    sparse = np.zeros_like(gram)
    dual = np.zeros_like(gram)
    inverse_diagonal = np.diag(solved)
    for _ in range(iterations):
        dense = data + solved @ (rho * sparse - dual)
        dense -= solved * (np.diag(dense) / inverse_diagonal)
        sparse = np.maximum(dense + (dual - l1) / rho, 0.0)
        np.fill_diagonal(sparse, 0.0)
        dual += rho * (dense - sparse)
    return sparse.astype(np.float32)


def _without_self(found: NDArray[np.float64]) -> Weights:
    weights = found.astype(np.float32)
    np.fill_diagonal(weights, 0.0)
    return weights
