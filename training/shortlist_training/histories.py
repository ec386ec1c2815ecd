"""Users' interactions with the items that training knows, and what is held out of them: the sources' common ground.

Between `timelines`, whose rows are all items of the log, and the sources, whose rows are the trained items 0..I-1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from models.features import FeatureValue, UserContext
from shortlist_training.timelines import Log, Rows, incidence

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class History:
    """A user's interactions, oldest first: rows, types, times_ms (T,) int64. country: code; features by name."""

    rows: Rows
    types: Rows
    times_ms: Rows
    country: str
    features: dict[str, FeatureValue]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, kept: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Self:
        """Leave only some interactions."""
        return replace(self, rows=self.rows[kept], types=self.types[kept], times_ms=self.times_ms[kept])

    def recent(self, most: int) -> Self:
        """Leave the newest `most` interactions."""
        return self.take(slice(max(len(self) - most, 0), len(self)))

    def asked_ms(self) -> int:
        """Say when an evaluation asks: an hour after the newest interaction, 0 (not said) where there is none."""
        return int(self.times_ms[-1]) + HOUR_MS if len(self) else 0

    def asking(self, time_ms: int | None = None) -> UserContext:
        """Describe the user at `time_ms`, or where that is None at `asked_ms`."""
        return self.context(self.asked_ms() if time_ms is None else time_ms)

    def context(self, time_ms: int = 0) -> UserContext:
        """Describe the user as a request does that wants an answer at `time_ms`, 0 = not said."""
        newest = int(self.times_ms[-1]) if len(self) else 0
        return UserContext(self.country, time_ms, newest, len(self), self.features)


def nobody(country: str) -> History:
    """Somebody of whom nothing is known but the country."""
    none = np.zeros(0, dtype=np.int64)
    return History(none, none, none, country, {})


@dataclass(frozen=True)
class Histories:
    """All users' interactions with I trained items. homes: (U,) places in countries; features: per user.

    items: I. split: (U,) "train", ...
    """

    offsets: Rows
    rows: Rows
    types: Rows
    times_ms: Rows
    homes: Rows
    countries: Sequence[str]
    split: NDArray[np.str_]
    features: Sequence[dict[str, FeatureValue]]
    items: int

    @classmethod
    def of(cls, log: Log, vocabulary: Rows, features: Sequence[dict[str, FeatureValue]] | None = None) -> Self:
        """Leave out what training does not know; `vocabulary` are ascending places in items.parquet."""
        lookup = np.full(int(max(log.items.max(initial=0), vocabulary.max(initial=0))) + 1, -1, dtype=np.int64)
        lookup[vocabulary] = np.arange(len(vocabulary))
        rows = lookup[log.items]
        known = rows >= 0
        before = np.r_[0, np.cumsum(known)]
        return cls(
            offsets=before[log.offsets].astype(np.int64),
            rows=rows[known],
            types=log.types[known].astype(np.int64),
            times_ms=log.times_ms[known],
            homes=log.homes(),
            countries=log.countries,
            split=log.split,
            features=features if features is not None else [{}] * len(log.users),
            items=len(vocabulary),
        )

    def members(self, split: str) -> Rows:
        """List the users of a split, ascending."""
        return np.flatnonzero(self.split == split).astype(np.int64)

    def of_user(self, user: int) -> History:
        """Give one user's interactions."""
        rows = slice(int(self.offsets[user]), int(self.offsets[user + 1]))
        code = self.countries[int(self.homes[user])]
        return History(self.rows[rows], self.types[rows], self.times_ms[rows], code, self.features[user])

    def training(self) -> list[History]:
        """Give all training users' interactions."""
        return [self.of_user(int(user)) for user in self.members("train")]

    def training_counts(self) -> Rows:
        """Count each item's training interactions: (I,) int64."""
        here = np.repeat(self.split == "train", np.diff(self.offsets))
        return np.bincount(self.rows[here], minlength=self.items).astype(np.int64)


@dataclass(frozen=True)
class HeldOut:
    """Users whose items were folded in: what is known of each, and as (U, I) matrices, with what is to be found."""

    known: Sequence[History]
    inputs: sp.csr_matrix
    targets: sp.csr_matrix


def distinct_rows(history: History, types: Sequence[int] = ()) -> Rows:
    """List a history's items by first interaction, those with one of some types if any are named."""
    rows = history.rows if not types else history.rows[np.isin(history.types, types)]
    _, first = np.unique(rows, return_index=True)
    return rows[np.sort(first)]


def fold_in_users(
    histories: Histories,
    split: str,
    share: float,
    seed: int,
    input_types: Sequence[int] = (),
    target_types: Sequence[int] = (),
) -> HeldOut:
    """Split held-out users' distinct items at random into input and targets, as `metrics.fold_in` does.

    With types, input items without an interaction of the input types and targets without one of the target types are
    left out afterwards; users who then lack one of both are left out too. The input's interactions keep their order.
    """
    rng = np.random.default_rng(seed)
    known, inputs, targets = [], [], []
    for user in histories.members(split):
        history = histories.of_user(int(user))
        distinct = distinct_rows(history)
        if len(distinct) < 2:  # noqa: PLR2004
            continue
        shuffled = rng.permutation(distinct)
        cut = min(max(1, int(share * len(distinct))), len(distinct) - 1)
        given = _of_types(shuffled[:cut], history, input_types)
        wanted = _of_types(shuffled[cut:], history, target_types)
        if len(given) and len(wanted):
            known.append(history.take(np.isin(history.rows, given)))
            inputs.append(given)
            targets.append(wanted)
    return HeldOut(known, incidence(inputs, histories.items), incidence(targets, histories.items))


def _of_types(rows: Rows, history: History, types: Sequence[int]) -> Rows:
    return rows if not types else rows[np.isin(rows, distinct_rows(history, types))]
