"""What PDN knows of a pair of items from the log, the field c_ji: counted per fold of users, then cut into buckets.

A statistic that has seen the very positive it helps to predict gives the label away: a pair that only one user has is
then a sure sign of this user. So training users are cut into folds, and a fold's users are trained with statistics of
all other folds. Serving uses the statistics of all users: there the target is not in the history yet.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist_training.baselines import gram
from shortlist_training.neighbourhood import LinearConfig, ease_and_slim

STATISTICS = ("linear", "cosine", "count", "lift")
BUCKETS = 250
"""Per statistic, with one more (bucket 0) for pairs that nobody has."""

_LOW = 0.1 * np.logspace(-3.0, 0.0, 48)
_PLACES = np.concatenate([_LOW, np.linspace(0.1, 0.5, 64)[1:], 1.0 - 0.5 * np.logspace(0.0, -5.0, 139)[1:]])


@dataclass(frozen=True)
class Edges:
    """Where each statistic is cut, made once and used for all folds.

    cuts: (BUCKETS - 1,) ascending float32 per statistic. linear_means: (BUCKETS,) float64, the mean linear
    weight between two cuts.
    """

    cuts: tuple[NDArray[np.float32], ...]
    linear_means: NDArray[np.float64]


def statistics(history: sp.csr_matrix, linear: LinearConfig) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Measure all pairs on some users' log: (S, I, I) float32 in the order of `STATISTICS`, and (I, I) "co-occurs".

    linear: what j adds to the score of i, the mean of EASE's and SLIM's weights. cosine: n_ji / sqrt(n_j n_i).
    count: n_ji / U, so that folds of any size compare. lift: log(U n_ji / (n_j n_i)), the pair's PMI.
    """
    found = np.empty((len(STATISTICS), history.shape[1], history.shape[1]), dtype=np.float32)
    counted = gram(history)
    found[0] = ease_and_slim(counted, linear)
    item = np.maximum(np.diag(counted).copy(), 1.0)
    together = counted > 0
    np.fill_diagonal(together, val=False)
    found[2] = counted / history.shape[0]
    np.divide(counted, np.sqrt(np.outer(item, item)), out=found[1], casting="same_kind")
    counted[~together] = 1.0
    counted *= history.shape[0]
    counted /= item[:, None]
    counted /= item
    np.log(counted, out=found[3], casting="same_kind")
    return found, together


def edges(found: NDArray[np.float32], together: NDArray[np.bool_]) -> Edges:
    """Cut each statistic at quantiles that get ever finer towards both ends.

    Most pairs are weak and alike while the few strong ones decide the ranking, and the most negative linear weights
    tell as well. Pairs weigh by how many users have them, except for linear weights, which count for pairs that
    nobody has.
    """
    mass = found[STATISTICS.index("count")][together].astype(np.float64)
    cuts = []
    for name, one in zip(STATISTICS, found, strict=True):
        weight = np.ones_like(mass) if name == "linear" else mass
        cuts.append(_weighted_quantiles(one[together], weight, _PLACES))
    place = STATISTICS.index("linear")
    return Edges(tuple(cuts), _means(found[place], cuts[place]))


def _means(values: NDArray[np.float32], cuts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Average the values between cuts: (BUCKETS,); an empty bucket gets the cut below it."""
    bucket = np.searchsorted(cuts, values.ravel(), side="right")
    number = np.bincount(bucket, minlength=BUCKETS)
    total = np.bincount(bucket, weights=values.ravel(), minlength=BUCKETS)
    return np.where(number > 0, total / np.maximum(number, 1), np.concatenate([cuts[:1], cuts]))


def _weighted_quantiles(
    values: NDArray[np.float32], weight: NDArray[np.float64], places: NDArray[np.float64]
) -> NDArray[np.float32]:
    order = np.argsort(values)
    mass = np.cumsum(weight[order])
    at = np.searchsorted(mass, places * mass[-1])
    return np.asarray(values[order[np.minimum(at, len(order) - 1)]])


def pairs(found: NDArray[np.float32], together: NDArray[np.bool_], cut: Edges) -> NDArray[np.uint8]:
    """Turn statistics into the field c_ji: (S, I, I) uint8 buckets [s, j, i] for trigger j and target i.

    0 is for pairs that nobody has, else it is 1 + the number of cuts at or below the value.

    Linear models weigh pairs that nobody has as well (down, mostly), so these buckets are kept for all pairs.
    """
    buckets = np.empty(found.shape, dtype=np.uint8)
    for place, (cuts, one) in enumerate(zip(cut.cuts, found, strict=True)):
        buckets[place] = np.searchsorted(cuts, one, side="right") + 1
    buckets[1:, ~together] = 0
    return buckets
