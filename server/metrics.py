"""Every metric that workers write: names, and where each lies in a slot of `server.board`.

Every label value stands in a list here or in the bundle, so the number of series is bounded, whatever callers send.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
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
# refused before a handler saw them
TURNED_AWAY: Final = ("too_many", "too_large")
# why a sampled request was not judged; `failed` is the judge's own
RECALL_DROPS: Final = ("full", "too_large", "failed")
# after which a judged request counts half
RECALL_HALF_LIFE_S: Final = 60.0
# seconds; dense where a retrieval should be
BUCKETS_S: Final = (0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.1)
# of those that the native transport counts in
SERVER_BUCKETS_S: Final = (0.0001, 0.0003, 0.0006, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
HISTORY_BUCKETS: Final = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
RATIO_BUCKETS: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
RATIO_UNIT: Final = 1e-6
MAX_COUNTRIES: Final = 1024
OTHER_COUNTRY: Final = "(other)"
"""Whose answers those of countries beyond `MAX_COUNTRIES` are; no country can be called so."""


def histogram_size(bounds: Sequence[float]) -> int:
    """How many columns: one for each bound, one for what is above the last, one for the sum."""
    return len(bounds) + 2


HISTOGRAM_SIZE: Final = histogram_size(BUCKETS_S)


def _columns(widths: Mapping[str, int]) -> Mapping[str, int]:
    return dict(zip(widths, accumulate(widths.values(), initial=0), strict=False))


_WIDTHS: Final[Mapping[str, int]] = {
    "started": len(METHODS),
    "handled": len(METHODS) * len(CODES),
    "handling": len(METHODS) * HISTOGRAM_SIZE,
    "server": len(METHODS) * histogram_size(SERVER_BUCKETS_S),
    "queue": HISTOGRAM_SIZE,
    "loop_lag": HISTOGRAM_SIZE,
    "stage": len(STAGES) * HISTOGRAM_SIZE,
    "source_stage": len(SOURCES) * len(SOURCE_STAGES) * HISTOGRAM_SIZE,
    "degradation": len(SOURCES) * len(DEGRADATIONS),
    "plan": len(SOURCES) * len(PLANS),
    "batch": histogram_size(BATCH_BUCKETS),
    "group": histogram_size(BATCH_BUCKETS),
    "history": histogram_size(HISTORY_BUCKETS),
    "unknown_ratio": histogram_size(RATIO_BUCKETS),
    "turned_away": len(TURNED_AWAY),
    "recall_drop": len(RECALL_DROPS),
    "slow": 1,
}
_COUNTRY_WIDTHS: Final[Mapping[str, int]] = {
    "retrievals": 1,
    "fallback": len(FALLBACKS),
    "candidates": 1,
    "backfilled": 1,
    "history_items": 1,
    "unknown_items": 1,
    "retrieval": HISTOGRAM_SIZE,
}
COLUMNS: Final = _columns(_WIDTHS)
"""Where each metric begins in a slot."""
COUNTRY_COLUMNS: Final = _columns(_COUNTRY_WIDTHS)
"""Where each metric of a country begins in the country's columns."""
FIXED_WIDTH: Final = sum(_WIDTHS.values())
COUNTRY_WIDTH: Final = sum(_COUNTRY_WIDTHS.values())

CODE_INDEX: Final[Mapping[str, int]] = {name: index for index, name in enumerate(CODES)}


def country_start(place: int) -> int:
    """Where the columns of the country at `place` begin in a slot; 0 is the place of all others."""
    return FIXED_WIDTH + place * COUNTRY_WIDTH
