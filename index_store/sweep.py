"""Builds what the policy's engines may search with, and measures each over a grid of efforts, up to good enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.content import IndexPolicy
from index_store.engines import scann_engine
from index_store.hnsw import HnswIndex
from index_store.index import ExactIndex, Index
from index_store.index_entry import CurvePoint, ScannEntry, Space
from index_store.layout import GRAPH, SCANN_FOLDER
from index_store.principal import principal_axes
from index_store.recall import GoldenSearch, Truth, golden_recall

if TYPE_CHECKING:
    from index_store.scann_index import ScannIndex

_DEEPER, _DEEP_QUERIES = 10, 50
# exponents that are tried; 1 and 1 is what an entry has that none of them does for
_LEAVES_GROWTHS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
_REORDER_GROWTHS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
_ENOUGH = 0.002  # of recall: where more rows to reorder bring less than that, only more leaves help


@dataclass(frozen=True)
class Goal:
    """What an index must reach: recall on held-out users' queries, and on the searches of golden requests."""

    truth: Truth
    golden: Sequence[GoldenSearch]
    target: float


class Built(Protocol):
    """An index that was built, and its settings."""

    @property
    def index(self) -> Index:
        """What is searched."""

    def set_effort(self, point: CurvePoint) -> None:
        """Search as the point says."""

    def facts(self, point: CurvePoint) -> dict[str, Any]:
        """What the manifest says of this index, searched as the point says."""

    def save(self, folder: Path) -> None:
        """Write the index's files beside the vectors that lie in `folder`."""


@dataclass(frozen=True)
class Measured:
    """A point of the curve, the share of the golden answers that the same setting finds, and whose point it is."""

    point: CurvePoint
    golden_recall: float
    built: Built
    work: float
    """Orders the points of one engine, by counts and not by the clock."""

    def reaches(self, target: float) -> bool:
        """Whether both recalls are at or above the target."""
        return self.point.recall >= target and self.golden_recall >= target


@dataclass(frozen=True)
class Everything:
    """Exact search: nothing is built, and nothing can be set."""

    index: ExactIndex

    def set_effort(self, point: CurvePoint) -> None:
        """There is only one effort."""

    def facts(self, point: CurvePoint) -> dict[str, Any]:  # noqa: ARG002
        """Nothing but the engine."""
        return {"engine": "exact"}

    def save(self, folder: Path) -> None:
        """There are no files."""


@dataclass(frozen=True)
class Graph:
    """An HNSW graph of one space and M."""

    index: HnswIndex
    space: Space
    m: int
    ef_construction: int

    def set_effort(self, point: CurvePoint) -> None:
        """See `Built`."""
        self.index.set_ef(point.ef or 1)

    def facts(self, point: CurvePoint) -> dict[str, Any]:
        """See `Built`."""
        own = {"space": self.space, "ef": point.ef, "m": self.m, "ef_construction": self.ef_construction}
        return {"engine": "hnsw", **own}

    def save(self, folder: Path) -> None:
        """See `Built`."""
        self.index.save(folder / GRAPH)


@dataclass(frozen=True)
class Tree:
    """A ScaNN index; `entry` has the efforts it was built to default to."""

    index: "ScannIndex"
    entry: ScannEntry

    def set_effort(self, point: CurvePoint) -> None:
        """See `Built`."""
        self.index.set_effort(self.at(point))

    def facts(self, point: CurvePoint) -> dict[str, Any]:
        """See `Built`."""
        return {"engine": "scann", "scann": self.at(point)}

    def at(self, point: CurvePoint) -> ScannEntry:
        """Settings with the point's efforts."""
        return msgspec.structs.replace(self.entry, search_leaves=point.leaves, reorder=point.reorder)

    def save(self, folder: Path) -> None:
        """See `Built`."""
        self.index.save(folder / SCANN_FOLDER)


def measured_exactly(vectors: NDArray[np.float32], goal: Goal) -> list[Measured]:
    """Measure exact search; its recall is 1 whatever rounding says."""
    built = Everything(ExactIndex(vectors))
    _, search_us = goal.truth.measure(built.index)
    return [Measured(CurvePoint(engine="exact", recall=1.0, search_us=search_us), 1.0, built, 0.0)]


def measured_graph(
    vectors: NDArray[np.float32], goal: Goal, policy: IndexPolicy, space: Space, m: int, give_up_us: float
) -> list[Measured]:
    """Build a graph; measure rising ef until the target has been passed once more: later points only cost time.

    So do those slower than `give_up_us`: another engine is good enough in far less.
    """
    index = HnswIndex.build(vectors, space, m=m, ef_construction=policy.ef_construction, seed=policy.seed)
    return measured_efs(Graph(index, space, m, policy.ef_construction), goal, policy, give_up_us)


def measured_efs(built: Graph, goal: Goal, policy: IndexPolicy, give_up_us: float) -> list[Measured]:
    """As `measured_graph`, of a graph that is there."""
    found: list[Measured] = []
    # hnswlib searches with max(ef, k): a smaller ef would look as good here and be worse for a smaller k
    for ef in sorted({max(ef, goal.truth.k) for ef in policy.ef_grid}):
        setting = CurvePoint(engine="hnsw", space=built.space, ef=ef, m=built.m, recall=0.0, search_us=0.0)
        found.append(_measured(built, setting, goal, work=ef))
        passed = len(found) > 1 and found[-2].reaches(goal.target)
        if passed or found[-1].point.search_us > give_up_us:
            break
    return found


def measured_tree(vectors: NDArray[np.float32], goal: Goal, policy: IndexPolicy) -> list[Measured]:
    """Build a ScaNN index and measure it; `ScannUnfit` if these vectors make none. Ask `scann_engine` first.

    Where the vectors allow one over few principal axes that one is built, and one over the vectors only if it misses
    the target: it has more and coarser codes.
    """
    engine = scann_engine()
    if engine is None:
        message = "ScaNN is not installed"
        raise RuntimeError(message)
    found: list[Measured] = []
    for entry in scann_entries(vectors, goal.truth.k, policy):
        found += _measured_efforts(Tree(engine.build(vectors, goal.truth.k, entry), entry), vectors, goal, policy)
        if any(each.reaches(goal.target) for each in found):
            break
    return found


def _measured_efforts(built: Tree, vectors: NDArray[np.float32], goal: Goal, policy: IndexPolicy) -> list[Measured]:
    """Measure one index over the policy's efforts.

    For each number of leaves more and more rows are reordered, until the target is reached or more bring nothing;
    numbers of leaves rise until one costs more with the fewest rows than the cheapest that reaches the target, by
    counts and by the clock.
    """
    entry, (count, dim) = built.entry, vectors.shape
    reorders = sorted({min(round(goal.truth.k * each), count) for each in policy.reorder_grid})
    found: list[Measured] = []
    for leaves in sorted({min(each, entry.leaves) for each in policy.leaves_grid}):
        for reorder in reorders:
            effort = {"leaves": leaves, "reorder": reorder, "principal": entry.principal}
            setting = CurvePoint(engine="scann", recall=0.0, search_us=0.0, **effort)
            found.append(_measured(built, setting, goal, entry.work_ns(count, dim, leaves, reorder)))
            if found[-1].reaches(goal.target) or _brings_nothing(found):
                break
        if found[-1].reaches(goal.target) and found[-1].point.reorder == reorders[0]:
            break
        if _no_cheaper(found, goal):
            break
    return found


def _no_cheaper(found: Sequence[Measured], goal: Goal) -> bool:
    """Whether the last number of leaves costs more with the fewest rows than a good setting of fewer leaves."""
    enough = [each for each in found if each.reaches(goal.target)]
    first = next(each for each in found if each.point.leaves == found[-1].point.leaves)
    before = [each for each in enough if each.point.leaves != first.point.leaves]
    if not before:
        return False
    work, search_us = min(each.work for each in before), min(each.point.search_us for each in before)
    return first.work > work and first.point.search_us > search_us


def _brings_nothing(found: Sequence[Measured]) -> bool:
    """Whether the last point adds nothing to the one before, of the same number of leaves."""
    if len(found) < 2 or found[-1].point.leaves != found[-2].point.leaves:  # noqa: PLR2004 - a pair
        return False
    return found[-1].point.recall < found[-2].point.recall + _ENOUGH


def scann_entries(vectors: NDArray[np.float32], k: int, policy: IndexPolicy) -> list[ScannEntry]:
    """Say how ScaNN may build an index of `vectors` (N, D), the best way first; its efforts are set by every search."""
    count = len(vectors)
    leaves = policy.scann_leaves or max(round(2 * count**0.5), 1)
    soar = policy.scann_soar if count >= policy.scann_soar_from else None
    over_all = ScannEntry(
        leaves=leaves,
        block=policy.scann_block,
        soar=soar,
        seed=policy.seed,
        search_leaves=leaves,
        reorder=k,
        sample=policy.scann_sample,
    )
    axes = principal_axes(vectors, policy.scann_energy, policy.scann_sample)
    return [over_all] if axes is None else [msgspec.structs.replace(over_all, principal=axes, block=1), over_all]


def grown(built: Tree, point: CurvePoint, vectors: NDArray[np.float32], goal: Goal) -> ScannEntry:
    """Find how little effort must grow with the rows asked for: the cheapest growth that is as good for ten times more.

    A filtered request fetches far more rows than publishing measured the setting for.
    """
    entry, (count, dim) = built.at(point), vectors.shape
    rows = min(_DEEPER * goal.truth.k, count)
    deeper = Truth.of(vectors, goal.truth.queries[:_DEEP_QUERIES], rows)
    wanted = min(goal.target, point.recall)
    candidates = [
        msgspec.structs.replace(entry, leaves_growth=leaves, reorder_growth=reorder)
        for leaves, reorder in product(_LEAVES_GROWTHS, _REORDER_GROWTHS)
    ]

    def work(candidate: ScannEntry) -> float:
        return candidate.work_ns(count, dim, *candidate.effort(rows, goal.truth.k))

    for candidate in sorted(candidates, key=work):
        built.index.set_effort(candidate)
        if deeper.measure(built.index)[0] >= wanted:
            return candidate
    built.index.set_effort(entry)
    return entry


def _measured(built: Built, setting: CurvePoint, goal: Goal, work: float) -> Measured:
    built.set_effort(setting)
    found, search_us = goal.truth.measure(built.index)
    point = msgspec.structs.replace(setting, recall=found, search_us=search_us)
    return Measured(point, golden_recall(built.index, goal.golden), built, work)
