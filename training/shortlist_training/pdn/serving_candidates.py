"""Candidate pairs of a path and what the log says of them, the field c_ji, without a matrix of items x items.

Pairs come from co-occurrence and from alike content (section 5.2), some hundred for each trigger. They are found one
block of triggers at a time, so memory grows with items x candidates.

In training a user's own log must not be in the statistics (`pdn.cooccurrence` says why), and neither may it decide
which pairs are candidates: a pair that only this user has would else be known by being there. So candidates are chosen
anew for each fold of users, from the log of all others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist_training.baselines import ease, gram
from shortlist_training.timelines import Rows

BLOCK = 512
LEAST_COSINE = 1e-4
LEAST_WEIGHT = 1e-3
STATISTICS = ("log cosine", "log count", "lift", "alike", "together", "log popularity")
_COMMON = 0.05  # words in a larger share of titles say nothing of two items


@dataclass(frozen=True)
class CandidatePairs:
    """Pairs (trigger j, target i): trigger j's are indptr[j]:indptr[j + 1] of targets (n,) int32, ascending.

    statistics: (n, s) float16, `STATISTICS`: log(cosine / LEAST_COSINE), log(1 + count), log of the lift, cosine of the
    content, 1 where somebody has both, log(1 + the target's count). The first three are 0 where nobody has. With
    `ease_lambda` EASE's weight is one more. items: I.
    """

    indptr: Rows
    targets: NDArray[np.int32]
    statistics: NDArray[np.float16]
    items: int

    @cached_property
    def places(self) -> sp.csr_matrix:
        """Lay the pairs' numbers, plus 1, out as an (I, I) sparse matrix."""
        numbers = np.arange(1, len(self.targets) + 1, dtype=_whole(len(self.targets)))
        return sp.csr_matrix((numbers, self.targets, self.indptr), shape=(len(self.indptr) - 1, self.items))

    def triggers(self) -> Rows:
        """Give each pair's trigger: (n,) int64."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr)).astype(np.int64)

    def triggers_at(self, numbers: Rows) -> Rows:
        """Give some pairs' triggers, by the pairs' numbers."""
        return (np.searchsorted(self.indptr, numbers, side="right") - 1).astype(np.int64)


class Cooccurrence:
    """Counts of some users' log, from which blocks of pairs are made.

    history: (U, I) incidence. A user weighs n_u^-activity_power in a cosine, once for each of the two items: who has
    nearly everything says little of any pair. scale: users of the whole log / U, so that counts of folds compare.
    ease_lambda: of EASE over the whole log; 0 leaves EASE out.
    """

    def __init__(
        self, history: sp.csr_matrix, activity_power: float, scale: float = 1.0, ease_lambda: float = 0.0
    ) -> None:
        lengths = np.maximum(np.diff(history.indptr), 1).astype(np.float64)
        self.ease_lambda = ease_lambda
        self._users = history.shape[0]
        self._scale = scale
        self._by_item = history.T.tocsr().astype(np.float64)
        self._history = history.astype(np.float64)
        self._weighted = (sp.diags(lengths**-activity_power) @ self._history).tocsr()
        self._mass = np.maximum(np.asarray(self._weighted.sum(axis=0)).ravel(), np.finfo(np.float64).tiny)
        self._count = np.maximum(np.asarray(self._history.sum(axis=0)).ravel(), 1.0)

    def popularity(self, items: Rows) -> NDArray[np.float32]:
        """Give the log of 1 + how many users of the whole log would have each item: (n,) float32."""
        found: NDArray[np.float32] = np.log1p(self._count[items] * self._scale).astype(np.float32)
        return found

    @cached_property
    def _ease(self) -> NDArray[np.float32]:
        return ease(gram(self._history), self.ease_lambda / self._scale)

    def ease(self, triggers: Rows, targets: Rows) -> NDArray[np.float32]:
        """Give b_ji, what EASE adds for a target to whom has the trigger, as sign(b) log(1 + |b| / LEAST_WEIGHT): (n,).

        The first call solves EASE for all items: dense, quadratic in memory and cubic in time.
        """
        weight = self._ease[triggers, targets]
        found: NDArray[np.float32] = np.sign(weight) * np.log1p(np.abs(weight) / LEAST_WEIGHT)
        return found

    def blocks(self, rows: Rows) -> Iterator[tuple[Rows, Rows, NDArray[np.float32]]]:
        """List the pairs among `rows` (R,) that somebody has, `BLOCK` triggers at a time.

        Gives the triggers' places in the block and the targets' places in `rows` (n,), by trigger and then by target,
        and statistics (n, 3).
        """
        weighted, history = self._weighted[:, rows], self._history[:, rows]
        for start in range(0, len(rows), BLOCK):
            triggers = rows[start : start + BLOCK]
            left = self._by_item[triggers]
            yield self._measured(triggers, rows, (left @ weighted).tocsr(), (left @ history).tocsr())

    def _measured(
        self, triggers: Rows, targets: Rows, weighted: sp.csr_matrix, counted: sp.csr_matrix
    ) -> tuple[Rows, Rows, NDArray[np.float32]]:
        weighted.sort_indices()
        counted.sort_indices()
        place = np.repeat(np.arange(len(triggers)), np.diff(counted.indptr))
        j, i = triggers[place], targets[counted.indices]
        cosine = weighted.data / np.sqrt(self._mass[j] * self._mass[i])
        lift = np.log(self._users * counted.data / (self._count[j] * self._count[i]))
        found = np.stack(
            [np.log(np.maximum(cosine / LEAST_COSINE, 1.0)), np.log1p(counted.data * self._scale), lift], axis=1
        )
        kept = j != i
        return place[kept], counted.indices[kept].astype(np.int64), found[kept].astype(np.float32)


def number_of_statistics(ease_lambda: float) -> int:
    """Count what is known of a pair, with EASE's weight or (0) without."""
    return len(STATISTICS) + bool(ease_lambda)


def profile_matrix(words: NDArray[np.int64] | None, category: NDArray[np.int64] | None, items: int) -> sp.csr_matrix:
    """Describe items by title words and category, weighed by rarity, at length 1: (I, V) float32; empty without any.

    words: (I, W) ids, 0 and 1 being padding and unknown; category: (I,) ids. Words of more than 5 % of the titles are
    left out.
    """
    parts = []
    for ids in (words, None if category is None else category[:, None]):
        if ids is not None:
            row = np.repeat(np.arange(items), ids.shape[1])
            known = ids.ravel() > 1
            shape = (items, int(ids.max(initial=0)) + 1)
            ones = np.ones(int(known.sum()))
            part = sp.csr_matrix((ones, (row[known], ids.ravel()[known])), shape=shape)
            part.data[:] = 1.0
            parts.append(part)
    if not parts:
        return sp.csr_matrix((items, 1), dtype=np.float32)
    found = sp.hstack(parts).tocsr()
    share = np.asarray(found.sum(axis=0)).ravel() / items
    weight = np.where((share > 0) & (share <= _COMMON), -np.log(np.maximum(share, 1e-12)), 0.0)
    found = (found @ sp.diags(weight)).tocsr()
    found.eliminate_zeros()
    length = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
    return (sp.diags(1.0 / np.maximum(length, 1e-12)) @ found).tocsr().astype(np.float32)


def candidate_pairs(
    log: Cooccurrence, profiles: sp.csr_matrix, rows: Rows, by_log: int, by_profile: int
) -> CandidatePairs:
    """Choose each row's candidates among `rows` (R,): pair triggers and targets are places in `rows`.

    by_log: largest cosines in the log; by_profile: largest cosines of the content. Equal ones: lower row.
    """
    parts = list(_blocks(log, profiles, rows, by_log, by_profile))
    lengths = np.concatenate([lengths for lengths, _, _ in parts]) if parts else np.zeros(0, dtype=np.int64)
    return CandidatePairs(
        indptr=np.r_[0, np.cumsum(lengths)].astype(np.int64),
        targets=np.concatenate([targets for _, targets, _ in parts]),
        statistics=np.concatenate([statistics for _, _, statistics in parts]),
        items=len(rows),
    )


def _blocks(
    log: Cooccurrence, profiles: sp.csr_matrix, rows: Rows, by_log: int, by_profile: int
) -> Iterator[tuple[Rows, NDArray[np.int32], NDArray[np.float16]]]:
    here = profiles[rows]
    across = here.T.tocsr() if by_profile else None
    for number, (place, target, found) in enumerate(log.blocks(rows)):
        start = number * BLOCK
        size = min(BLOCK, len(rows) - start)
        keys = place * len(rows) + target
        chosen = keys[np.sort(_top(place, found[:, 0], by_log))]
        if across is not None:
            chosen = np.union1d(chosen, _alike(here[start : start + size] @ across, start, by_profile))
        trigger, other = np.divmod(chosen, len(rows))
        statistics = np.zeros((len(chosen), number_of_statistics(log.ease_lambda)), dtype=np.float16)
        at, has = _find(keys, chosen)
        statistics[has, :3] = found[at]
        statistics[:, 3] = _likeness(here, start + trigger, other)
        statistics[has, 4] = 1.0
        statistics[:, 5] = log.popularity(rows[other])
        if log.ease_lambda:
            statistics[:, -1] = log.ease(rows[start + trigger], rows[other])
        yield np.bincount(trigger, minlength=size), other.astype(np.int32), statistics


def _alike(products: sp.csr_matrix, start: int, most: int) -> Rows:
    """Find the `most` largest products of each trigger of a block that begins at `start`, without itself: keys."""
    products.sort_indices()
    place = np.repeat(np.arange(products.shape[0]), np.diff(products.indptr))
    other = products.indices != place + start
    place, target, likeness = place[other], products.indices[other].astype(np.int64), products.data[other]
    top = _top(place, likeness, most)
    keys: Rows = place[top] * products.shape[1] + target[top]
    return keys


def _likeness(profiles: sp.csr_matrix, triggers: Rows, targets: Rows) -> NDArray[np.float32]:
    """Multiply the profiles of n pairs: (n,)."""
    products = profiles[triggers].multiply(profiles[targets])
    return np.asarray(products.sum(axis=1), dtype=np.float32).ravel()


def _top(place: Rows, value: NDArray[np.float32], most: int) -> Rows:
    """Find the `most` largest values of each place, equal ones by lower target: positions in the arrays.

    Values are not negative, and pairs come ordered by place, then target. One stable sort of one key takes a third of
    the time of a sort by three.
    """
    scale = 2.0 * float(value.max(initial=1e-12))
    order = np.argsort(place + 0.5 - value.astype(np.float64) / scale, kind="stable")
    ordered = place[order]
    first = np.searchsorted(ordered, ordered, side="left")
    return order[np.arange(len(order)) - first < most]


def _find(keys: Rows, wanted: Rows) -> tuple[Rows, NDArray[np.bool_]]:
    """Find wanted keys: their places in `keys`, which are ascending, and which of them are there."""
    at = np.searchsorted(keys, wanted)
    has = np.zeros(len(wanted), dtype=np.bool_)
    inside = at < len(keys)
    has[inside] = keys[at[inside]] == wanted[inside]
    return at[has], has


def _whole(largest: int) -> type[np.signedinteger]:
    """Give the smaller type that holds a number."""
    return np.int32 if largest <= np.iinfo(np.int32).max else np.int64
