"""The PDN source of one country, loaded: the path index and both encoders' item sides; triggers in, candidates out.

Greedy path retrieval of Li et al. 2021, section 5.1: TrigNet weighs all triggers, the best m are followed, the table
gives each one's neighbours, and paths to one item are added up. Nothing is ever computed for the whole catalogue.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.arrays import load_array
from index_store.errors import PathsInvalid
from index_store.grouping import best_places
from index_store.layout import pdn_array
from index_store.manifest import PdnEntry
from index_store.vectors import load_vectors
from models.encoder import OnnxEncoder
from models.features import UserContext
from models.pdn import Triggers, direct_inputs, trignet_inputs

Keep = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Marks which of (n,) different rows may be answered: (n,) bool."""

_CHUNK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class PathCandidates:
    """What one user's paths lead to.

    rows: (c,) int64, each once. scores: (c,) float32, equation 14, never increasing; equal scores by lower row.
    paths: how many 2-hop paths were followed. scored: how many eligible candidates they led to, of which the best k
    are here.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    paths: int
    scored: int


@dataclass(frozen=True, slots=True)
class PathEvidence:
    """Why n candidates have their scores: p paths, by candidate, and for one candidate by descending contribution.

    places: (p,) int64, which of the n candidates. trigger_rows: (p,) int64. weights: (p,) float32, t_uj. similarities:
    (p,) float32, s_ji. contributions: (p,) float32, softplus(t_uj + s_ji). direct: (n,) float32, softplus(d_ui). A
    candidate's contributions and its direct term add up to its score.
    """

    places: NDArray[np.int64]
    trigger_rows: NDArray[np.int64]
    weights: NDArray[np.float32]
    similarities: NDArray[np.float32]
    contributions: NDArray[np.float32]
    direct: NDArray[np.float32]


@dataclass(frozen=True)
class PdnShard:
    """One country's PDN; arrays as in `index_store.content.PdnContent`, memory-mapped.

    triggers: m, how many triggers are followed unless the caller says otherwise.
    """

    entry: PdnEntry
    triggers: int
    neighbours: NDArray[np.int32]
    scores: NDArray[np.float16]
    item_vectors: NDArray[np.float32]
    trigger_vectors: NDArray[np.float32]

    @classmethod
    def load(cls, directory: Path, country: str, items: int, entry: PdnEntry, triggers: int) -> "PdnShard":
        """Map the arrays and check M12, M16 and M24."""
        shape = (items, entry.neighbours)
        shard = cls(
            entry,
            triggers,
            load_array(directory / pdn_array(country, "neighbours"), np.int32, shape),
            load_array(directory / pdn_array(country, "scores"), np.float16, shape),
            load_vectors(directory / pdn_array(country, "item_vectors"), items, entry.dim),
            load_vectors(directory / pdn_array(country, "trigger_vectors"), items, entry.trigger_dim),
        )
        for start in range(0, items, _CHUNK_ROWS):
            _check_table(country, start, items, shard.neighbours, shard.scores)
        return shard

    def trigger_weights(
        self, encoder: OnnxEncoder, triggers: Sequence[Triggers], contexts: Sequence[UserContext]
    ) -> list[NDArray[np.float32]]:
        """Compute t_uj of all triggers of B users with the encoder `trignet`, in one call: B arrays (L_b,).

        Make triggers with `models.pdn.triggers_of` and `encoder.spec.max_history`. Raises `EncoderError`, and
        `FeatureKindError` where a caller's feature is of the wrong kind.
        """
        if not triggers:
            return []
        weights = encoder.encode(trignet_inputs(self.trigger_vectors, triggers, contexts, encoder.transforms))
        if len(triggers) == 1:
            return [weights]
        ends = np.cumsum([len(each.rows) for each in triggers])
        return np.split(weights, ends[:-1])

    def user_vectors(self, encoder: OnnxEncoder, contexts: Sequence[UserContext]) -> NDArray[np.float32]:
        """Compute `[p_u, 1]` (B, d + 1) of B users with the encoder `pdn_user`, in one call; raises as above."""
        return encoder.encode(direct_inputs(contexts, encoder.transforms))

    def search(
        self,
        trigger_rows: NDArray[np.int64],
        weights: NDArray[np.float32],
        user_vector: NDArray[np.float32],
        k: int,
        m: int | None = None,
        keep: Keep | None = None,
    ) -> PathCandidates:
        """Find one user's best min(k, candidates) rows by equation 14.

        trigger_rows: (L,) different rows, weights: (L,) t_uj, user_vector: (d + 1,). Only the m triggers of the largest
        weights count (equal ones by lower row); m is `triggers` where it is None. `keep` is asked once, for all
        candidates. One thread at a time: paths leave their marks in memory that is kept.
        """
        rows, gains, followed = self._follow(trigger_rows, weights, self.triggers if m is None else m)
        if keep is not None:
            kept = keep(rows)
            rows, gains = rows[kept], gains[kept]
        scores = gains + softplus(self._direct(rows, user_vector))
        best = best_places(scores, k, rows)
        return PathCandidates(rows[best], scores[best], followed, len(rows))

    def paths(
        self,
        rows: NDArray[np.int64],
        trigger_rows: NDArray[np.int64],
        weights: NDArray[np.float32],
        user_vector: NDArray[np.float32],
        m: int | None = None,
    ) -> PathEvidence:
        """List the paths that lead to (n,) candidates; other arguments as in `search`."""
        top = _top(trigger_rows, weights, self.triggers if m is None else m)
        followed = trigger_rows[top]
        ascending = np.argsort(rows, kind="stable")
        found = self.neighbours[followed]
        near = np.searchsorted(rows, found, sorter=ascending)
        place = np.append(ascending, -1)[near]
        led_to = np.append(rows, -2)[place] == found
        hop = np.nonzero(led_to)[0]
        similarities = self.scores[followed][led_to].astype(np.float32)
        contributions = softplus(weights[top][hop] + similarities)
        best = np.lexsort((-contributions, place[led_to]))
        return PathEvidence(
            places=place[led_to][best],
            trigger_rows=followed[hop][best],
            weights=weights[top][hop][best],
            similarities=similarities[best],
            contributions=contributions[best],
            direct=softplus(self._direct(rows, user_vector)),
        )

    def _follow(
        self, trigger_rows: NDArray[np.int64], weights: NDArray[np.float32], m: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
        """Follow the best m triggers: candidates in any order, the sum of each one's paths, and the number of paths.

        Nothing is sorted: the last path to a row leaves its number at the row's place in an array of the catalogue's
        size, the only one that is touched far apart, and a row's paths are added up under that number. Missing
        neighbours, -1, come to lie in the array's last place, which is no row's.
        """
        top = _top(trigger_rows, weights, m)
        followed = trigger_rows[top]
        targets = self.neighbours.take(followed, axis=0).ravel()
        gains = softplus((weights[top, None] + self.scores.take(followed, axis=0)).ravel())
        paths = np.arange(len(targets), dtype=np.int32)
        self._marks[targets] = paths
        last = self._marks.take(targets, mode="wrap")
        sums = np.zeros(len(targets), dtype=np.float32)
        np.add.at(sums, last, gains)
        own = (last == paths).nonzero()[0]
        rows, missing = targets[own], 0
        if len(rows) and np.minimum.reduce(rows) < 0:
            own = own[rows >= 0]
            rows, missing = targets[own], int(np.count_nonzero(targets < 0))
        return rows.astype(np.int64), sums[own], len(targets) - missing

    # both sides are known to be finite; for why numpy may warn all the same, see `models.numpy_graph`
    @np.errstate(invalid="ignore")
    def _direct(self, rows: NDArray[np.int64], user_vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute d_ui of (n,) rows, (n,) float32."""
        # np.take gathers rows twice as fast as an index does
        products: NDArray[np.float32] = np.take(self.item_vectors, rows, axis=0) @ user_vector
        return products

    @cached_property
    def _marks(self) -> NDArray[np.int32]:
        """Numbers of paths by row, (N + 1,): pages that no path leads to are never made."""
        return np.zeros(len(self.neighbours) + 1, dtype=np.int32)


def softplus(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """`ln(1 + e^x)`, float32, without overflow; `np.logaddexp(0, x)` gives the same several times as slowly."""
    found: NDArray[np.float32] = np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, np.float32(0.0))
    return found


def _top(rows: NDArray[np.int64], weights: NDArray[np.float32], m: int) -> NDArray[np.int64]:
    """Places of the m largest weights, best first; equal ones by lower row."""
    return np.lexsort((rows, -weights))[:m]


def _check_table(
    country: str, start: int, items: int, neighbours: NDArray[np.int32], scores: NDArray[np.float16]
) -> None:
    """Check M24 for the rows of one chunk: a table of a million rows is hundreds of megabytes."""
    near, similar = neighbours[start : start + _CHUNK_ROWS], scores[start : start + _CHUNK_ROWS].astype(np.float32)
    rows = np.arange(start, start + len(near))[:, None]
    none = near == -1
    ordered = np.sort(near, axis=1)
    faults = {
        f"neighbours from -1 to {items - 1}": ((near < -1) | (near >= items), near),
        "neighbours other than the row itself": (near == rows, near),
        "each neighbour once": ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != -1), ordered[:, 1:]),
        "missing neighbours at the end": (none[:, :-1] & ~none[:, 1:], near[:, 1:]),
        "a finite score beside a neighbour": (~none & ~np.isfinite(similar), similar),
        "-inf beside a missing neighbour": (none & (similar != -np.inf), similar),
        "scores that never increase": (similar[:, 1:] > similar[:, :-1], similar[:, 1:]),
    }
    for expected, (wrong, values) in faults.items():
        if wrong.any():
            row, place = np.argwhere(wrong)[0]
            message = f"country {country}: expected {expected}, row {start + row} has {values[row, place]}"
            raise PathsInvalid(message)
