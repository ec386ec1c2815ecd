"""Whether vectors lie near so few principal axes that an index may be over those alone."""

import math

import numpy as np
from numpy.typing import NDArray

_MOST_OF_DIM = 0.4
"""A code for each of so many axes is fewer codes than one for every two dimensions, and finer ones."""
_LEAST_DIM = 24
"""Below it a search costs so little that finding its place among the axes costs as much (docs/engines.md)."""
_MULTIPLE = 4
_ROWS_AT_ONCE = 16_384


def principal_axes(vectors: NDArray[np.float32], energy: float, sample: int) -> int | None:
    """How many principal axes hold the share `energy` of the squared lengths of `vectors` (N, D), of `sample` rows.

    Rounded up to a multiple of four. None where nothing is won: they are more than two fifths of D, or D is small. The
    axes are of the second moments around zero, not around the mean: what is searched by is the inner product.
    """
    dim = vectors.shape[1]
    if dim < _LEAST_DIM:
        return None
    rows = vectors[:: max(len(vectors) // sample, 1)]
    moments = np.zeros((dim, dim))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE].astype(np.float64)  # squares of float32 may be beyond it
        moments += part.T @ part
    held = np.cumsum(np.linalg.eigvalsh(moments)[::-1])
    if held[-1] <= 0.0:
        return None
    axes = _MULTIPLE * math.ceil((int(np.searchsorted(held, energy * held[-1])) + 1) / _MULTIPLE)
    return axes if axes <= _MOST_OF_DIM * dim else None
