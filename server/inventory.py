"""Which indices each country of a bundle has, by its manifest: for metrics, GetServingInfo and `inspect`."""

from collections.abc import Iterator
from dataclasses import dataclass

from index_store.index_entry import CurvePoint, ScannEntry, VectorEntry
from index_store.manifest import Manifest, PairsEntry

PATHS = "paths"


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """One index of one country; fields as in `retrieval.v1.SourceInfo` and `index_store.index_entry.VectorEntry`.

    engine: "hnsw", "scann", "exact" or "paths". type: an interaction type's name, of item_interaction only. count: what
    can be found, items or pairs. recall_k is 0 where recall is not measured: of paths, which are followed exactly.
    """

    source: str
    engine: str
    dim: int
    count: int
    type: str = ""
    space: str = ""
    ef: int = 0
    recall: float = 1.0
    recall_k: int = 0
    recall_target: float = 0.0
    queries: int = 0
    own_queries: int = 0
    m: int = 0
    ef_construction: int = 0
    neighbours: int = 0
    triggers: int = 0
    scann: ScannEntry | None = None
    reason: str = ""
    curve: tuple[CurvePoint, ...] = ()
    chosen: CurvePoint | None = None

    @property
    def label(self) -> str:
        """How a person calls it."""
        return f"{self.source} {self.type}".rstrip()


def indices_of(manifest: Manifest, country: str) -> Iterator[IndexFacts]:
    """List a country's indices by source; item_interaction once per target type."""
    entry = manifest.countries[country]
    yield _facts("led", entry.led, entry.items)
    if entry.two_tower:
        yield _facts("two_tower", entry.two_tower, entry.items)
    if entry.pdn:
        yield IndexFacts(
            "pdn",
            PATHS,
            entry.pdn.dim,
            entry.items,
            neighbours=entry.pdn.neighbours,
            triggers=manifest.pdn_triggers or 0,
        )
    if manifest.item_interaction:
        for target in manifest.item_interaction.targets:
            pairs: PairsEntry | None = entry.item_interaction.get(target)
            if pairs:
                yield _facts("item_interaction", pairs, pairs.count, target)


def _facts(source: str, entry: VectorEntry, count: int, kind: str = "") -> IndexFacts:
    return IndexFacts(
        source,
        entry.engine,
        entry.dim,
        count,
        type=kind,
        space=entry.space or "",
        ef=entry.ef or 0,
        recall=entry.recall,
        recall_k=entry.recall_k,
        recall_target=entry.recall_target,
        queries=entry.queries,
        own_queries=entry.own_queries,
        m=entry.m or 0,
        ef_construction=entry.ef_construction or 0,
        scann=entry.scann,
        reason=entry.reason,
        curve=entry.curve,
        chosen=next((point for point in entry.curve if entry.chosen(point)), None),
    )
