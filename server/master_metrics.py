"""What the master knows by itself: who serves what, how well it recalls, and what happened to the processes."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from server.metrics import RECALL_DROPS, RECALL_HALF_LIFE_S, RELOAD_OUTCOMES
from server.process_metrics import ProcessMetrics, Usage
from server.reports import Judged, Ready


@dataclass
class Judgement:
    """The last that a judge said of one source of one country, and when, on the clock of `time.monotonic`."""

    recall: float
    samples: float
    heard_s: float

    def now(self, now_s: float) -> tuple[float, float]:
        """Give the sample's size and the age of its newest, seconds."""
        age_s = max(0.0, now_s - self.heard_s)
        return self.samples * 0.5 ** (age_s / RECALL_HALF_LIFE_S), age_s


class LiveRecall:
    """What the judge of one generation has said."""

    def __init__(self) -> None:
        self.latest: dict[tuple[str, str], Judgement] = {}

    def hear(self, report: Judged) -> None:
        """Keep what it says."""
        heard_s = time.monotonic()
        for one in report.sources:
            self.latest[report.country, one.source] = Judgement(one.recall, one.samples, heard_s)


@dataclass
class MasterMetrics:
    """The values; the master's loop writes them and the exporter's thread reads."""

    serving: Ready | None = None
    serving_since_s: float = 0.0
    live_recall: LiveRecall = field(default_factory=LiveRecall)
    judged: int = 0
    judge_failed: int = 0
    workers: int = 0
    worker_restarts: int = 0
    reloads: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RELOAD_OUTCOMES, 0))
    processes: ProcessMetrics = field(default_factory=ProcessMetrics)


def master_families(master: MasterMetrics, recall_drops: Sequence[int]) -> Iterator[Metric]:
    """Show them; `recall_drops` are the workers' counts by `RECALL_DROPS`."""
    yield from _process_families(master)
    yield from _recall_families(master, dict(zip(RECALL_DROPS, recall_drops, strict=True)))
    if master.serving is not None:
        yield from _bundle_families(master.serving, master.serving_since_s)
        yield from _index_families(master.serving)


def _process_families(master: MasterMetrics) -> Iterator[Metric]:
    yield GaugeMetricFamily("shortlist_workers", "Workers of the serving generation that are alive.", master.workers)
    restarts = "Workers replaced because they died."
    yield CounterMetricFamily("shortlist_worker_restarts", restarts, master.worker_restarts)
    reloads = CounterMetricFamily("shortlist_reloads", "Reloads asked for, by outcome.", labels=("outcome",))
    for outcome, count in master.reloads.items():
        reloads.add_metric((outcome,), count)
    yield reloads
    yield from _usage_families(master.processes.read())


def _usage_families(usages: Mapping[str, Usage]) -> Iterator[Metric]:
    cpu = CounterMetricFamily("shortlist_process_cpu_seconds", "CPU time by role, ended included.", labels=("role",))
    memory = GaugeMetricFamily("shortlist_process_resident_memory_bytes", "Resident memory by role.", labels=("role",))
    count = GaugeMetricFamily("shortlist_processes", "Processes by role.", labels=("role",))
    for role, usage in usages.items():
        cpu.add_metric((role,), usage.cpu_s)
        memory.add_metric((role,), usage.resident_bytes)
        count.add_metric((role,), usage.processes)
    yield from (cpu, memory, count)


def _recall_families(master: MasterMetrics, drops: Mapping[str, int]) -> Iterator[Metric]:
    labels = ("country", "source")
    recall = GaugeMetricFamily("shortlist_live_recall", "Share of the exact answer that was served.", labels=labels)
    samples = GaugeMetricFamily(
        "shortlist_live_recall_samples", "Requests behind it, the older the less.", labels=labels
    )
    age = GaugeMetricFamily("shortlist_live_recall_age_seconds", "Since the newest was judged.", labels=labels)
    now_s = time.monotonic()
    for place, judgement in list(master.live_recall.latest.items()):
        size, age_s = judgement.now(now_s)
        recall.add_metric(place, judgement.recall)
        samples.add_metric(place, size)
        age.add_metric(place, age_s)
    yield from (recall, samples, age)
    yield CounterMetricFamily("shortlist_live_recall_judged", "Requests judged.", master.judged)
    dropped = CounterMetricFamily("shortlist_live_recall_dropped", "Sampled and not judged.", labels=("reason",))
    for reason, count in {**drops, "failed": master.judge_failed}.items():
        dropped.add_metric((reason,), count)
    yield dropped


def _bundle_families(ready: Ready, since_s: float) -> Iterator[Metric]:
    info_labels = ("name", "version", "format_version")
    info = GaugeMetricFamily("shortlist_bundle_info", "The bundle being served.", labels=info_labels)
    info.add_metric((ready.name, ready.version, ready.format_version), 1)
    yield info
    created = "When the bundle was published, seconds since the Unix epoch."
    yield GaugeMetricFamily("shortlist_bundle_created_timestamp_seconds", created, ready.created_ms / 1000)
    since = "When the bundle began to be served, seconds since the Unix epoch."
    yield GaugeMetricFamily("shortlist_bundle_loaded_timestamp_seconds", since, since_s)
    items = GaugeMetricFamily("shortlist_country_items", "Items of a catalogue.", labels=("country",))
    for country in ready.countries:
        items.add_metric((country.code,), country.items)
    yield items


def _index_families(ready: Ready) -> Iterator[Metric]:
    labels = ("country", "source", "type", "engine")
    info = GaugeMetricFamily("shortlist_index_info", "An index being served.", labels=(*labels, "space", "ef"))
    measured = "Recall against exact search, measured at publishing."
    recall = GaugeMetricFamily("shortlist_index_recall", measured, labels=labels)
    asked = "Recall that publishing was asked to reach."
    target = GaugeMetricFamily("shortlist_index_recall_target", asked, labels=labels)
    for country in ready.countries:
        for index in country.indices:
            values = (country.code, index.source, index.type, index.engine)
            info.add_metric((*values, index.space, str(index.ef)), 1)
            if index.recall_k:
                recall.add_metric(values, index.recall)
                target.add_metric(values, index.recall_target)
    yield from (info, recall, target)
