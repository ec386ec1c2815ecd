"""Every metric that workers write: names, the shared slots, and what is recorded in them.

    worker → its slot of the board (shared memory, no lock) → `server.collector` in the master → GET /metrics

The board is a memory file of 64-bit integers, one row ("slot") per worker. A slot has one writer, so an increment
needs no lock; a replaced worker goes on in the slot of the dead one, so counters never fall. Two generations overlap
during a hand-over: the board has twice as many slots as there are workers, and generations take turns in the halves.

Every label value stands in a list here, so the number of series is fixed, whatever callers send.
"""

import mmap
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, get_args

from server.profiles import SourceName

SERVICE: Final = "retrieval.v1.Retrieval"
METHODS: Final = ("Retrieve", "GetServingInfo", "RetrieveBatch", "SimilarItems")
# the names of grpc.StatusCode by value; written out because the master must not import grpc
CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
SOURCES: Final[tuple[str, ...]] = get_args(SourceName)
# of a whole call, and of each source in it
STAGES: Final = ("decode", "fuse", "reply")
SOURCE_STAGES: Final = ("encode", "search")
# in the order of `server.answer.Fallback` and `server.answer.Degradation`, without NONE
FALLBACKS: Final = (
    "empty_history",
    "unknown_history",
    "country",
    "source_failed",
    "source_missing",
    "backfilled",
)
DEGRADATIONS: Final = ("empty_history", "unknown_history", "not_in_bundle", "encoder_failed", "exhausted")
# how a source met the filters, as in its report; a source that did not run has no plan
PLANS: Final = ("none", "posting_lists", "mask", "growing", "other")
RELOAD_OUTCOMES: Final = ("ok", "unchanged", "refused", "failed")
# seconds; dense where a retrieval should be
BUCKETS_S: Final = (0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.1)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_BUCKETS_NS: Final = tuple(round(bound * 1e9) for bound in BUCKETS_S)
# one more for what is above the last bound, and one for the sum in nanoseconds
HISTOGRAM_SIZE: Final = len(BUCKETS_S) + 2
_BATCH_SIZE: Final = len(BATCH_BUCKETS) + 2

_WIDTHS: Final[Mapping[str, int]] = {
    "started": len(METHODS),
    "handled": len(METHODS) * len(CODES),
    "handling": len(METHODS) * HISTOGRAM_SIZE,
    "stage": len(STAGES) * HISTOGRAM_SIZE,
    "source_stage": len(SOURCES) * len(SOURCE_STAGES) * HISTOGRAM_SIZE,
    "fallback": len(FALLBACKS),
    "degradation": len(SOURCES) * len(DEGRADATIONS),
    "plan": len(SOURCES) * len(PLANS),
    "batch": _BATCH_SIZE,
    "unknown_items": 1,
    "history_items": 1,
    "candidates": 1,
    "backfilled": 1,
}
_ENDS: Final = [sum(list(_WIDTHS.values())[:count]) for count in range(len(_WIDTHS) + 1)]
COLUMNS: Final[Mapping[str, int]] = dict(zip(_WIDTHS, (start for start, _ in pairwise(_ENDS)), strict=True))
"""Where each metric begins in a slot."""

_WIDTH: Final = _ENDS[-1]
_WORD_BYTES: Final = 8
CODE_INDEX: Final[Mapping[str, int]] = {name: index for index, name in enumerate(CODES)}
_SOURCE_INDEX: Final[Mapping[str, int]] = {name: index for index, name in enumerate(SOURCES)}
_PLAN_INDEX: Final[Mapping[str, int]] = {name: index for index, name in enumerate(PLANS)}

_STARTED: Final = COLUMNS["started"]
_HANDLED: Final = COLUMNS["handled"]
_HANDLING: Final = COLUMNS["handling"]
_STAGE: Final = COLUMNS["stage"]
_SOURCE_STAGE: Final = COLUMNS["source_stage"]
_FALLBACK: Final = COLUMNS["fallback"]
_DEGRADATION: Final = COLUMNS["degradation"]
_PLAN: Final = COLUMNS["plan"]
_BATCH: Final = COLUMNS["batch"]
_UNKNOWN_ITEMS: Final = COLUMNS["unknown_items"]
_HISTORY_ITEMS: Final = COLUMNS["history_items"]
_CANDIDATES: Final = COLUMNS["candidates"]
_BACKFILLED: Final = COLUMNS["backfilled"]


class Board:
    """The shared slots. `create` makes the memory; another process opens it by its inherited descriptor."""

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self._words = memoryview(mmap.mmap(descriptor, slots * _WIDTH * _WORD_BYTES)).cast("q")

    @classmethod
    def create(cls, slots: int) -> "Board":
        """Make a board of `slots` rows, all zero, that children inherit."""
        descriptor = os.memfd_create("shortlist-metrics", 0)
        os.ftruncate(descriptor, slots * _WIDTH * _WORD_BYTES)
        return cls(descriptor, slots)

    def slot(self, index: int) -> memoryview:
        """Row `index`, for one writer."""
        return self._words[index * _WIDTH : (index + 1) * _WIDTH]

    def totals(self) -> list[int]:
        """Sum each column over all slots."""
        return [sum(self._words[column::_WIDTH]) for column in range(_WIDTH)]


class WorkerMetrics:
    """What a worker records, in its slot. Durations are nanoseconds."""

    def __init__(self, slot: memoryview) -> None:
        self._slot = slot

    def call_started(self, method: int) -> None:
        """A call of `METHODS[method]` came in."""
        self._slot[_STARTED + method] += 1

    def call_handled(self, method: int, code: int, elapsed_ns: int) -> None:
        """It was answered with `CODES[code]`."""
        self._slot[_HANDLED + method * len(CODES) + code] += 1
        self._observe(_HANDLING + method * HISTOGRAM_SIZE, _BUCKETS_NS, elapsed_ns)

    def stage(self, stage: int, elapsed_ns: int) -> None:
        """How long `STAGES[stage]` of one retrieval or of one batch took."""
        self._observe(_STAGE + stage * HISTOGRAM_SIZE, _BUCKETS_NS, elapsed_ns)

    def source(self, source: str, plan: str, degradation: int, encode_ns: int, search_ns: int) -> None:
        """What one source did for one answer; `degradation` 0 is none, otherwise 1 + its place in `DEGRADATIONS`."""
        index = _SOURCE_INDEX[source]
        if degradation:
            self._slot[_DEGRADATION + index * len(DEGRADATIONS) + degradation - 1] += 1
        if plan:
            self._slot[_PLAN + index * len(PLANS) + _PLAN_INDEX.get(plan, len(PLANS) - 1)] += 1
            start = _SOURCE_STAGE + index * len(SOURCE_STAGES) * HISTOGRAM_SIZE
            self._observe(start, _BUCKETS_NS, encode_ns)
            self._observe(start + HISTOGRAM_SIZE, _BUCKETS_NS, search_ns)

    def answered(self, fallback: int, unknown_items: int, history_items: int, candidates: int, backfilled: int) -> None:
        """What one retrieval was about; `fallback` 0 is none, otherwise 1 + its place in `FALLBACKS`."""
        slot = self._slot
        if fallback:
            slot[_FALLBACK + fallback - 1] += 1
        slot[_UNKNOWN_ITEMS] += unknown_items
        slot[_HISTORY_ITEMS] += history_items
        slot[_CANDIDATES] += candidates
        slot[_BACKFILLED] += backfilled

    def batch(self, requests: int) -> None:
        """How many requests a batch had."""
        self._observe(_BATCH, BATCH_BUCKETS, requests)

    def _observe(self, start: int, bounds: Sequence[int], value: int) -> None:
        self._slot[start + bisect_left(bounds, value)] += 1
        self._slot[start + len(bounds) + 1] += value
