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
        sorted_nodes = nodes[self._views]
        begins, ends = (np.searchsorted(sorted_nodes, sorted_nodes, side=side) for side in ("left", "right"))
        only_viewed = _only_viewed(sequences, vocabulary)
        place = _place_of(self._views, len(vocabulary.types))[sequences.tokens[only_viewed]]
        others = (ends - begins)[place] > 1
        self._only_viewed, place = only_viewed[others], place[others]
        self._from, self._others = begins[place], (ends - begins)[place] - 1
        self._place = place - self._from

    def draw(self, rng: np.random.Generator) -> CustomNegatives:
        """Collect every position's negatives: stronger interactions with its item, and the drawn views."""
        # drawing from one fewer and stepping over the item itself is uniform over the others
        drawn = rng.integers(0, self._others[:, None], size=(len(self._others), VIEWED_ONLY_DRAWS))
        offsets = np.zeros(self._positions + 1, dtype=np.int64)
        tokens = np.zeros(len(self._stronger[0]) + drawn.size, dtype=np.int64)
        drawn_views = self._only_viewed, drawn, self._place, self._from, self._views
        merge(*self._stronger, *drawn_views, offsets, tokens)
        return CustomNegatives(tokens, offsets)


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
    kinds = [(token_of[item, kind] >= 0) & (kind > vocabulary.types) for kind in order]
    most = int(np.add.reduce(kinds, axis=0, dtype=np.int64)[sequences.tokens].sum())
    positions, tokens = np.zeros(most, dtype=np.int64), np.zeros(most, dtype=np.int64)
    size = scan_stronger(
        sequences.tokens, sequences.offsets, item, vocabulary.types, token_of, order, positions, tokens
    )
    return positions[:size], tokens[:size]


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
    """Write down the stronger tokens that sessions lack; returns how many there are. Quadratic in a session."""
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


@njit(nogil=True)
def merge(
    stronger_at: NDArray[np.int64],
    stronger: NDArray[np.int64],
    viewed_at: NDArray[np.int64],
    drawn: NDArray[np.int64],
    place: NDArray[np.int64],
    begin: NDArray[np.int64],
    views: NDArray[np.int64],
    offsets: NDArray[np.int64],
    tokens: NDArray[np.int64],
) -> None:
    """Lay out both kinds of negatives by position, the stronger first; both come in ascending positions.

    The drawn numbers count from `begin`, where the view's taxonomy begins in `views`, without the view's own `place`.
    """
    at, viewed, size = 0, 0, 0
    for position in range(len(offsets) - 1):
        while at < len(stronger_at) and stronger_at[at] == position:
            tokens[size] = stronger[at]
            at, size = at + 1, size + 1
        if viewed < len(viewed_at) and viewed_at[viewed] == position:
            for number in drawn[viewed]:
                tokens[size] = views[begin[viewed] + number + (number >= place[viewed])]
                size += 1
            viewed += 1
        offsets[position + 1] = size


def _place_of(ordered: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    place = np.full(size, -1, dtype=np.int64)
    place[ordered] = np.arange(len(ordered))
    return place
