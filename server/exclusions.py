"""The ids that a request leaves out, which may be 10,000 and more, against the ids of rows, which may be as many.

The shorter side makes a small table of marks by hash; what of the longer side hits no mark cannot be on both sides, and
only the few that are left are sorted and compared: no sort of 10,000 ids, and no 10,000 searches among them.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_FEW = 512  # are compared sooner than hashed
_SPARSE_BITS, _MOST_BITS = 6, 17  # 64 to 128 marks for an id, as long as they fit the caches


class Exclusions:
    """item_ids: (E,) uint64, in any order, repeated or not, known or not."""

    def __init__(self, item_ids: NDArray[np.uint64]) -> None:
        self.item_ids = item_ids

    def __len__(self) -> int:
        """How many, E."""
        return len(self.item_ids)

    def hold(self, item_ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Mark those of (n,) ids that are left out."""
        if not len(self.item_ids):
            return np.zeros(len(item_ids), dtype=np.bool_)
        if len(item_ids) < len(self.item_ids):
            excluded = np.sort(self.item_ids[_passing(self.item_ids, item_ids)])
        else:
            excluded = self._sorted
        if len(item_ids) < _FEW:
            return among(item_ids, excluded)
        held = np.zeros(len(item_ids), dtype=np.bool_)
        passing = _passing(item_ids, excluded)
        held[passing] = among(item_ids[passing], excluded)
        return held

    @cached_property
    def _sorted(self) -> NDArray[np.uint64]:
        return np.sort(self.item_ids)


def among(values: NDArray[Any], ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark those of (n,) values that are among ascending ones."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    place = np.searchsorted(ordered, values)
    place[place == len(ordered)] = 0
    return np.asarray(ordered[place] == values)


def _passing(many: NDArray[np.uint64], few: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Places of those of `many` that may be among `few`: of those that are, all."""
    own = len(few).bit_length()
    bits = max(own, min(own + _SPARSE_BITS, _MOST_BITS))
    marks = np.zeros(1 << bits, dtype=np.bool_)
    marks[_marks(few, bits)] = True
    return marks.take(_marks(many, bits)).nonzero()[0]


def _marks(item_ids: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    products = item_ids * _MULTIPLIER
    products >>= np.uint64(64 - bits)
    return products.view(np.int64)
