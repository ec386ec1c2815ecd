"""What the sources share between steps: what training derived of the log, and what a source gives to a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index_store.content import CountryContent, EncoderContent, SourceGoldenCase
from shortlist_training.catalogue import Catalogue
from shortlist_training.histories import Histories, History
from shortlist_training.timelines import Rows


@dataclass(frozen=True)
class Country:
    """A country's catalogue: row r is trained item rows[r], ascending; item_ids (N,) uint64.

    golden: non-empty histories of trained items of this country, for golden cases. held_out: those of held-out users,
    own country first, `own` of them; for calibration.
    """

    code: str
    rows: Rows
    item_ids: NDArray[np.uint64]
    golden: Sequence[History]
    held_out: Sequence[History]
    own: int

    def local(self, rows: Rows) -> Rows:
        """Turn trained items of this country into rows of its catalogue."""
        return np.searchsorted(self.rows, rows).astype(np.int64)

    def localized(self, history: History) -> History:
        """Turn a history's trained items into rows of the catalogue."""
        return replace(history, rows=self.local(history.rows))

    def request(self, history: History) -> list[tuple[int, int, int]]:
        """Write a history as a request has it: (item id, type, milliseconds)."""
        ids = self.item_ids[self.local(history.rows)]
        return [
            (int(item), int(kind), int(time))
            for item, kind, time in zip(ids, history.types, history.times_ms, strict=True)
        ]


def served_history(histories: Histories, user: int, code: str, is_served: NDArray[np.bool_]) -> History:
    """Give a user's interactions with the items that a country serves, as if the user asked from there."""
    history = histories.of_user(user)
    return replace(history.take(is_served[history.rows]), country=code)


class Source(Protocol):
    """A trained source: it answers for users of all trained items, and gives a country's part of a bundle."""

    def scores(self, known: Sequence[History]) -> NDArray[np.float32]:
        """Score all trained items in the served form: (B, I) float32, -inf for what cannot be found."""

    @property
    def answers_empty(self) -> bool:
        """Whether a user without history gets an answer."""

    def encoders(self) -> Mapping[str, EncoderContent]:
        """Export the encoders, compared with the trained model."""

    def country(self, country: Country, content: CountryContent) -> CountryContent:
        """Add this source's part to a country's content."""

    def golden(self, country: Country, k: int) -> list[SourceGoldenCase]:
        """Answer the country's golden histories without the serving code."""


@dataclass(frozen=True)
class Learning:
    """What every source derives from: users' histories of trained items, and what is known of these items.

    svd: (I, d) float32, LED's PMI-SVD vectors.
    """

    histories: Histories
    catalogue: Catalogue
    svd: NDArray[np.float32]


def exact_top(scores: NDArray[np.float32], item_ids: NDArray[np.uint64], k: int) -> tuple[list[int], list[float]]:
    """Rank items: the k best ids and scores, equal scores by lower item id; -inf is no answer."""
    order = np.lexsort((item_ids, -scores))[:k]
    order = order[scores[order] > -np.inf]
    return [int(item) for item in item_ids[order]], [float(score) for score in scores[order]]
