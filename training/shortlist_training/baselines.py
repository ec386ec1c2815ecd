"""The models that LED is measured against: popularity, PMI-SVD without training, and EASE."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def popularity(train: sp.csr_matrix) -> NDArray[np.float32]:
    """Count each item's training users: (I,) float32, the same scores for every user."""
    return np.asarray(train.sum(axis=0), dtype=np.float32).ravel()


def gram(train: sp.csr_matrix) -> NDArray[np.float64]:
    """Compute X^T X of the (U, I) incidence matrix, dense: (I, I) float64."""
    return np.asarray((train.T @ train).toarray(), dtype=np.float64)


def ease(gram_matrix: NDArray[np.float64], regularization: float) -> NDArray[np.float32]:
    """Solve EASE (Steck 2019, eq. 8): B(i,j) = -P(i,j) / P(j,j) off the diagonal, 0 on it, P = (X^T X + lambda I)^-1.

    (I, I) float32; a user's scores are x B. Cubic in I: a baseline for catalogues of some ten thousand items.
    """
    regularized = gram_matrix.copy()
    regularized[np.diag_indices_from(regularized)] += regularization
    precision = np.linalg.inv(regularized)
    weights = precision / -np.diag(precision)
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)
