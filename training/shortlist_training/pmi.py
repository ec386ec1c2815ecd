"""Pair counts become item vectors: pointwise mutual information, then randomized SVD (section 5.1 of the LED paper)."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from shortlist_training.config import SvdConfig

SINGLE_FROM = 200_000
"""Items from which PMI is factorized in single precision: half of the memory and of the time."""


def pmi_matrix(
    item_i: NDArray[np.int64],
    item_j: NDArray[np.int64],
    count: NDArray[np.int64],
    items: int,
    *,
    context_power: float,
    positive: bool,
) -> sp.csr_matrix:
    """Compute the (I, I) float64 PMI matrix of unordered pair counts (each pair once, item_i != item_j).

    With c(i,j) = c(j,i) the counts, C their sum over both orders and c(i) = sum_j c(i,j):

        PMI(i,j) = log( p(i,j) / (p(i) q(j)) ),  p(i,j) = c(i,j) / C,  p(i) = c(i) / C,
        q(j) = p(j)^context_power / sum_k p(k)^context_power

    (section 5.1: "raise the probability p(j) to a power strictly lower than 1", 0.75; renormalised as in Levy et al.
    2015, so that q is a distribution). Pairs never seen stay 0; `positive` also sets negative values to 0.
    """
    first, second = item_i.astype(np.int32), item_j.astype(np.int32)  # tens of millions of pairs are usual
    rows, columns = np.r_[first, second], np.r_[second, first]
    values = np.r_[count, count].astype(np.float64)
    if not len(values):
        return sp.csr_matrix((items, items), dtype=np.float64)
    total = values.sum()
    marginal = np.bincount(rows, weights=values, minlength=items) / total
    context = marginal**context_power
    context /= context.sum()
    values /= total
    expected = marginal[rows]
    expected *= context[columns]
    values /= expected
    np.log(values, out=values)
    if positive:
        np.maximum(values, 0.0, out=values)
    matrix = sp.csr_matrix((values, (rows, columns)), shape=(items, items))
    matrix.sort_indices()
    return matrix


def svd_vectors(matrix: sp.csr_matrix, config: SvdConfig, seed: int) -> NDArray[np.float32]:
    """Factorize PMI to U sqrt(S): (I, d) float32. Items without any pair get zeros.

    d is at most I: with fewer items than `dim` the missing columns are zeros. From `SINGLE_FROM` items on in single
    precision.
    """
    size = matrix.shape[0]
    if size >= SINGLE_FROM:
        matrix = matrix.astype(np.float32)
    left, singular, _ = randomized_svd(
        matrix, min(config.dim, size), n_iter=config.iterations, random_state=seed, flip_sign=True
    )
    vectors = np.zeros((size, config.dim), dtype=np.float32)
    vectors[:, : len(singular)] = left * np.sqrt(singular)
    vectors[np.diff(matrix.indptr) == 0] = 0.0  # the SVD leaves rounding noise there, which normalising would blow up
    return vectors


def initial_vectors(vectors: NDArray[np.float32], scale: float, *, normalize: bool) -> NDArray[np.float32]:
    """Bring vectors to the length `scale`, each one or (without `normalize`) in the root mean square over items."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    divisor = lengths if normalize else np.sqrt(np.mean(lengths**2))
    return np.asarray(scale * vectors / np.maximum(divisor, np.finfo(np.float32).tiny), dtype=np.float32)
