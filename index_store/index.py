"""What every engine offers, and the exact one. Scores are inner products: higher is closer."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

SearchMethod = Literal["hnsw", "scann", "exact", "exact_fallback"]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k best rows of B queries.

    rows: (B, k) int64. scores: (B, k) float32, inner products, never increasing along a row; equal scores by lower row.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    method: SearchMethod


class Index(Protocol):
    """Maximum inner product search over the N rows of a country. Immutable once built."""

    def search(self, queries: NDArray[np.float32], k: int, *, spare: bool = False) -> Neighbours:
        """Find the k best rows for queries (B, D) float32, finite, 1 <= k; never more than N.

        spare: give rows beyond the k-th too, if the engine has scored some on the way: (B, c), c >= k, with row -1 and
        score -inf at the end where a query has fewer. They are the best of those it looked at, and it may have missed
        more of them than of the first k.
        """
        ...


def exact_top_k(vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> Neighbours:
    """Score all N rows of `vectors` (N, D) against `queries` (B, D) and keep the best min(k, N)."""
    k = min(k, len(vectors))
    scores = queries @ vectors.T
    if k < scores.shape[1]:
        # widened to every row that ties with the k-th, or the lower row would not be sure to win
        threshold = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
        picked = [np.flatnonzero(row >= bar) for row, bar in zip(scores, threshold, strict=True)]
    else:
        picked = [np.arange(scores.shape[1])] * len(scores)
    rows = np.empty((len(scores), k), dtype=np.int64)
    for i, candidates in enumerate(picked):
        order = np.argsort(-scores[i, candidates], kind="stable")[:k]
        rows[i] = candidates[order]
    return Neighbours(rows, np.take_along_axis(scores, rows, axis=1), "exact")


class ExactIndex:
    """Matrix product over all rows: for a few thousand items nothing is faster, and recall is 1."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    def search(self, queries: NDArray[np.float32], k: int, *, spare: bool = False) -> Neighbours:  # noqa: ARG002
        """See `Index.search`; nothing is to spare."""
        return exact_top_k(self._vectors, queries, k)
