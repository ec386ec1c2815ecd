"""Negative samples (section 4.1.1): the custom ones by the order of interactions, and the table of the random ones.

Second in the dataflow. Custom negatives belong to positions of the sessions, since they depend on what else happened
in the session; `skipgram` adds them to the random negatives of every pair that the position takes part in.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.item_interaction.tokens import ORDER, Sequences, Vocabulary

VIEWED_ONLY_DRAWS = 2
"""An item that was only viewed gets two negative views of items from its taxonomy."""

TABLE_SIZE = 1 << 20


@dataclass(frozen=True)
class CustomNegatives:
    """Position i's custom negatives are tokens[offsets[i]:offsets[i + 1]]; offsets is (n + 1,), both int64."""

    tokens: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def none(cls, positions: int) -> "CustomNegatives":
        """No custom negatives at all, as for the no-interaction baseline."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(positions + 1, dtype=np.int64))


class CustomSampler:
    """Finds the custom negatives of sessions. The ranked part is fixed; the views are drawn again at every call.

    taxonomy: (V,) int64, the taxonomy node of each token's item; None puts all items under one node.

    Negatives that no session has, such as the purchase of an item that nobody bought, are left out: their tokens have
    no vector that could be retrieved.
    """

    def __init__(self, sequences: Sequences, vocabulary: Vocabulary, taxonomy: NDArray[np.int64] | None = None) -> None:
        self._positions = len(sequences.tokens)
        self._stronger = _stronger(sequences, vocabulary)
        nodes = np.zeros(len(vocabulary.types), dtype=np.int64) if taxonomy is None else taxonomy
        views = vocabulary.of_type(InteractionType.VIEW)
        self._views = views[np.argsort(nodes[views], kind="stable")]
        self._only_viewed = _only_viewed(sequences, vocabulary)
        viewed = sequences.tokens[self._only_viewed]
        self._from = np.searchsorted(nodes[self._views], nodes[viewed], side="left")
        self._size = np.searchsorted(nodes[self._views], nodes[viewed], side="right") - self._from
        self._place = _place_of(self._views, len(vocabulary.types))[viewed] - self._from

    def draw(self, rng: np.random.Generator) -> CustomNegatives:
        """Collect every position's negatives: stronger interactions with its item, and the drawn views."""
        others = np.flatnonzero(self._size > 1)
        shape = (len(others), VIEWED_ONLY_DRAWS)
        # drawing from one fewer and stepping over the item itself is uniform over the others
        drawn = rng.integers(0, np.maximum(self._size[others, None] - 1, 1), size=shape)
        drawn += drawn >= self._place[others, None]
        views = self._views[self._from[others, None] + drawn].ravel()
        at = np.repeat(self._only_viewed[others], VIEWED_ONLY_DRAWS)
        positions = np.r_[self._stronger[0], at]
        order = np.argsort(positions, kind="stable")
        offsets = np.searchsorted(positions[order], np.arange(self._positions + 1)).astype(np.int64)
        return CustomNegatives(np.r_[self._stronger[1], views][order], offsets)


def random_table(counts: NDArray[np.int64], power: float, size: int = TABLE_SIZE) -> NDArray[np.int64]:
    """Lay out tokens so that a uniform place is a token with probability count^power: (size,) int64.

    Word2vec's table (Mikolov et al. 2013). It must be large beside V, or rare tokens would be rounded away.
    """
    size = max(size, 16 * len(counts))
    reached = np.cumsum(counts.astype(np.float64) ** power)
    middles = (np.arange(size) + 0.5) / size * reached[-1]
    return np.asarray(np.searchsorted(reached, middles), dtype=np.int64)


def _token_of(vocabulary: Vocabulary) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the items, (V,) int64, and find an item's token of a type, (I, types) int64 with -1 for none."""
    _, item = np.unique(vocabulary.items, return_inverse=True)
    token_of = np.full((int(item.max(initial=-1)) + 1, max(ORDER) + 1), -1, dtype=np.int64)
    token_of[item, vocabulary.types] = np.arange(len(item))
    return item.astype(np.int64), token_of


def _stronger(sequences: Sequences, vocabulary: Vocabulary) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair each position (l, i) with the tokens (l, j), j > i, that its session does not have, by position."""
    item, token_of = _token_of(vocabulary)
    order = np.array(ORDER, dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int64)
    log = sequences.tokens, sequences.offsets, item, vocabulary.types, token_of, order
    size = scan_stronger(*log, nothing, nothing)
    positions, tokens = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    scan_stronger(*log, positions, tokens)
    return positions, tokens


def _only_viewed(sequences: Sequences, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """List the first position of each (session, item) whose every event is a view."""
    item, _ = _token_of(vocabulary)
    first = scan_only_viewed(
        sequences.tokens, sequences.offsets, item, vocabulary.types, np.int64(InteractionType.VIEW)
    )
    return np.flatnonzero(first).astype(np.int64)


@njit(nogil=True)
def scan_stronger(
    tokens: NDArray[np.int64],
    offsets: NDArray[np.int64],
    item: NDArray[np.int64],
    types: NDArray[np.int8],
    token_of: NDArray[np.int64],
    order: NDArray[np.int64],
    positions: NDArray[np.int64],
    found: NDArray[np.int64],
) -> int:
    """Count the stronger tokens that sessions lack; write them down if there is room. Quadratic in a session."""
    size = 0
    for session in range(len(offsets) - 1):
        begin, end = offsets[session], offsets[session + 1]
        for at in range(begin, end):
            for kind in order:
                token = token_of[item[tokens[at]], kind]
                if token < 0 or kind <= types[tokens[at]]:
                    continue
                absent = True
                for other in range(begin, end):
                    if tokens[other] == token:
                        absent = False
                        break
                if absent:
                    if size < len(found):
                        positions[size] = at
                        found[size] = token
                    size += 1
    return size


@njit(nogil=True)
def scan_only_viewed(
    tokens: NDArray[np.int64],
    offsets: NDArray[np.int64],
    item: NDArray[np.int64],
    types: NDArray[np.int8],
    view: np.int64,
) -> NDArray[np.bool_]:
    """Mark each session's first view of an item that the session does nothing else with: (n,) bool."""
    first = np.zeros(len(tokens), dtype=np.bool_)
    for session in range(len(offsets) - 1):
        begin, end = offsets[session], offsets[session + 1]
        for at in range(begin, end):
            first[at] = types[tokens[at]] == view
            for other in range(begin, end):
                same = item[tokens[other]] == item[tokens[at]]
                if same and (types[tokens[other]] != view or other < at):
                    first[at] = False
                    break
    return first


def _place_of(ordered: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    place = np.full(size, -1, dtype=np.int64)
    place[ordered] = np.arange(len(ordered))
    return place
