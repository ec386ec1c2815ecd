"""Several sources' candidates become one list: duplicates merged, with every source that found them.

Reciprocal rank: Cormack et al. 2009, the sum of weight / (60 + rank), rank from 1. Weighted: the sum of weight times a
source's score scaled to [0, 1]. Quota: sources take turns. Single: one source's own order, the others fill up. Of equal
scores the better of the best ranks comes first, then the lower row, so that an order never depends on how the sources
are listed (reciprocal rank, weighted), and fusing a fused list changes nothing.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.grouping import grouped
from server.profiles import FusionName
from server.sources.base import NO_ROWS, NO_SCORES

RANK_CONSTANT = 60
# sums in fixed point: floating sums would depend on the order of the sources in their last bit
_UNIT = 2.0**40


class Ranked(msgspec.Struct, frozen=True):
    """One source's candidates: rows (n,) int64, each once, best first; scores (n,) float32, never increasing.

    weight: > 0. quota: how many it may place in turns, "quota" only.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    weight: float = 1.0
    quota: int = 0


class Fused(msgspec.Struct, frozen=True):
    """One list: rows (n,) int64, each once, best first; scores (n,) float32, never increasing.

    masks: (n,) uint32, bit b is set where the b-th source found the row.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    masks: NDArray[np.uint32]


def fuse(lists: Sequence[Ranked], fusion: FusionName) -> Fused:
    """Fuse at most 32 lists."""
    filled = [place for place, each in enumerate(lists) if len(each.rows)]
    if not filled:
        return Fused(NO_ROWS, NO_SCORES, np.zeros(0, dtype=np.uint32))
    if len(filled) == 1:
        return _alone(lists[filled[0]], filled[0], fusion)
    if fusion in {"quota", "single"}:
        return _in_turns([lists[place] for place in filled], filled, fusion)
    return _summed([lists[place] for place in filled], filled, fusion)


def _alone(only: Ranked, bit: int, fusion: FusionName) -> Fused:
    """Keep one list's order; no sort, and no grouping."""
    scores = only.scores
    if fusion == "quota":
        scores = _by_place(len(only.rows))
    elif fusion != "single":
        scores = (_values(only, fusion) / _UNIT).astype(np.float32)
    return Fused(only.rows, scores, np.full(len(only.rows), 1 << bit, dtype=np.uint32))


def _values(ranked: Ranked, fusion: FusionName) -> NDArray[np.int64]:
    """What each candidate of one source adds, in units of 2**-40."""
    if fusion == "reciprocal_rank":
        values = ranked.weight / (RANK_CONSTANT + 1 + np.arange(len(ranked.rows)))
    else:
        scores = ranked.scores.astype(np.float64)
        span = scores[0] - scores[-1]
        values = ranked.weight * ((scores - scores[-1]) / span if span > 0 else np.ones(len(scores)))
    return np.rint(values * _UNIT).astype(np.int64)


def _summed(lists: Sequence[Ranked], bits: Sequence[int], fusion: FusionName) -> Fused:
    rows, ranks, masks = _concatenated(lists, bits)
    values = np.concatenate([_values(each, fusion) for each in lists])
    order, starts = grouped(rows)
    sums = np.add.reduceat(values[order], starts)
    scores = (sums / _UNIT).astype(np.float32)
    best_ranks = np.minimum.reduceat(ranks[order], starts)
    best = _order(scores, best_ranks)
    found = np.bitwise_or.reduceat(masks[order], starts)
    return Fused(rows[order[starts]][best], scores[best], found[best])


def _order(scores: NDArray[np.float32], ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places by descending score, then by rank, then by place; scores are not negative.

    The bits of such floats rise with them, so that score, rank and place fit one word: numpy sorts words four times as
    fast as it finds the order of three keys.
    """
    place_bits = max(len(scores) - 1, 1).bit_length()
    capped = np.minimum(ranks, (1 << (32 - place_bits)) - 1)
    falling = np.int64(2**31 - 1) - (scores + np.float32(0.0)).view(np.int32)
    words = np.sort((falling << 32) | (capped << place_bits) | np.arange(len(scores)))
    return words & ((1 << place_bits) - 1)


def _in_turns(lists: Sequence[Ranked], bits: Sequence[int], fusion: FusionName) -> Fused:
    """Give every candidate its turn, and take each row at its first."""
    rows, ranks, masks = _concatenated(lists, bits)
    owners = np.repeat(np.arange(len(lists)), [len(each.rows) for each in lists])
    turns = ranks * len(lists) + owners
    later = len(rows) * len(lists)
    if fusion == "single":
        turns[owners > 0] += later
    else:
        quotas = np.array([each.quota for each in lists])
        turns[ranks >= quotas[owners]] += later
    order, starts = grouped(rows)
    best = np.argsort(np.minimum.reduceat(turns[order], starts))
    found = np.bitwise_or.reduceat(masks[order], starts)[best]
    scores = _by_place(len(best)) if fusion == "quota" else _led_by(lists[0], len(best))
    return Fused(rows[order[starts]][best], scores, found)


def _by_place(count: int) -> NDArray[np.float32]:
    return (1.0 / (RANK_CONSTANT + 1 + np.arange(count))).astype(np.float32)


def _led_by(first: Ranked, count: int) -> NDArray[np.float32]:
    """The first list's own scores; what the others fill up has the last of them."""
    return np.concatenate([first.scores, np.full(count - len(first.scores), first.scores[-1], dtype=np.float32)])


def _concatenated(
    lists: Sequence[Ranked], bits: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    """Rows, ranks from 0, and the owner's bit, of all candidates in turn."""
    sizes = [len(each.rows) for each in lists]
    rows = np.concatenate([each.rows for each in lists])
    ranks = np.concatenate([np.arange(size) for size in sizes])
    return rows, ranks, np.repeat(np.array([1 << bit for bit in bits], dtype=np.uint32), sizes)
