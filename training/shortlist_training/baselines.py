"""The models that LED is measured against: popularity, PMI-SVD without training, and EASE."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack


def popularity(train: sp.csr_matrix) -> NDArray[np.float32]:
    """Count each item's training users: (I,) float32, the same scores for every user."""
    return np.asarray(train.sum(axis=0), dtype=np.float32).ravel()


def gram(train: sp.csr_matrix) -> NDArray[np.float64]:
    """Compute X^T X of the (U, I) incidence matrix, dense: (I, I) float64."""
    return np.asarray((train.T @ train).toarray(), dtype=np.float64)


def regularized_inverse(
    gram_matrix: NDArray[np.float64], regularization: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute (X^T X + lambda I)^-1 by Cholesky, a third of the work of a general inverse: (I, I) float64.

    regularization: lambda > 0, or one for each item (I,). Raises ValueError if the sum is not positive definite.
    """
    regularized = gram_matrix.copy()
    regularized[np.diag_indices_from(regularized)] += regularization
    # the matrix is symmetric, so its transpose is it in LAPACK's order, without a copy
    factor, failed = lapack.dpotrf(regularized.T, lower=0, overwrite_a=1)
    if failed:
        message = f"the regularized gram matrix is not positive definite at row {failed}: regularization is too small"
        raise ValueError(message)
    upper = lapack.dpotri(factor, lower=0, overwrite_c=1)[0]
    inverse: NDArray[np.float64] = np.triu(upper)
    inverse += np.triu(upper, 1).T
    return inverse


def ease(gram_matrix: NDArray[np.float64], regularization: float) -> NDArray[np.float32]:
    """Solve EASE (Steck 2019, eq. 8): B(i,j) = -P(i,j) / P(j,j) off the diagonal, 0 on it, P = (X^T X + lambda I)^-1.

    (I, I) float32; a user's scores are x B. Cubic in I: a baseline for catalogues of some ten thousand items.
    """
    precision = regularized_inverse(gram_matrix, regularization)
    weights = precision / -np.diag(precision)
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)
