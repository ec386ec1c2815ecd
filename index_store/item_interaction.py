"""The item-interaction source of one country, loaded: vectors of (item, type) pairs, searched pair by pair.

"Since a user viewed item A, what may they put into the cart next?" is the nearest cart vector to A's view vector
(Zhao et al., section 3.2). Rows here are the catalogue's; a pair is a row and a type.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.arrays import load_array
from index_store.errors import PairsInvalid
from index_store.grouping import grouped
from index_store.index import Index, SearchMethod
from index_store.layout import pairs_file
from index_store.manifest import InteractionEntry, PairsEntry, TypeName
from index_store.vectors import load_index, load_vectors
from models.interactions import InteractionType

_LENGTH_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Pairs:
    """One country's pairs of one type.

    rows: (n,) int32, ascending. vectors: (n, d) float32 of length 1. index: over the vectors.
    """

    entry: PairsEntry
    rows: NDArray[np.int32]
    vectors: NDArray[np.float32]
    index: Index

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the places (m,) of (m,) rows among the pairs, -1 where there is none."""
        # of one dtype, or numpy converts all n
        place = np.searchsorted(self.rows, rows.astype(self.rows.dtype))
        place[place == len(self.rows)] = 0
        return np.where(self.rows[place] == rows, place, -1)


@dataclass(frozen=True, slots=True)
class PairNeighbours:
    """The nearest `target` items to n items as `source`: "because you <source> trigger_rows[i], you may <target>".

    trigger_rows: (n,) int64. rows: (n, c) int64, best first, equal cosines by lower row, never the pair's own item;
    -1 where there are fewer, at the end. scores: (n, c) float32, cosines, -inf beside -1.
    """

    source: InteractionType
    target: InteractionType
    trigger_rows: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    method: SearchMethod


@dataclass(frozen=True, slots=True)
class MergedPairs:
    """Every item once, with its largest cosine.

    rows: (c,) int64, best first, equal scores by lower row. scores: (c,) float32. lists: (c,) int64, which of the
    merged `PairNeighbours` gave it, triggers: (c,) int64, which of its n items: the first of those that give the most.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    lists: NDArray[np.int64]
    triggers: NDArray[np.int64]


@dataclass(frozen=True)
class ItemInteractionShard:
    """One country's pairs by type, and how they are used: types that begin and end a module, pairs per type."""

    sources: tuple[InteractionType, ...]
    targets: tuple[InteractionType, ...]
    last_n: int
    pairs: Mapping[InteractionType, Pairs]

    @classmethod
    def load(
        cls,
        directory: Path,
        country: str,
        items: int,
        entries: Mapping[TypeName, PairsEntry],
        settings: InteractionEntry,
    ) -> "ItemInteractionShard":
        """Map the vectors, load the indices, and check M12, M16 to M18 and M25."""
        return cls(
            sources=tuple(InteractionType[name] for name in settings.sources),
            targets=tuple(InteractionType[name] for name in settings.targets),
            last_n=settings.last_n,
            pairs={InteractionType[name]: _load(directory, country, items, name, entries[name]) for name in entries},
        )

    def recent(
        self, rows: NDArray[np.int64], types: NDArray[np.int64], last_n: int | None = None
    ) -> dict[InteractionType, NDArray[np.int64]]:
        """Choose the pairs of a history (T,), oldest first, that modules begin with: by source type, newest first.

        Of each source type the last `last_n` different items that have a vector of this type here; types without any
        are left out.
        """
        wanted = self.last_n if last_n is None else last_n
        newest, kinds = rows[::-1], types[::-1]
        found = {}
        for kind in self.sources:
            if kind in self.pairs:
                own = newest[kinds == kind]
                own = own[self.pairs[kind].places(own) >= 0]
                order, starts = grouped(own)
                if len(order):
                    found[kind] = own[np.sort(order[starts])[:wanted]]
        return found

    def search(
        self, rows: NDArray[np.int64], source: InteractionType, target: InteractionType, k: int
    ) -> PairNeighbours:
        """Find the min(k, pairs of `target`) nearest `target` items to (n,) `source` pairs, in one search.

        A row without a pair of `source` finds nothing, and so does every row where the country has no pair of a type.
        """
        if not len(rows) or source not in self.pairs or target not in self.pairs:
            nothing = np.zeros((len(rows), 0), dtype=np.float32)
            return PairNeighbours(source, target, rows, nothing.astype(np.int64), nothing, "exact")
        begins, ends = self.pairs[source], self.pairs[target]
        places = begins.places(rows)
        # one more than wanted, since the item itself may be among them
        found = ends.index.search(begins.vectors[places], k + 1)
        near = ends.rows[found.rows].astype(np.int64)
        unwanted = (near == rows[:, None]) | (places < 0)[:, None]
        near[unwanted] = -1
        scores = np.where(unwanted, -np.inf, found.scores).astype(np.float32)
        order = np.argsort(unwanted, axis=1, kind="stable")[:, :k]
        return PairNeighbours(
            source,
            target,
            rows,
            np.take_along_axis(near, order, axis=1),
            np.take_along_axis(scores, order, axis=1),
            found.method,
        )

    def modules(
        self, rows: NDArray[np.int64], types: NDArray[np.int64], k: int, last_n: int | None = None
    ) -> list[PairNeighbours]:
        """Search from the recent pairs of a history (T,) to every target type, one search per source and target."""
        recent = self.recent(rows, types, last_n)
        return [
            self.search(begins, source, target, k)
            for source, begins in recent.items()
            for target in self.targets
            if target in self.pairs
        ]


def merged(found: Sequence[PairNeighbours]) -> MergedPairs:
    """Merge what pairs found: every item with its largest cosine (section 3.2's candidate set of a user)."""
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *(each.rows.ravel() for each in found)])
    scores = np.concatenate([np.zeros(0, dtype=np.float32), *(each.scores.ravel() for each in found)])
    sizes = np.array([each.rows.size for each in found], dtype=np.int64)
    lists = np.repeat(np.arange(len(found)), sizes)
    triggers = np.concatenate([np.zeros(0, dtype=np.int64), *(_triggers(each) for each in found)])
    ranked = np.lexsort((rows, -scores))
    order, starts = grouped(rows[ranked])
    best = ranked[np.sort(order[starts])]
    return MergedPairs(rows[best], scores[best], lists[best], triggers[best])


def _triggers(found: PairNeighbours) -> NDArray[np.int64]:
    count, width = found.rows.shape
    return np.repeat(np.arange(count), width)


def _load(directory: Path, country: str, items: int, kind: TypeName, entry: PairsEntry) -> Pairs:
    rows: NDArray[np.int32] = load_array(directory / pairs_file(country, kind, "rows.npy"), np.int32, (entry.count,))
    if rows[0] < 0 or rows[-1] >= items or (np.diff(rows) <= 0).any():
        message = f"country {country}, {kind}: expected rising rows from 0 to {items - 1}"
        raise PairsInvalid(message)
    vectors = load_vectors(directory / pairs_file(country, kind, "vectors.npy"), entry.count, entry.dim)
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    wrong = np.abs(lengths - 1.0) > _LENGTH_TOLERANCE
    if wrong.any():
        place = int(np.argmax(wrong))
        found = f"that of row {rows[place]} has {lengths[place]:.4g}"
        message = f"country {country}, {kind}: expected vectors of length 1, {found}"
        raise PairsInvalid(message)
    index = load_index(directory / pairs_file(country, kind, "vectors.npy"), entry, vectors)
    return Pairs(entry, rows, vectors, index)
