"""What a manifest says of one index: engine, settings, measured curve. Reads no file."""

from typing import Annotated, Literal

import msgspec

_MOST = 2**31 - 1  # what hnswlib, numpy and the wire can all count to

Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Space = Literal["ip", "l2_augmented"]
Engine = Literal["exact", "hnsw", "scann"]

# what ScaNN's work costs in ns over a million vectors of 101 dimensions (docs/engines.md)
_CODE_NS = 0.04
_REORDER_NS = 130

_OWN_SETTINGS = {"hnsw": "space and ef", "scann": "leaves and reorder", "exact": "no setting"}


class CurvePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measured setting of an engine: recall@recall_k, and the median CPU time of one search in microseconds.

    hnsw: space and ef, and m from format 1.2 on. scann: how many leaves are searched, how many rows reordered, and the
    index's principal axes where it has any. exact has no setting.
    """

    recall: Share
    search_us: Annotated[float, msgspec.Meta(ge=0)]
    engine: Engine = "hnsw"
    space: Space | None = None
    ef: Positive | None = None
    m: Positive | None = None
    leaves: Positive | None = None
    reorder: Positive | None = None
    principal: Positive | None = None

    def __post_init__(self) -> None:
        own = {"hnsw": (self.space, self.ef), "scann": (self.leaves, self.reorder), "exact": ()}[self.engine]
        given = (self.space, self.ef, self.m, self.leaves, self.reorder, self.principal)
        optional = {"hnsw": self.m, "scann": self.principal, "exact": None}[self.engine]
        if None in own or sum(value is not None for value in given) != len(own) + (optional is not None):
            message = f"a point of engine {self.engine} has {_OWN_SETTINGS[self.engine]}, and nothing of other engines"
            raise ValueError(message)


class ScannEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a ScaNN index was built, and how much of it one search for `recall_k` rows looks at.

    leaves: what the k-means tree was asked to have. principal: tree and codes are over so many principal axes of the
    vectors, None: over the vectors themselves. block: dimensions that one code of product quantisation stands for.
    soar: the weight of SOAR's second assignment, None without one. seed: of all that is drawn. sample: rows that the
    tree was learned from.
    search_leaves, reorder: leaves searched, and rows whose inner products are computed, per search. For r times as many
    rows as recall_k, r > 1, both grow by r to the power of leaves_growth and reorder_growth.
    """

    leaves: Positive
    block: Positive
    soar: Annotated[float, msgspec.Meta(ge=0, le=1000)] | None
    seed: Count
    search_leaves: Positive
    reorder: Positive
    leaves_growth: Share = 1.0
    reorder_growth: Share = 1.0
    sample: Positive = 100_000
    principal: Positive | None = None

    def coded(self, dim: int) -> int:
        """Of vectors of `dim` dimensions: how many tree and codes are over."""
        return dim if self.principal is None else self.principal

    def work_ns(self, size: int, dim: int, leaves: float, reorder: float) -> float:
        """Estimate one search of an index over `size` vectors: codes scanned, and rows scored by their vectors.

        In the unit of docs/engines.md's costs; only the ratio to other costs of the same unit means anything.
        """
        rows_per_leaf = size * (1 if self.soar is None else 2) / self.leaves
        codes = min(leaves, self.leaves) * rows_per_leaf * self.coded(dim) / self.block
        return codes * _CODE_NS + reorder * _REORDER_NS

    def effort(self, rows: int, recall_k: int) -> tuple[float, float]:
        """Leaves to search and rows to reorder for the best `rows`, before rounding and without regard to N."""
        more = max(rows / recall_k, 1.0)
        return self.search_leaves * more**self.leaves_growth, max(self.reorder * more**self.reorder_growth, rows)


class VectorEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Vectors of `dim` dimensions and how they are searched; space to ef_construction are hnsw's, None for others.

    `recall` is the mean share of the exact top `recall_k` that the search finds, over `queries` held-out users' vectors
    of which `own_queries` are this country's own. `reason` says to a person why this engine and setting were chosen.
    """

    dim: Positive
    engine: Engine
    recall_k: Positive
    recall_target: Share
    recall: Share
    queries: Count
    own_queries: Count
    curve: tuple[CurvePoint, ...]
    space: Space | None = None
    ef: Positive | None = None
    m: Positive | None = None
    ef_construction: Positive | None = None
    scann: ScannEntry | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        graph = (self.space, self.ef, self.m, self.ef_construction)
        if self.engine == "hnsw" and None in graph:
            message = "engine hnsw needs space, ef, m and ef_construction"
            raise ValueError(message)
        if self.engine != "hnsw" and graph != (None, None, None, None):
            message = f"engine {self.engine} takes no space, ef, m or ef_construction"
            raise ValueError(message)
        if (self.engine == "scann") != (self.scann is not None):
            message = "engine scann needs its settings, other engines take none of them"
            raise ValueError(message)

    def chosen(self, point: CurvePoint) -> bool:
        """Whether this is the point that is searched with; bundles before 1.2 name no M in their points."""
        if point.engine != self.engine:
            return False
        if self.engine == "exact":
            return True
        if self.scann is not None:
            scann = self.scann
            return (point.leaves, point.reorder, point.principal) == (
                scann.search_leaves,
                scann.reorder,
                scann.principal,
            )
        return (point.space, point.ef) == (self.space, self.ef) and point.m in {None, self.m}
