"""Chooses how a country is searched: recall and time of every space and ef on held-out users' vectors."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_store.content import IndexPolicy
from index_store.errors import RecallUnderTarget
from index_store.hnsw import HnswIndex
from index_store.index import Index, exact_top_k
from index_store.manifest import CurvePoint, Space, VectorEntry

# scores this close (relative to the larger of 1 and their size) are ties: float32 sums differ by order
TIE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Calibrated:
    """The manifest's facts of some vectors, and the graph they speak of (None: exact search)."""

    entry: VectorEntry
    index: HnswIndex | None


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


def recall(index: Index, vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> float:
    """Mean share of the exact top k (ties with the k-th counted as in it) that `index` finds, one query at a time."""
    exact = exact_top_k(vectors, queries, k)
    worst = exact.scores[:, -1]
    bars = worst - TIE_TOLERANCE * np.maximum(1.0, np.abs(worst))
    hits = [
        int((index.search(query[None], k).scores[0] >= bar).sum()) for query, bar in zip(queries, bars, strict=True)
    ]
    return sum(hits) / exact.rows.size


def calibrate(
    label: str,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    own_queries: int,
    golden: Sequence[GoldenSearch],
    policy: IndexPolicy,
) -> Calibrated:
    """Choose engine, space and ef for `vectors` (N, D) with held-out users' vectors `queries` (Q, D).

    `label` says in messages whose vectors they are: a country, and a source.
    Among the settings that reach the target, on the held-out users and on the country's golden requests, the smallest
    ef wins, earlier spaces of the policy first: a rule without a clock in it, so that a rerun chooses the same. The
    graph of the losing space is dropped.

    Raises `RecallUnderTarget` with the best point of every space when none reaches it.
    """
    count, dim = vectors.shape
    facts = {
        "dim": dim,
        "recall_k": min(policy.recall_k, count),
        "recall_target": policy.recall_target,
        "queries": len(queries),
        "own_queries": own_queries,
    }
    if count < policy.exact_below:
        return Calibrated(VectorEntry(engine="exact", recall=1.0, curve=(), **facts), None)
    if not len(queries):
        message = f"country {label}: {count} items need a graph, and there is no query to measure its recall with"
        raise RecallUnderTarget(message)
    graphs = {
        space: HnswIndex.build(vectors, space, m=policy.m, ef_construction=policy.ef_construction, seed=policy.seed)
        for space in policy.spaces
    }
    measured = [
        each for space, graph in graphs.items() for each in _sweep(graph, space, vectors, queries, golden, policy)
    ]
    chosen = choose(label, measured, policy)
    graphs[chosen.space].set_ef(chosen.ef)
    entry = VectorEntry(
        engine="hnsw",
        recall=chosen.recall,
        curve=tuple(each.point for each in measured),
        space=chosen.space,
        ef=chosen.ef,
        m=policy.m,
        ef_construction=policy.ef_construction,
        **facts,
    )
    return Calibrated(entry, graphs[chosen.space])


@dataclass(frozen=True)
class Measured:
    """A point of the curve, and the share of the golden answers that the same setting finds."""

    point: CurvePoint
    golden_recall: float

    def reaches(self, target: float) -> bool:
        """Whether both are at or above the target."""
        return self.point.recall >= target and self.golden_recall >= target


def choose(label: str, measured: Sequence[Measured], policy: IndexPolicy) -> CurvePoint:
    """The point with the smallest ef that reaches the target; the order of `policy.spaces` breaks ties."""
    enough = [each.point for each in measured if each.reaches(policy.recall_target)]
    if enough:
        return min(enough, key=lambda point: (point.ef, policy.spaces.index(point.space)))
    best = [
        max((each for each in measured if each.point.space == space), key=lambda each: each.point.recall)
        for space in policy.spaces
    ]
    reached = ", ".join(
        f"{each.point.space} {each.point.recall:.3f} (golden {each.golden_recall:.3f}) at ef {each.point.ef}"
        for each in best
    )
    message = (
        f"country {label}: expected recall@{policy.recall_k} of at least {policy.recall_target}, reached {reached}; "
        "raise m, ef_construction or the ef grid, raise exact_below over the catalogue's size, or lower the target"
    )
    raise RecallUnderTarget(message)


def golden_recall(index: Index, searches: Sequence[GoldenSearch]) -> float:
    """Mean share of the exact best scores of golden searches that `index` finds; 1 where there are none."""
    shares = []
    for golden in searches:
        bar = golden.scores[-1] - TIE_TOLERANCE * max(1.0, abs(golden.scores[-1]))
        found = index.search(golden.query[None], len(golden.scores))
        shares.append(float((found.scores[0] >= bar).mean()))
    return float(np.mean(shares or [1.0]))


def _sweep(
    graph: HnswIndex,
    space: Space,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    golden: Sequence[GoldenSearch],
    policy: IndexPolicy,
) -> list[Measured]:
    """Measure rising ef until the target has been passed once more; later points would only cost time."""
    k = min(policy.recall_k, len(vectors))
    measured: list[Measured] = []
    # hnswlib searches with max(ef, k): a smaller ef would look as good here and be worse for a smaller k
    for ef in sorted({max(ef, k) for ef in policy.ef_grid}):
        graph.set_ef(ef)
        found = recall(graph, vectors, queries, k)
        point = CurvePoint(space=space, ef=ef, recall=found, search_us=_median_search_us(graph, queries, k))
        measured.append(Measured(point, golden_recall(graph, golden)))
        if len(measured) > 1 and measured[-2].reaches(policy.recall_target):
            break
    return measured


def _median_search_us(index: Index, queries: NDArray[np.float32], k: int) -> float:
    times = []
    for query in queries:
        start = time.perf_counter_ns()
        index.search(query[None], k)
        times.append(time.perf_counter_ns() - start)
    return round(float(np.median(times)) / 1000, 1)
