"""The log as PDN's training and serving see it: one view per fold of users, and one of everybody."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist_training.neighbourhood import LinearConfig
from shortlist_training.pdn.cooccurrence import Edges, edges, pairs, statistics
from shortlist_training.pdn.features import popularity_codes
from shortlist_training.pdn.lateness import late_codes, lateness
from shortlist_training.reproduction.parts import Progress
from shortlist_training.timelines import Rows


@dataclass(frozen=True)
class View:
    """What some users' log says of items.

    buckets: (S, I, I) uint8, the field c_ji. popularity: (I,) int64 codes. late: (COUNT_CODES, I) uint8, codes of
    lateness by activity.
    """

    buckets: NDArray[np.uint8]
    popularity: Rows
    late: NDArray[np.uint8]


@dataclass(frozen=True)
class Views:
    """fold: (U,) int64, each user's fold. held_out: per fold the view of all users outside of it. everybody: of all."""

    fold: Rows
    held_out: Sequence[View]
    everybody: View
    edges: Edges


def look(history: sp.csr_matrix, linear: LinearConfig, cut: Edges) -> View:
    """Make the view of some users' log, with buckets cut as for the others."""
    found, together = statistics(history, linear)
    return _view(history, pairs(found, together, cut))


def views(history: sp.csr_matrix, folds: int, linear: LinearConfig, seed: int, progress: Progress) -> Views:
    """Make the views of all folds. Penalties shrink with the number of users that are left."""
    progress("co-occurrence of everybody", 0, folds + 1)
    found, together = statistics(history, linear)
    cut = edges(found, together)
    everybody = _view(history, pairs(found, together, cut))
    del found, together
    users = history.shape[0]
    fold = np.random.default_rng(seed).permutation(np.arange(users) % folds).astype(np.int64)
    held_out = []
    for number in range(folds):
        progress("co-occurrence outside of a fold", number + 1, folds + 1)
        held_out.append(look(history[fold != number], linear.of_part((folds - 1) / folds), cut))
    return Views(fold, held_out, everybody, cut)


def _view(history: sp.csr_matrix, buckets: NDArray[np.uint8]) -> View:
    return View(buckets, popularity_codes(history), late_codes(lateness(history)))
