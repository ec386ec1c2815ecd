"""Every metric: names, help, buckets, the shared slots workers write, and the collector that sums them.

    worker → its slot of the board (shared memory, no lock) → collector in the master → GET /metrics

The board is a memory file of 64-bit integers, one row ("slot") per worker. A slot has one writer, so an increment
needs no lock; a replaced worker goes on in the slot of the dead one, so counters never fall. Two generations overlap
during a hand-over: the board has twice as many slots as there are workers, and generations take turns in the halves.
"""

import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from server.reports import Ready

SERVICE: Final = "retrieval.v1.Retrieval"
METHODS: Final = ("Retrieve", "GetServingInfo")
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
STAGES: Final = ("decode", "encode", "search", "reply")
FALLBACKS: Final = ("empty_history", "unknown_history")
RELOAD_OUTCOMES: Final = ("ok", "unchanged", "refused", "failed")
# seconds; dense where a retrieval should be
BUCKETS_S: Final = (0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.1)
_BUCKETS_NS: Final = tuple(round(bound * 1e9) for bound in BUCKETS_S)
# one more for what is above the last bound, and one for the sum in nanoseconds
_HISTOGRAM_SIZE: Final = len(BUCKETS_S) + 2

_STARTED: Final = 0
_HANDLED: Final = _STARTED + len(METHODS)
_HANDLING: Final = _HANDLED + len(METHODS) * len(CODES)
_STAGE: Final = _HANDLING + len(METHODS) * _HISTOGRAM_SIZE
_FALLBACK: Final = _STAGE + len(STAGES) * _HISTOGRAM_SIZE
_UNKNOWN_ITEMS: Final = _FALLBACK + len(FALLBACKS)
_HISTORY_ITEMS: Final = _UNKNOWN_ITEMS + 1
_CANDIDATES: Final = _HISTORY_ITEMS + 1
_COLUMNS: Final = _CANDIDATES + 1
_WORD_BYTES: Final = 8


class Board:
    """The shared slots. `create` makes the memory; another process opens it by its inherited descriptor."""

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self._words = memoryview(mmap.mmap(descriptor, slots * _COLUMNS * _WORD_BYTES)).cast("q")

    @classmethod
    def create(cls, slots: int) -> "Board":
        """Make a board of `slots` rows, all zero, that children inherit."""
        descriptor = os.memfd_create("shortlist-metrics", 0)
        os.ftruncate(descriptor, slots * _COLUMNS * _WORD_BYTES)
        return cls(descriptor, slots)

    def slot(self, index: int) -> memoryview:
        """Row `index`, for one writer."""
        return self._words[index * _COLUMNS : (index + 1) * _COLUMNS]

    def totals(self) -> list[int]:
        """Sum each column over all slots."""
        return [sum(self._words[column::_COLUMNS]) for column in range(_COLUMNS)]


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
        self._observe(_HANDLING + method * _HISTOGRAM_SIZE, elapsed_ns)

    def stages(self, decode_ns: int, encode_ns: int, search_ns: int, reply_ns: int) -> None:
        """How long each stage of one retrieval took, in the order of `STAGES`."""
        for stage, elapsed_ns in enumerate((decode_ns, encode_ns, search_ns, reply_ns)):
            self._observe(_STAGE + stage * _HISTOGRAM_SIZE, elapsed_ns)

    def answered(self, fallback: int, unknown_items: int, history_items: int, candidates: int) -> None:
        """What one retrieval was about; `fallback` 0 is none, otherwise 1 + its place in `FALLBACKS`."""
        slot = self._slot
        if fallback:
            slot[_FALLBACK + fallback - 1] += 1
        slot[_UNKNOWN_ITEMS] += unknown_items
        slot[_HISTORY_ITEMS] += history_items
        slot[_CANDIDATES] += candidates

    def _observe(self, start: int, elapsed_ns: int) -> None:
        self._slot[start + bisect_left(_BUCKETS_NS, elapsed_ns)] += 1
        self._slot[start + _HISTOGRAM_SIZE - 1] += elapsed_ns


class MasterMetrics:
    """What the master knows by itself: who serves what, and what happened to the processes."""

    def __init__(self) -> None:
        self.serving: Ready | None = None
        self.serving_since_s = 0.0
        self.workers = 0
        self.worker_restarts = 0
        self.reloads = dict.fromkeys(RELOAD_OUTCOMES, 0)


class BoardCollector(Collector):
    """Gives prometheus_client the board's sums and the master's own values."""

    def __init__(self, board: Board, master: MasterMetrics) -> None:
        self._board = board
        self._master = master

    def collect(self) -> Iterator[Metric]:
        """Read everything once."""
        totals = self._board.totals()
        yield from _call_metrics(totals)
        yield from _retrieval_metrics(totals)
        yield from _process_metrics(self._master)
        if self._master.serving is not None:
            yield from _bundle_metrics(self._master.serving, self._master.serving_since_s)


def _call_metrics(totals: list[int]) -> Iterator[Metric]:
    labels = ("grpc_service", "grpc_method")
    started = CounterMetricFamily("grpc_server_started", "Calls that came in.", labels=labels)
    handled = CounterMetricFamily("grpc_server_handled", "Calls answered, by status.", labels=(*labels, "grpc_code"))
    handling = HistogramMetricFamily("grpc_server_handling_seconds", "Time in the handler.", labels=labels)
    for index, method in enumerate(METHODS):
        started.add_metric((SERVICE, method), totals[_STARTED + index])
        for code, name in enumerate(CODES):
            count = totals[_HANDLED + index * len(CODES) + code]
            if count or name == "OK":
                handled.add_metric((SERVICE, method, name), count)
        buckets, total_s = _histogram(totals, _HANDLING + index * _HISTOGRAM_SIZE)
        handling.add_metric((SERVICE, method), buckets, total_s)
    yield from (started, handled, handling)


def _retrieval_metrics(totals: list[int]) -> Iterator[Metric]:
    stages = HistogramMetricFamily("shortlist_stage_seconds", "Time per stage of a retrieval.", labels=("stage",))
    for index, stage in enumerate(STAGES):
        buckets, total_s = _histogram(totals, _STAGE + index * _HISTOGRAM_SIZE)
        stages.add_metric((stage,), buckets, total_s)
    yield stages
    fallbacks = CounterMetricFamily("shortlist_fallback", "Answers by item bias, by reason.", labels=("reason",))
    for index, reason in enumerate(FALLBACKS):
        fallbacks.add_metric((reason,), totals[_FALLBACK + index])
    yield fallbacks
    unknown = "Interactions skipped because the catalogue does not have the item."
    yield CounterMetricFamily("shortlist_unknown_items", unknown, totals[_UNKNOWN_ITEMS])
    yield CounterMetricFamily("shortlist_history_items", "Interactions received.", totals[_HISTORY_ITEMS])
    yield CounterMetricFamily("shortlist_candidates", "Candidates returned.", totals[_CANDIDATES])


def _process_metrics(master: MasterMetrics) -> Iterator[Metric]:
    yield GaugeMetricFamily("shortlist_workers", "Workers of the serving generation that are alive.", master.workers)
    restarts = "Workers replaced because they died."
    yield CounterMetricFamily("shortlist_worker_restarts", restarts, master.worker_restarts)
    reloads = CounterMetricFamily("shortlist_reloads", "Reloads asked for, by outcome.", labels=("outcome",))
    for outcome, count in master.reloads.items():
        reloads.add_metric((outcome,), count)
    yield reloads


def _bundle_metrics(ready: Ready, since_s: float) -> Iterator[Metric]:
    info_labels = ("name", "version", "format_version")
    info = GaugeMetricFamily("shortlist_bundle_info", "The bundle being served.", labels=info_labels)
    info.add_metric((ready.name, ready.version, ready.format_version), 1)
    yield info
    since = "When the bundle began to be served, seconds since the Unix epoch."
    yield GaugeMetricFamily("shortlist_bundle_loaded_timestamp_seconds", since, since_s)
    items = GaugeMetricFamily("shortlist_country_items", "Items of a catalogue.", labels=("country", "engine"))
    recall_help = "Recall against exact search, measured at publishing."
    recall = GaugeMetricFamily("shortlist_index_recall", recall_help, labels=("country", "source"))
    for country in ready.countries:
        items.add_metric((country.code, country.engine), country.items)
        recall.add_metric((country.code, "led"), country.recall)
    yield from (items, recall)


def _histogram(totals: list[int], start: int) -> tuple[list[tuple[str, float]], float]:
    """Cumulate the buckets that begin at `start`; the sum is in seconds."""
    buckets: list[tuple[str, float]] = []
    count = 0
    for index, bound in enumerate((*BUCKETS_S, float("inf"))):
        count += totals[start + index]
        buckets.append(("+Inf" if bound == float("inf") else str(bound), count))
    return buckets, totals[start + _HISTOGRAM_SIZE - 1] / 1e9


CODE_INDEX: Final[Mapping[str, int]] = {name: index for index, name in enumerate(CODES)}
