"""Keeps an answer from being all of one kind: caps by category and merchant, then maximal marginal relevance.

A cap holds as long as k of the fused candidates can be reached without breaking it; what was left out fills up the
rest, in order. Items without a category or merchant are not capped. MMR: Carbonell and Goldstein 1998, with cosines of
LED's vectors.
"""

import math

import numpy as np
from numpy.typing import NDArray

from server.profiles import Diversity

Places = NDArray[np.int64]


def diversify(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    k: int,
    setting: Diversity,
    codes: tuple[NDArray[np.int32], NDArray[np.int32]],
    vectors: NDArray[np.float32],
) -> Places:
    """Choose min(k, n) places of n fused candidates, in the order to answer them.

    rows, scores: (n,), best first. codes: of category and merchant, (N,) int32 each, -1 = not known. vectors: (N, d)
    float32, LED's, without biases.
    """
    pool = pool_size(k, setting)
    places = _capped(rows, k, setting, codes) if _caps(setting) else np.arange(min(pool, len(rows)))
    if not _mmr(setting):
        return places[:k]
    return places[_marginal(vectors[rows[places]], scores[places], k, setting.mmr)]


def pool_size(k: int, setting: Diversity) -> int:
    """How many candidates to choose k from: k itself where the profile has no diversity."""
    return math.ceil(k * max(setting.mmr_pool, 1.0)) if diversifies(setting) else k


def diversifies(setting: Diversity) -> bool:
    """Whether there is anything to do."""
    return _caps(setting) or _mmr(setting)


def _caps(setting: Diversity) -> bool:
    return bool(setting.max_per_category or setting.max_per_merchant)


def _mmr(setting: Diversity) -> bool:
    return setting.mmr < 1.0


def _capped(
    rows: NDArray[np.int64], k: int, setting: Diversity, codes: tuple[NDArray[np.int32], NDArray[np.int32]]
) -> Places:
    """Take greedily from the best on; whether one counts for one cap depends on the other, so there is no vectorising.

    It stops as soon as it has enough: 0.1 us a candidate.
    """
    categories, merchants = (each[rows].tolist() for each in codes)
    wanted = pool_size(k, setting) if _mmr(setting) else k
    in_category = _Counter(setting.max_per_category)
    in_merchant = _Counter(setting.max_per_merchant)
    taken, left = [], []
    for place in range(len(rows)):
        category, merchant = categories[place], merchants[place]
        if in_category.full(category) or in_merchant.full(merchant):
            left.append(place)
            continue
        in_category.add(category)
        in_merchant.add(merchant)
        taken.append(place)
        if len(taken) == wanted:
            break
    return np.array(taken + left[: max(k - len(taken), 0)], dtype=np.int64)


class _Counter:
    """Counts by code up to a cap; 0 is no cap, and code -1 is never counted."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._counts: dict[int, int] = {}

    def full(self, code: int) -> bool:
        return self._cap > 0 and self._counts.get(code, 0) >= self._cap

    def add(self, code: int) -> None:
        if code >= 0:
            self._counts[code] = self._counts.get(code, 0) + 1


def _marginal(vectors: NDArray[np.float32], scores: NDArray[np.float32], k: int, trade: float) -> Places:
    """Order min(k, p) of p candidates: next is the largest trade * relevance - (1 - trade) * largest cosine."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, np.float32(1.0))
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    relevance = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    gain = trade * relevance.astype(np.float64)
    closest = np.full(len(scores), -1.0)
    chosen = np.empty(min(k, len(scores)), dtype=np.int64)
    for step in range(len(chosen)):
        # the first is chosen by relevance alone: nothing is taken yet that it could be close to
        value = gain - (1.0 - trade) * closest if step else gain.copy()
        value[chosen[:step]] = -np.inf
        chosen[step] = np.argmax(value)
        np.maximum(closest, unit @ unit[chosen[step]], out=closest)
    return chosen
