"""What a scrape shows: the board's sums and the master's own values as metric families of prometheus_client."""

from collections.abc import Iterator, Sequence
from itertools import product

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from server.board import Board
from server.master_metrics import MasterMetrics, master_families
from server.metrics import (
    BATCH_BUCKETS,
    BUCKETS_S,
    CODES,
    COLUMNS,
    COUNTRY_COLUMNS,
    DEGRADATIONS,
    FALLBACKS,
    HISTOGRAM_SIZE,
    HISTORY_BUCKETS,
    METHODS,
    OTHER_COUNTRY,
    PLANS,
    RATIO_BUCKETS,
    RATIO_UNIT,
    RECALL_DROPS,
    SERVER_BUCKETS_S,
    SERVICE,
    SOURCE_STAGES,
    SOURCES,
    STAGES,
    TURNED_AWAY,
    country_start,
    histogram_size,
)

_NS = 1e-9
_US = 1e-6


class BoardCollector(Collector):
    """Gives prometheus_client the board's sums and the master's own values."""

    def __init__(self, board: Board, master: MasterMetrics) -> None:
        self._board = board
        self._master = master

    def collect(self) -> Iterator[Metric]:
        """Read everything once."""
        # countries first: one that comes in between has columns that are not looked at yet
        countries = self._board.countries()
        totals = self._board.totals()
        yield from _call_families(totals)
        yield from _waiting_families(totals)
        yield _stage_family(totals)
        yield from _source_families(totals)
        yield from _request_families(totals)
        yield from _country_families(totals, countries)
        yield from master_families(self._master, totals[COLUMNS["recall_drop"] :][: len(RECALL_DROPS)])


def _call_families(totals: Sequence[int]) -> Iterator[Metric]:
    labels = ("grpc_service", "grpc_method")
    started = CounterMetricFamily("grpc_server_started", "Calls that came in.", labels=labels)
    handled = CounterMetricFamily("grpc_server_handled", "Calls answered, by status.", labels=(*labels, "grpc_code"))
    handling = HistogramMetricFamily("grpc_server_handling_seconds", "Time in the handler.", labels=labels)
    for index, method in enumerate(METHODS):
        started.add_metric((SERVICE, method), totals[COLUMNS["started"] + index])
        for code, name in enumerate(CODES):
            count = totals[COLUMNS["handled"] + index * len(CODES) + code]
            if count or name == "OK":
                handled.add_metric((SERVICE, method, name), count)
        buckets, total_s = _histogram(totals, COLUMNS["handling"] + index * HISTOGRAM_SIZE, BUCKETS_S, _NS)
        handling.add_metric((SERVICE, method), buckets, total_s)
    yield from (started, handled, handling)


def _waiting_families(totals: Sequence[int]) -> Iterator[Metric]:
    """How calls fare before and around the handler."""
    arrival = "Time from arrival to reply, outside the GIL; native transport only."
    served = HistogramMetricFamily("shortlist_server_seconds", arrival, labels=("grpc_method",))
    for index, method in enumerate(METHODS):
        start = COLUMNS["server"] + index * histogram_size(SERVER_BUCKETS_S)
        served.add_metric((method,), *_histogram(totals, start, SERVER_BUCKETS_S, _NS))
    yield served
    behind = "Time behind calls taken from the transport together."
    yield _plain("shortlist_queue_seconds", behind, totals, "queue", BUCKETS_S, _NS)
    late = "How late a timer of a worker's event loop came."
    yield _plain("shortlist_loop_lag_seconds", late, totals, "loop_lag", BUCKETS_S, _NS)
    together = "Waiting Retrieve calls answered in one pass."
    yield _plain("shortlist_group_size", together, totals, "group", BATCH_BUCKETS, 1)
    turned = "Calls refused before a handler saw them."
    yield _by_label("shortlist_turned_away", turned, totals, "turned_away", "reason", TURNED_AWAY)
    slow = "Calls that took longer than log.slow_ms."
    yield CounterMetricFamily("shortlist_slow_requests", slow, totals[COLUMNS["slow"]])


def _stage_family(totals: Sequence[int]) -> Metric:
    """One family for all stages, `source` empty where a stage is not of one source, so that sums over it hold."""
    help_text = "Time per stage of a retrieval, of a batch for decode and reply."
    stages = HistogramMetricFamily("shortlist_stage_seconds", help_text, labels=("stage", "source"))
    for index, stage in enumerate(STAGES):
        start = COLUMNS["stage"] + index * HISTOGRAM_SIZE
        stages.add_metric((stage, ""), *_histogram(totals, start, BUCKETS_S, _NS))
    for index, (source, stage) in enumerate(product(SOURCES, SOURCE_STAGES)):
        start = COLUMNS["source_stage"] + index * HISTOGRAM_SIZE
        stages.add_metric((stage, source), *_histogram(totals, start, BUCKETS_S, _US))
    return stages


def _source_families(totals: Sequence[int]) -> Iterator[Metric]:
    degraded = "Answers in which a source gave less than its best, by reason."
    degradations = CounterMetricFamily("shortlist_degradations", degraded, labels=("source", "reason"))
    for index, (source, reason) in enumerate(product(SOURCES, DEGRADATIONS)):
        degradations.add_metric((source, reason), totals[COLUMNS["degradation"] + index])
    plans = CounterMetricFamily("shortlist_plans", "How sources met the filters.", labels=("source", "plan"))
    for index, (source, plan) in enumerate(product(SOURCES, PLANS)):
        plans.add_metric((source, plan), totals[COLUMNS["plan"] + index])
    yield from (degradations, plans)


def _request_families(totals: Sequence[int]) -> Iterator[Metric]:
    yield _plain("shortlist_batch_size", "Requests of a batch.", totals, "batch", BATCH_BUCKETS, 1)
    yield _plain("shortlist_history_length", "Interactions of a request.", totals, "history", HISTORY_BUCKETS, 1)
    unknown = "Share of a request's history that the catalogue does not have."
    yield _plain("shortlist_unknown_item_ratio", unknown, totals, "unknown_ratio", RATIO_BUCKETS, RATIO_UNIT)


def _country_families(totals: Sequence[int], countries: Sequence[str]) -> Iterator[Metric]:
    counters = {
        "retrievals": ("shortlist_retrievals", "Answers given."),
        "candidates": ("shortlist_candidates", "Candidates returned."),
        "backfilled": ("shortlist_backfilled_candidates", "Candidates added from popularity."),
        "history_items": ("shortlist_history_items", "Interactions received."),
        "unknown_items": (
            "shortlist_unknown_items",
            "Interactions and seeds skipped because the catalogue does not have the item.",
        ),
    }
    starts = _starts(totals, countries)
    for column, (name, help_text) in counters.items():
        family = CounterMetricFamily(name, help_text, labels=("country",))
        for country, start in starts:
            family.add_metric((country,), totals[start + COUNTRY_COLUMNS[column]])
        yield family
    not_asked = "Answers that are not what their profile asked for, by the first reason."
    fallbacks = CounterMetricFamily("shortlist_fallback", not_asked, labels=("country", "reason"))
    took = HistogramMetricFamily(
        "shortlist_retrieval_seconds", "Time in the handler of a Retrieve.", labels=("country",)
    )
    for country, start in starts:
        for index, reason in enumerate(FALLBACKS, start + COUNTRY_COLUMNS["fallback"]):
            fallbacks.add_metric((country, reason), totals[index])
        took.add_metric((country,), *_histogram(totals, start + COUNTRY_COLUMNS["retrieval"], BUCKETS_S, _NS))
    yield from (fallbacks, took)


def _starts(totals: Sequence[int], countries: Sequence[str]) -> list[tuple[str, int]]:
    """Where each country's columns begin; those of all others only if they were ever needed."""
    starts = [(country, country_start(place)) for place, country in enumerate(countries, 1)]
    others = country_start(0)
    return [*starts, (OTHER_COUNTRY, others)] if totals[others] else starts


def _by_label(
    name: str, help_text: str, totals: Sequence[int], column: str, label: str, values: Sequence[str]
) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=(label,))
    for index, value in enumerate(values, COLUMNS[column]):
        family.add_metric((value,), totals[index])
    return family


def _plain(
    name: str, help_text: str, totals: Sequence[int], column: str, bounds: Sequence[float], unit: float
) -> Metric:
    return HistogramMetricFamily(name, help_text, *_histogram(totals, COLUMNS[column], bounds, unit))


def _histogram(
    totals: Sequence[int], start: int, bounds: Sequence[float], unit: float
) -> tuple[list[tuple[str, float]], float]:
    """Cumulate the buckets that begin at `start`; the sum is multiplied by `unit`."""
    buckets: list[tuple[str, float]] = []
    count = 0
    for index, bound in enumerate((*bounds, float("inf"))):
        count += totals[start + index]
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), count))
    return buckets, totals[start + len(bounds) + 1] * unit
