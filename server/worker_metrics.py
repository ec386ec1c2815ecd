"""What a worker counts, and where.

    call → counts (a list of this process) → published ten times a second → slot of the board

Adding to a list costs half of adding to shared memory, and a request adds to some thirty columns. What a worker that is
killed had not published, a tenth of a second of counts, is lost.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from operator import add
from typing import Final, Protocol

from server.metrics import (
    BATCH_BUCKETS,
    BUCKETS_S,
    CODES,
    COLUMNS,
    COUNTRY_COLUMNS,
    DEGRADATIONS,
    FIXED_WIDTH,
    HISTOGRAM_SIZE,
    HISTORY_BUCKETS,
    PLANS,
    RATIO_BUCKETS,
    RATIO_UNIT,
    RECALL_DROPS,
    SERVER_BUCKETS_S,
    SOURCE_STAGES,
    SOURCES,
    STAGES,
    TURNED_AWAY,
    country_start,
    histogram_size,
)

# lists, since bisect reads them faster than tuples
_NS: Final = [round(bound * 1e9) for bound in BUCKETS_S]
_US: Final = [round(bound * 1e6) for bound in BUCKETS_S]
_PPM: Final = [round(bound / RATIO_UNIT) for bound in RATIO_BUCKETS]
_SUM: Final = len(BUCKETS_S) + 1


_OTHER_PLAN: Final = len(PLANS) - 1
_PLAN: Final = {name: index for index, name in enumerate(PLANS)}
# per source, where its plans, its degradations and its stages begin
_SOURCE: Final = {
    name: (
        COLUMNS["plan"] + index * len(PLANS),
        COLUMNS["degradation"] + index * len(DEGRADATIONS) - 1,
        COLUMNS["source_stage"] + index * len(SOURCE_STAGES) * HISTOGRAM_SIZE,
    )
    for index, name in enumerate(SOURCES)
}
_STARTED: Final = COLUMNS["started"]
_HANDLED: Final = COLUMNS["handled"]
_HANDLING: Final = COLUMNS["handling"]
_DECODE, _FUSE, _REPLY = (
    COLUMNS["stage"] + STAGES.index(stage) * HISTOGRAM_SIZE for stage in ("decode", "fuse", "reply")
)
_HISTORY: Final = COLUMNS["history"]
_UNKNOWN_RATIO: Final = COLUMNS["unknown_ratio"]
_FALLBACK: Final = COUNTRY_COLUMNS["fallback"] - 1
_CANDIDATES: Final = COUNTRY_COLUMNS["candidates"]
_BACKFILLED: Final = COUNTRY_COLUMNS["backfilled"]
_HISTORY_ITEMS: Final = COUNTRY_COLUMNS["history_items"]
_UNKNOWN_ITEMS: Final = COUNTRY_COLUMNS["unknown_items"]
_RETRIEVAL: Final = COUNTRY_COLUMNS["retrieval"]


class SourceRun(Protocol):
    """What is counted of `server.answer.SourceReport`, which the master cannot import: it needs numpy."""

    @property
    def source(self) -> str:
        """In `SOURCES`."""

    @property
    def plan(self) -> str:
        """Empty if it did not run."""

    @property
    def degradation(self) -> int:
        """0 for none, otherwise 1 + its place in `DEGRADATIONS`."""

    @property
    def encode_us(self) -> int:
        """Microseconds."""

    @property
    def search_us(self) -> int:
        """Microseconds."""


class WorkerMetrics:
    """What a worker counts, and the slot where it shows. One thread counts; any may publish.

    places: by country code, as `Board.add_countries` gave them.
    """

    def __init__(self, slot: memoryview, places: Mapping[str, int] | None = None) -> None:
        places = places or {}
        width = country_start(max(places.values(), default=0) + 1)
        self._starts = {code: country_start(place) for code, place in places.items()}
        self._slot = slot[:width]
        # a replaced worker goes on where the dead one stopped
        self._before = array("q", self._slot.tobytes())
        self._counts = [0] * width

    def publish(self) -> None:
        """Show everything counted so far."""
        self._slot[:] = array("q", map(add, self._before, self._counts))

    def call_started(self, method: int) -> None:
        """A call of `METHODS[method]` came in."""
        self._counts[_STARTED + method] += 1

    def call_handled(self, method: int, code: int, elapsed_ns: int) -> None:
        """It was answered with `CODES[code]`."""
        counts, start = self._counts, _HANDLING + method * HISTOGRAM_SIZE
        counts[_HANDLED + method * len(CODES) + code] += 1
        counts[start + bisect_left(_NS, elapsed_ns)] += 1
        counts[start + _SUM] += elapsed_ns

    def stages(self, decode_ns: int, reply_ns: int) -> None:
        """How long decode and reply of one call took."""
        counts = self._counts
        counts[_DECODE + bisect_left(_NS, decode_ns)] += 1
        counts[_DECODE + _SUM] += decode_ns
        counts[_REPLY + bisect_left(_NS, reply_ns)] += 1
        counts[_REPLY + _SUM] += reply_ns

    def sources(self, runs: Iterable[SourceRun]) -> None:
        """What the sources did for one answer."""
        counts = self._counts
        for run in runs:
            plans, degradations, stage = _SOURCE[run.source]
            if run.degradation:
                counts[degradations + run.degradation] += 1
            if run.plan:
                counts[plans + _PLAN.get(run.plan, _OTHER_PLAN)] += 1
                micros = run.encode_us
                counts[stage + bisect_left(_US, micros)] += 1
                counts[stage + _SUM] += micros
                micros = run.search_us
                stage += HISTOGRAM_SIZE
                counts[stage + bisect_left(_US, micros)] += 1
                counts[stage + _SUM] += micros

    def retrieved(self, country: str, fallback: int, candidates: int, backfilled: int) -> int:
        """An answer of `country`'s catalogue; `fallback` 0 is none, otherwise 1 + its place in `FALLBACKS`.

        Returns where the country's columns begin, for `user` and `took`.
        """
        counts, start = self._counts, self._starts.get(country, FIXED_WIDTH)
        counts[start] += 1
        counts[start + _CANDIDATES] += candidates
        if fallback:
            counts[start + _FALLBACK + fallback] += 1
        if backfilled:
            counts[start + _BACKFILLED] += backfilled
        return start

    def user(self, start: int, history: int, unknown: int, fuse_us: int) -> None:
        """Whom an answer was for: `history` interactions, of them and the seed `unknown` not in the catalogue.

        start: from `retrieved`. fuse_us: how long fusion of the answer took.
        """
        counts = self._counts
        counts[_FUSE + bisect_left(_US, fuse_us)] += 1
        counts[_FUSE + _SUM] += fuse_us * 1000
        counts[_HISTORY + bisect_left(HISTORY_BUCKETS, history)] += 1
        counts[start + _HISTORY_ITEMS] += history
        if unknown:
            counts[start + _UNKNOWN_ITEMS] += unknown
        if not history:
            return
        if unknown:
            # an unknown seed is counted with the history
            share = min(unknown, history) * 1_000_000 // history
            counts[_UNKNOWN_RATIO + bisect_left(_PPM, share)] += 1
            counts[_UNKNOWN_RATIO + len(_PPM) + 1] += share
        else:
            counts[_UNKNOWN_RATIO] += 1

    def took(self, start: int, elapsed_ns: int) -> None:
        """How long a `Retrieve` took; `start` is from `retrieved`."""
        counts, start = self._counts, start + _RETRIEVAL
        counts[start + bisect_left(_NS, elapsed_ns)] += 1
        counts[start + _SUM] += elapsed_ns

    def served(self, method: int, counts: Sequence[int], sum_ns: int) -> None:
        """What the transport has counted so far: calls by `SERVER_BUCKETS_S`, and those above; replaces the last."""
        start = COLUMNS["server"] + method * histogram_size(SERVER_BUCKETS_S)
        self._counts[start : start + histogram_size(SERVER_BUCKETS_S)] = [*counts, sum_ns]

    def batch(self, requests: int) -> None:
        """How many requests a `RetrieveBatch` had."""
        self._observe("batch", BATCH_BUCKETS, requests)

    def group(self, calls: int) -> None:
        """How many waiting calls were answered in one pass."""
        self._observe("group", BATCH_BUCKETS, calls)

    def queued(self, waited_ns: int) -> None:
        """How long a call that was taken from the transport waited for the ones taken with it."""
        self._observe("queue", _NS, waited_ns)

    def loop_lag(self, late_ns: int) -> None:
        """How late the event loop was."""
        self._observe("loop_lag", _NS, late_ns)

    def turned_away(self, reason: str) -> None:
        """A call was refused before a handler saw it."""
        self._counts[COLUMNS["turned_away"] + TURNED_AWAY.index(reason)] += 1

    def recall_dropped(self, reason: str) -> None:
        """A sampled request was not judged."""
        self._counts[COLUMNS["recall_drop"] + RECALL_DROPS.index(reason)] += 1

    def slow(self) -> None:
        """A call took longer than `log.slow_ms`."""
        self._counts[COLUMNS["slow"]] += 1

    def _observe(self, name: str, bounds: Sequence[int], value: int) -> None:
        start = COLUMNS[name]
        self._counts[start + bisect_left(bounds, value)] += 1
        self._counts[start + len(bounds) + 1] += value
