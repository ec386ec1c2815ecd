"""What was learned, and its nearest neighbours: which item, and how (section 3.2, figure 2).

Last in the dataflow. Search is exact here; a served index would be approximate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.item_interaction.tokens import Vocabulary

Similarity = Literal["cosine", "inner"]


@dataclass(frozen=True)
class Embeddings:
    """One vector per token. inputs, outputs: u_p and v_p, (V, d) float32 each, in the vocabulary's order."""

    vocabulary: Vocabulary
    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]

    def token(self, item: object, kind: InteractionType) -> int:
        """Find the token of an (item, type) pair; KeyError if training never saw it."""
        found = np.flatnonzero((self.vocabulary.items == item) & (self.vocabulary.types == int(kind)))
        if not len(found):
            raise KeyError((item, kind.name))
        return int(found[0])

    def scores(
        self, sources: NDArray[np.int64], targets: NDArray[np.int64], similarity: Similarity
    ) -> NDArray[np.float32]:
        """Compare source with target tokens: (Q, T) float32, higher is closer.

        "cosine" compares input vectors, whose tokens have similar contexts; "inner" is u_p . v_q of equation 1, the
        likelihood that q occurs near p.
        """
        if similarity == "inner":
            return np.asarray(self.inputs[sources] @ self.outputs[targets].T)
        return np.asarray(_unit(self.inputs[sources]) @ _unit(self.inputs[targets]).T)

    def nearest(
        self, source: int, kinds: Sequence[InteractionType], k: int, similarity: Similarity = "cosine"
    ) -> list[tuple[int, float]]:
        """List the nearest k tokens of some types with their scores, without the source itself, best first.

        Equal scores are ordered by token.
        """
        targets = self.vocabulary.of_type(*kinds)
        targets = targets[targets != source]
        scores = self.scores(np.array([source]), targets, similarity)[0]
        best = np.argsort(-scores, kind="stable")[:k]
        return [(int(targets[at]), float(scores[at])) for at in best]


class TypedScorer:
    """Scores items for source items: each source as a token of one type, each item by its best token of some types.

    items: (I,) ascending item keys that scores are laid out by.
    """

    def __init__(
        self,
        learned: Embeddings,
        items: NDArray[np.generic],
        source: InteractionType,
        targets: Sequence[InteractionType],
        similarity: Similarity,
    ) -> None:
        self._learned, self._similarity = learned, similarity
        rows = np.searchsorted(items, learned.vocabulary.items)
        self._targets = learned.vocabulary.of_type(*targets)
        # tokens are ordered by item, so that an item's target tokens are neighbours
        self._scored, self._starts = np.unique(rows[self._targets], return_index=True)
        sources = learned.vocabulary.of_type(source)
        self._token = np.full(len(items), -1, dtype=np.int64)
        self._token[rows[sources]] = sources
        self.covered: NDArray[np.bool_] = self._token >= 0

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score all items for covered source rows: (Q, I) float32, -inf for items without a token of the types."""
        found = np.full((len(rows), len(self._token)), -np.inf, dtype=np.float32)
        by_token = self._learned.scores(self._token[rows], self._targets, self._similarity)
        found[:, self._scored] = np.maximum.reduceat(by_token, self._starts, axis=1)
        return found


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
