"""How the notes of `server.worker_metrics` are counted: numpy, for many calls at once.

counts: the columns of a slot (W,) int64, see `server.metrics`; what was noted is added to them.
"""

from array import array
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.metrics import (
    BUCKETS_S,
    COLUMNS,
    COUNTRY_COLUMNS,
    HISTOGRAM_SIZE,
    HISTORY_BUCKETS,
    RATIO_BUCKETS,
    RATIO_UNIT,
    STAGES,
)

Ints: TypeAlias = NDArray[np.int64]

_US: Final = np.array([round(bound * 1e6) for bound in BUCKETS_S])
_PPM: Final = np.array([round(bound / RATIO_UNIT) for bound in RATIO_BUCKETS])
_LENGTHS: Final = np.array(HISTORY_BUCKETS)
_FUSE: Final = COLUMNS["stage"] + STAGES.index("fuse") * HISTOGRAM_SIZE
_HISTORY: Final = COLUMNS["history"]
_UNKNOWN_RATIO: Final = COLUMNS["unknown_ratio"]
FALLBACK: Final = COUNTRY_COLUMNS["fallback"] - 1
CANDIDATES: Final = COUNTRY_COLUMNS["candidates"]
_BACKFILLED: Final = COUNTRY_COLUMNS["backfilled"]
_HISTORY_ITEMS: Final = COUNTRY_COLUMNS["history_items"]
_UNKNOWN_ITEMS: Final = COUNTRY_COLUMNS["unknown_items"]


def taken(notes: list[int], width: int) -> Ints:
    """Take all notes out of a list: (width, number of notes), what stands at each place."""
    there = len(notes)
    if not there:
        return np.empty((width, 0), dtype=np.int64)
    flat = array("q", notes[:there])
    del notes[:there]
    return np.frombuffer(flat, dtype=np.int64).reshape(-1, width).T


def observe(counts: Ints, bounds: Ints, starts: Ints, values: Ints) -> None:
    """Put values into the histograms that begin at `starts`: a column for each bound, one above, and the sum."""
    if values.size:
        np.add.at(counts, starts + np.searchsorted(bounds, values), 1)
        np.add.at(counts, starts + len(bounds) + 1, values)


def count_runs(counts: Ints, kinds: Ints, kind: Ints, encode_us: Ints, search_us: Ints) -> None:
    """Count what `WorkerMetrics.sources` noted; `kinds` (3, K) is `_Kinds.columns`."""
    of_kind = np.bincount(kind, minlength=kinds.shape[1])
    for columns in kinds[:2]:
        np.add.at(counts, columns[columns >= 0], of_kind[columns >= 0])
    ran = kinds[0, kind] >= 0
    begins = kinds[2, kind[ran]]
    begins = np.concatenate((begins, begins + HISTOGRAM_SIZE))
    observe(counts, _US, begins, np.concatenate((encode_us[ran], search_us[ran])))


def count_answers(
    counts: Ints,
    start: Ints,
    fallback: Ints,
    candidates: Ints,
    backfilled: Ints,
    history: Ints,
    unknown: Ints,
    fuse_us: Ints,
) -> None:
    """Count what `WorkerMetrics.answered` noted, one entry per answer."""
    np.add.at(counts, start, 1)
    np.add.at(counts, (start + FALLBACK + fallback)[fallback > 0], 1)
    places = start + np.array([[CANDIDATES], [_BACKFILLED], [_HISTORY_ITEMS], [_UNKNOWN_ITEMS]])
    np.add.at(counts, places.ravel(), np.concatenate([candidates, backfilled, history, unknown]))
    np.add.at(counts, _FUSE + np.searchsorted(_US, fuse_us), 1)
    counts[_FUSE + len(_US) + 1] += fuse_us.sum() * 1000
    np.add.at(counts, _HISTORY + np.searchsorted(_LENGTHS, history), 1)
    # an unknown seed is counted with the history
    asked, lacking = history[history > 0], unknown[history > 0]
    share = np.minimum(lacking, asked) * 1_000_000 // asked
    observe(counts, _PPM, np.full_like(share, _UNKNOWN_RATIO), share)
