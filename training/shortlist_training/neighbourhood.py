"""Item-based collaborative filtering from a binary log: cosine and Pearson neighbourhoods, and SLIM.

All give an (I, I) float32 matrix whose entry [j, i] is what an item j of the history adds to the score of i.
"""

import msgspec
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist_training.baselines import regularized_inverse

Weights = NDArray[np.float32]
COLUMNS = 512


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
    for start in range(0, len(weights), COLUMNS):
        columns = np.ascontiguousarray(weights[:, start : start + COLUMNS].T)
        least = np.partition(columns, len(weights) - k, axis=1)[:, len(weights) - k, None]
        above, equal = columns > least, columns == least
        equal &= np.cumsum(equal, axis=1) <= k - above.sum(axis=1, keepdims=True)
        kept[:, start : start + COLUMNS] = np.where(above | equal, columns, 0.0).T
    return kept


SHARE_PRIOR = 1e-3
"""Added to an item's share of the users before it is discounted, so that a single user does not decide."""


def rarer_first(history: sp.csr_matrix, power: float) -> Weights:
    """Give what each item's scores are multiplied by to favour rarer ones, (share of users)^-power: (I,) float32.

    1 for the share that the item of an average interaction has, so that the scores keep their size.
    """
    count = np.asarray(history.sum(axis=0), dtype=np.float64).ravel()
    usual = float((count**2).sum() / max(float(count.sum()), 1.0))
    prior = SHARE_PRIOR * history.shape[0]
    return np.asarray(((count + prior) / (usual + prior)) ** -power, dtype=np.float32)


def slim(gram: NDArray[np.float64], l2: float, l1: float, iterations: int = 40, rho: float = 1000.0) -> Weights:
    """Solve SLIM (Ning and Karypis 2011) by ADMM (Steck et al. 2020): least squares, l1 and l2, weights >= 0.

    min 1/2 |X - X B|^2 + l2/2 |B|^2 + l1 |B|_1 with a zero diagonal. Each iteration is one (I, I) product.
    """
    return _admm(regularized_inverse(gram, l2 + rho), gram, l1, rho, iterations)


class LinearConfig(msgspec.Struct, frozen=True):
    """SLIM's penalties and its ADMM; EASE's lambda is l2 + rho, so that both are made of one inverse.

    iterations: 0 leaves SLIM out.
    """

    l2: float = 500.0
    l1: float = 1.0
    rho: float = 200.0
    iterations: int = 8

    def of_part(self, share: float) -> "LinearConfig":
        """Shrink the penalties with the number of users that are left."""
        return LinearConfig(self.l2 * share, self.l1 * share, self.rho * share, self.iterations)


def ease_and_slim(gram: NDArray[np.float64], config: LinearConfig) -> Weights:
    """Average the weights of EASE, which may be negative, and of SLIM, which are not and mostly 0: (I, I) float32."""
    solved = regularized_inverse(gram, config.l2 + config.rho)
    ease = _without_self(solved / -np.diag(solved))
    if not config.iterations:
        return ease
    found = _admm(solved, gram, config.l1, config.rho, config.iterations)
    return np.asarray((ease + found) / 2.0, dtype=np.float32)


def _admm(solved: NDArray[np.float64], gram: NDArray[np.float64], l1: float, rho: float, iterations: int) -> Weights:
    """Iterate in float32; solved: (X^T X + (l2 + rho) I)^-1."""
    inverse_diagonal = np.diag(solved).astype(np.float32)
    data = (solved @ gram).astype(np.float32)
    inverse = solved.astype(np.float32)
    sparse, dual = np.zeros_like(data), np.zeros_like(data)
    for _ in range(iterations):
        dense = data + inverse @ (rho * sparse - dual)
        dense -= inverse * (np.diag(dense) / inverse_diagonal)
        sparse = np.maximum(dense + (dual - l1) / rho, 0.0)
        np.fill_diagonal(sparse, 0.0)
        dual += rho * (dense - sparse)
    return sparse


def _without_self(found: NDArray[np.float64]) -> Weights:
    weights = found.astype(np.float32)
    np.fill_diagonal(weights, 0.0)
    return weights
