"""How much of the exact answers an index finds, and how long it takes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_store.index import Index, exact_top_k

# scores this close (relative to the larger of 1 and their size) are ties: float32 sums differ by order
TIE_TOLERANCE = 1e-5
_SCORES_AT_ONCE = 16_777_216


@dataclass(frozen=True)
class GoldenSearch:
    """A search that golden requests depend on: query (D,) float32, and the exact scores of its best items."""

    query: NDArray[np.float32]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, vectors: NDArray[np.float32], query: NDArray[np.float32], k: int) -> "GoldenSearch":
        """Search `vectors` (N, D) exactly: what golden answers say themselves is checked when they are replayed."""
        asked = np.asarray(query, dtype=np.float32)
        return cls(asked, exact_top_k(vectors, asked[None], k).scores[0])


@dataclass(frozen=True)
class Truth:
    """Queries (Q, D) float32, and for each the score (Q,) that the best k of the vectors reach, ties counted in."""

    queries: NDArray[np.float32]
    bars: NDArray[np.float32]
    k: int

    @classmethod
    def of(cls, vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> "Truth":
        """Search `vectors` (N, D) exactly, some queries at a time."""
        k = min(k, len(vectors))
        step = max(_SCORES_AT_ONCE // len(vectors), 1)
        parts = [queries[start : start + step] for start in range(0, len(queries), step)]
        worst = [exact_top_k(vectors, part, k).scores[:, -1] for part in parts]
        last = np.concatenate([np.zeros(0, dtype=np.float32), *worst])
        return cls(queries, last - TIE_TOLERANCE * np.maximum(1.0, np.abs(last)), k)

    def measure(self, index: Index) -> tuple[float, float]:
        """Mean share of the exact top k that `index` finds, one query at a time, and its median microseconds of CPU.

        CPU of all threads, because the clock on the wall also measures who else is at work.
        """
        hits, times = 0, []
        for query, bar in zip(self.queries, self.bars, strict=True):
            start = time.process_time_ns()
            found = index.search(query[None], self.k)
            times.append(time.process_time_ns() - start)
            hits += int((found.scores[0] >= bar).sum())
        return hits / (len(self.queries) * self.k), round(float(np.median(times)) / 1000, 1)


def recall(index: Index, vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> float:
    """Mean share of the exact top k (ties with the k-th counted as in it) that `index` finds."""
    return Truth.of(vectors, queries, k).measure(index)[0]


def golden_recall(index: Index, searches: Sequence[GoldenSearch]) -> float:
    """Mean share of the exact best scores of golden searches that `index` finds; 1 where there are none."""
    shares = []
    for golden in searches:
        bar = golden.scores[-1] - TIE_TOLERANCE * max(1.0, abs(golden.scores[-1]))
        found = index.search(golden.query[None], len(golden.scores))
        shares.append(float((found.scores[0] >= bar).mean()))
    return float(np.mean(shares or [1.0]))
