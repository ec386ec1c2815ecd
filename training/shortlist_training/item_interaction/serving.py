"""Item-interaction embeddings as they are served: unit vectors of (item, type) pairs, and the modules over them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_store.content import InteractionPolicy
from models.interactions import InteractionType
from shortlist_training.config_sources import InteractionSettings
from shortlist_training.errors import DataError, TrainingError
from shortlist_training.histories import History
from shortlist_training.item_interaction.skipgram import SkipgramConfig, train_skipgram
from shortlist_training.item_interaction.tokens import ORDER, session_events, tokenise
from shortlist_training.timelines import Rows, index_in

NO_GAP_S = 1 << 40


@dataclass(frozen=True)
class PairVectors:
    """V pairs. items: (V,) int64 trained rows, ascending; types: (V,) int64. vectors: (V, d) float32 of length 1."""

    items: Rows
    types: Rows
    vectors: NDArray[np.float32]

    def of_type(self, kind: int) -> tuple[Rows, NDArray[np.float32]]:
        """Give one type's rows, ascending, with their vectors."""
        chosen = self.types == kind
        return self.items[chosen], self.vectors[chosen]


def train_pairs(
    interactions: ibis.Table,
    item_keys: pa.ChunkedArray,
    categories: Sequence[str] | None,
    settings: InteractionSettings,
    gap_s: int,
    seed: int,
    on_epoch: Callable[[int], None],
) -> PairVectors:
    """Learn from training users' canonical interactions. `item_keys` and `categories` describe the I trained items.

    Categories are the taxonomy of the view negatives. `DataError` if no session is long enough.
    """
    gap = settings.session_gap_s if settings.session_gap_s is not None else gap_s
    events = session_events(interactions, gap or NO_GAP_S, settings.min_events)
    sequences, vocabulary = tokenise(events, settings.min_count)
    if not len(sequences.tokens):
        message = (
            f"item_interaction: no session has {settings.min_events} views, favorites, carts or purchases; "
            "lower item_interaction.min_events or raise session_gap_s"
        )
        raise DataError(message)
    rows = index_in(pa.chunked_array([pa.array(vocabulary.items, item_keys.type)]), item_keys)
    nodes = None if categories is None else np.unique(np.asarray(categories), return_inverse=True)[1][rows]
    config = SkipgramConfig(
        dim=settings.dim,
        window=settings.window,
        negatives=settings.negatives,
        power=settings.power,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
    )
    inputs, _ = train_skipgram(sequences, vocabulary, config, seed, nodes, on_epoch, shuffle=True)
    if not np.isfinite(inputs).all():
        message = "item_interaction: the vectors grew without bound; lower item_interaction.learning_rate or window"
        raise TrainingError(message)
    lengths = np.linalg.norm(inputs, axis=1, keepdims=True)
    unit = (inputs / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    order = np.lexsort((vocabulary.types, rows))
    return PairVectors(rows[order], vocabulary.types.astype(np.int64)[order], unit[order])


def policy(pairs: PairVectors, settings: InteractionSettings) -> InteractionPolicy:
    """Choose which types begin and end a module; types that training saw nothing of are a `DataError`."""
    present = [kind for kind in ORDER if (pairs.types == int(kind)).any()]
    named = {
        "sources": tuple(present) if settings.sources is None else _kinds(settings.sources),
        "targets": (present[-1],) if settings.targets is None else _kinds(settings.targets),
    }
    for name, kinds in named.items():
        for kind in kinds:
            if kind not in present:
                seen = ", ".join(each.name for each in present)
                message = f"item_interaction.{name} names {kind.name}, which no session has; sessions have {seen}"
                raise DataError(message)
    return InteractionPolicy(named["sources"], named["targets"], settings.last_n)


def _kinds(names: Sequence[str]) -> tuple[InteractionType, ...]:
    return tuple(InteractionType[name] for name in names)


@dataclass(frozen=True)
class TypedVectors:
    """Some catalogue's pairs by type: rows (n,) ascending and vectors (n, d)."""

    by_type: dict[int, tuple[Rows, NDArray[np.float32]]]
    items: int
    policy: InteractionPolicy

    def sources_of(self, history: History) -> NDArray[np.float32]:
        """Give the vectors of the last n different pairs of each source type: (S, d), newest first; S may be 0."""
        found = []
        for kind in self.policy.sources:
            rows, vectors = self.by_type.get(int(kind), (np.zeros(0, dtype=np.int64), np.zeros((0, 1), np.float32)))
            own = history.rows[history.types == int(kind)]
            newest = own[np.isin(own, rows)][::-1]
            _, first = np.unique(newest, return_index=True)
            chosen = newest[np.sort(first)][: self.policy.last_n]
            if len(chosen):
                found.append(vectors[np.searchsorted(rows, chosen)])
        return np.concatenate(found) if found else np.zeros((0, 1), dtype=np.float32)

    def scores(self, history: History) -> NDArray[np.float32]:
        """Score items by the largest cosine of a target pair with a source pair: (I,) float32, -inf for the rest.

        The history's own items are no candidates.
        """
        scores = np.full(self.items, -np.inf, dtype=np.float32)
        queries = self.sources_of(history)
        if len(queries):
            for kind in self.policy.targets:
                if int(kind) in self.by_type:
                    rows, vectors = self.by_type[int(kind)]
                    scores[rows] = np.maximum(scores[rows], (vectors @ queries.T).max(axis=1))
        scores[history.rows] = -np.inf
        return scores


def typed_vectors(pairs: PairVectors, how: InteractionPolicy, items: int) -> TypedVectors:
    """Lay out all I trained items' pairs by type."""
    return TypedVectors({int(kind): pairs.of_type(int(kind)) for kind in np.unique(pairs.types)}, items, how)
