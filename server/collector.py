"""What a scrape shows: the board's sums and the master's own values as metric families of prometheus_client."""

from collections.abc import Iterator, Sequence
from itertools import product

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from server.metrics import (
    BATCH_BUCKETS,
    BUCKETS_S,
    CODES,
    COLUMNS,
    DEGRADATIONS,
    FALLBACKS,
    HISTOGRAM_SIZE,
    METHODS,
    PLANS,
    RELOAD_OUTCOMES,
    SERVICE,
    SOURCE_STAGES,
    SOURCES,
    STAGES,
    Board,
)
from server.reports import Ready

_NS = 1e-9


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
        yield _stage_metric(totals)
        yield from _source_metrics(totals)
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
        started.add_metric((SERVICE, method), totals[COLUMNS["started"] + index])
        for code, name in enumerate(CODES):
            count = totals[COLUMNS["handled"] + index * len(CODES) + code]
            if count or name == "OK":
                handled.add_metric((SERVICE, method, name), count)
        buckets, total_s = _histogram(totals, COLUMNS["handling"] + index * HISTOGRAM_SIZE, BUCKETS_S, _NS)
        handling.add_metric((SERVICE, method), buckets, total_s)
    yield from (started, handled, handling)


def _stage_metric(totals: list[int]) -> Metric:
    """One family for all stages, `source` empty where a stage is not of one source, so that sums over it hold."""
    help_text = "Time per stage of a retrieval, of a batch for decode and reply."
    stages = HistogramMetricFamily("shortlist_stage_seconds", help_text, labels=("stage", "source"))
    places = [(stage, "", COLUMNS["stage"] + index * HISTOGRAM_SIZE) for index, stage in enumerate(STAGES)]
    for index, (source, stage) in enumerate(product(SOURCES, SOURCE_STAGES)):
        places.append((stage, source, COLUMNS["source_stage"] + index * HISTOGRAM_SIZE))
    for stage, source, start in places:
        buckets, total_s = _histogram(totals, start, BUCKETS_S, _NS)
        stages.add_metric((stage, source), buckets, total_s)
    return stages


def _source_metrics(totals: list[int]) -> Iterator[Metric]:
    degraded = "Answers in which a source gave less than its best, by reason."
    degradations = CounterMetricFamily("shortlist_degradations", degraded, labels=("source", "reason"))
    for index, (source, reason) in enumerate(product(SOURCES, DEGRADATIONS)):
        degradations.add_metric((source, reason), totals[COLUMNS["degradation"] + index])
    plans = CounterMetricFamily("shortlist_plans", "How sources met the filters.", labels=("source", "plan"))
    for index, (source, plan) in enumerate(product(SOURCES, PLANS)):
        plans.add_metric((source, plan), totals[COLUMNS["plan"] + index])
    yield from (degradations, plans)


def _retrieval_metrics(totals: list[int]) -> Iterator[Metric]:
    not_asked = "Answers that are not what their profile asked for, by the first reason."
    fallbacks = CounterMetricFamily("shortlist_fallback", not_asked, labels=("reason",))
    for index, reason in enumerate(FALLBACKS):
        fallbacks.add_metric((reason,), totals[COLUMNS["fallback"] + index])
    yield fallbacks
    unknown = "Interactions skipped because the catalogue does not have the item."
    yield CounterMetricFamily("shortlist_unknown_items", unknown, totals[COLUMNS["unknown_items"]])
    yield CounterMetricFamily("shortlist_history_items", "Interactions received.", totals[COLUMNS["history_items"]])
    yield CounterMetricFamily("shortlist_candidates", "Candidates returned.", totals[COLUMNS["candidates"]])
    backfilled = "Candidates added from popularity."
    yield CounterMetricFamily("shortlist_backfilled_candidates", backfilled, totals[COLUMNS["backfilled"]])
    buckets, total = _histogram(totals, COLUMNS["batch"], BATCH_BUCKETS, 1)
    yield HistogramMetricFamily("shortlist_batch_size", "Requests of a batch.", buckets, total)


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
    items = GaugeMetricFamily("shortlist_country_items", "Items of a catalogue.", labels=("country",))
    recall_help = "Recall against exact search, measured at publishing."
    recall_labels = ("country", "source", "type", "engine")
    recall = GaugeMetricFamily("shortlist_index_recall", recall_help, labels=recall_labels)
    for country in ready.countries:
        items.add_metric((country.code,), country.items)
        for index in country.indices:
            recall.add_metric((country.code, index.source, index.type, index.engine), index.recall)
    yield from (items, recall)


def _histogram(
    totals: list[int], start: int, bounds: Sequence[float], unit: float
) -> tuple[list[tuple[str, float]], float]:
    """Cumulate the buckets that begin at `start`; the sum is multiplied by `unit`."""
    buckets: list[tuple[str, float]] = []
    count = 0
    for index, bound in enumerate((*bounds, float("inf"))):
        count += totals[start + index]
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), count))
    return buckets, totals[start + len(bounds) + 1] * unit
