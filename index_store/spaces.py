"""The two ways to lay inner product search out for hnswlib (docs/bundle-format.md, "Layout")."""

import numpy as np
from numpy.typing import NDArray

from index_store.index_entry import Space

# hnswlib's distance functions use full SIMD width only on multiples of 16 floats; zeros change no distance
_SIMD_FLOATS = 16
HNSWLIB_SPACE = {"ip": "ip", "l2_augmented": "l2"}


def stored_dim(space: Space, dim: int) -> int:
    """Dimensions of the vectors in the graph for `dim`-dimensional items."""
    needed = dim + (space == "l2_augmented")
    return -(-needed // _SIMD_FLOATS) * _SIMD_FLOATS


def largest_square(vectors: NDArray[np.float32]) -> float:
    """M², the largest squared norm among items (N, D)."""
    return float(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64).max())


def stored_items(space: Space, vectors: NDArray[np.float32], largest: float) -> NDArray[np.float32]:
    """Lay out items (N, D) as (N, stored_dim); for `l2_augmented` all get the norm M of `largest` = M².

    `|q - x|² = |q|² + M² - 2 <q, x>`: the L2 order is the order of inner products (Bachrach et al. 2014, section 3).
    """
    count, dim = vectors.shape
    stored = np.zeros((count, stored_dim(space, dim)), dtype=np.float32)
    stored[:, :dim] = vectors
    if space == "l2_augmented":
        squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
        stored[:, dim] = np.sqrt(np.maximum(largest - squares, 0.0))
    return stored


def stored_queries(space: Space, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay out queries (B, D) as (B, stored_dim): zeros in every added dimension."""
    count, dim = queries.shape
    stored = np.zeros((count, stored_dim(space, dim)), dtype=np.float32)
    stored[:, :dim] = queries
    return stored
