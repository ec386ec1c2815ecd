"""Training examples: a training user's timeline cut into what is known and what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.features import UserContext
from shortlist_training.histories import History, distinct_rows
from shortlist_training.timelines import Rows
from shortlist_training.user_features import hide_some


@dataclass(frozen=True)
class Cutting:
    """How timelines are cut; fields as in `config_sources.TwoTowerSettings`."""

    split_by: Literal["time", "random"]
    input_share: float
    max_targets: int
    max_history: int
    context_dropout: float
    empty_share: float = 0.0


@dataclass(frozen=True)
class Example:
    """One user's input, the rows to be found, and the user's context at that time."""

    known: History
    targets: Rows
    context: UserContext


def cut(history: History, how: Cutting, rng: np.random.Generator) -> Example | None:
    """Cut one timeline of at least two different items; None where nothing new comes after the cut."""
    if how.split_by == "time":
        place = int(rng.integers(1, len(history)))
        known, time = history.take(slice(0, place)), int(history.times_ms[place])
        later = distinct_rows(history.take(slice(place, len(history))))
        targets = later[~np.isin(later, known.rows)][: how.max_targets]
    else:
        shuffled = rng.permutation(distinct_rows(history))
        size = min(max(1, round(how.input_share * len(shuffled))), len(shuffled) - 1)
        known, time = history.take(np.isin(history.rows, shuffled[:size])), int(history.times_ms[-1])
        targets = shuffled[size:][: how.max_targets]
    if rng.random() < how.empty_share:
        targets = rng.permutation(distinct_rows(history))[: how.max_targets]
        known = history.take(slice(0, 0))
    if not len(targets):
        return None
    context = hide_some(known.context(time), how.context_dropout, rng)
    return Example(known.recent(how.max_history), targets, context)


def usable(histories: Sequence[History]) -> list[History]:
    """Leave only timelines that have two different items."""
    return [history for history in histories if len(history) and history.rows.min() != history.rows.max()]


def label_weights(histories: Sequence[History], items: int, how: Cutting) -> NDArray[np.float64]:
    """Estimate how often each item is a target: (I,) float64.

    A user has n distinct items and at most `max_targets` of them are targets, each of the n equally likely.
    """
    weight = np.zeros(items)
    for history in histories:
        rows = np.unique(history.rows)
        weight[rows] += min(how.max_targets, max(1.0, (1 - how.input_share) * len(rows))) / len(rows)
    return weight
