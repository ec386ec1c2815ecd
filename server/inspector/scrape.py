"""One look at /metrics: the counters that the live view is made of, read by name whatever else is there."""

import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isinf, isnan

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as PrometheusSample

_TIMEOUT_S = 5.0
_MOST_BYTES = 32 * 1024 * 1024
_RETRIEVALS = ("Retrieve", "RetrieveBatch", "SimilarItems")
_HANDLED = "grpc_server_handled_total"
_HANDLING = "grpc_server_handling_seconds"
_STAGE = "shortlist_stage_seconds"
_FALLBACK = "shortlist_fallback_total"
_LIVE_RECALL = "shortlist_live_recall"
_WORKERS = "shortlist_workers"
_WANTED = (_HANDLED, _HANDLING, _STAGE, _FALLBACK, _LIVE_RECALL, _WORKERS)


@dataclass
class Histogram:
    """Cumulative counts by upper bound in seconds, and the sum of all values."""

    buckets: defaultdict[float, float] = field(default_factory=lambda: defaultdict(float))
    total_s: float = 0.0

    @property
    def longest_us(self) -> float | None:
        """The last bound, microseconds: longer ones are only known to be longer."""
        return max((bound for bound in self.buckets if not isinf(bound)), default=0.0) * 1e6 or None


@dataclass
class Scrape:
    """What the counters said at `time_s`, seconds since the Unix epoch. Fallbacks are summed over countries.

    handled: calls by status, of retrieval methods only. live_recall: by (country, source).
    """

    time_s: float
    handled: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    handling: Histogram = field(default_factory=Histogram)
    fallbacks: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    stages: defaultdict[tuple[str, str], Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    live_recall: dict[tuple[str, str], float] = field(default_factory=dict)
    workers: float = 0.0


def fetch(url: str) -> str:
    """Read the metrics page; OSError if it cannot be read."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as reply:  # noqa: S310 - the master's own address
        text: str = reply.read(_MOST_BYTES).decode()
    return text


def read(text: str, time_s: float) -> Scrape:
    """Take what is wanted out of the page."""
    scrape = Scrape(time_s)
    for sample in _samples(text):
        _take(scrape, sample)
    return scrape


def _samples(text: str) -> Iterator[PrometheusSample]:
    """Parse the wanted families only: a page about two hundred countries has thousands of other lines."""
    lines = (line for line in text.splitlines() if line.removeprefix("# TYPE ").startswith(_WANTED))
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        yield from family.samples


def _take(scrape: Scrape, sample: PrometheusSample) -> None:
    name, labels, value = sample.name, sample.labels, sample.value
    if name == _HANDLED and labels["grpc_method"] in _RETRIEVALS:
        scrape.handled[labels["grpc_code"]] += value
    elif name.startswith(_HANDLING) and labels["grpc_method"] == "Retrieve":
        _add(scrape.handling, name.removeprefix(_HANDLING), sample)
    elif name.startswith(_STAGE):
        _add(scrape.stages[labels["stage"], labels["source"]], name.removeprefix(_STAGE), sample)
    elif name == _FALLBACK:
        scrape.fallbacks[labels["reason"]] += value
    elif name == _LIVE_RECALL and not isnan(value):
        scrape.live_recall[labels.get("country", ""), labels.get("source", "")] = value
    elif name == _WORKERS:
        scrape.workers = value


def _add(histogram: Histogram, part: str, sample: PrometheusSample) -> None:
    if part == "_bucket":
        histogram.buckets[float(sample.labels["le"])] += sample.value
    elif part == "_sum":
        histogram.total_s += sample.value
