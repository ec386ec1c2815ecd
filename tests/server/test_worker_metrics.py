"""What a worker counts: by numpy for many calls at once, as by hand one after another, and nothing twice or never."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from server.answer import Degradation, SourceReport
from server.board import Board
from server.metrics import (
    BATCH_BUCKETS,
    BUCKETS_S,
    CODES,
    COLUMNS,
    COUNTRY_COLUMNS,
    DEGRADATIONS,
    FALLBACKS,
    FIXED_WIDTH,
    HISTOGRAM_SIZE,
    HISTORY_BUCKETS,
    PLANS,
    RATIO_BUCKETS,
    SOURCES,
    STAGES,
    country_start,
    histogram_size,
)
from server.worker_metrics import WorkerMetrics

COUNTRIES = ("DE", "FR")
NS = [round(bound * 1e9) for bound in BUCKETS_S]
US = [round(bound * 1e6) for bound in BUCKETS_S]
TIMES_NS = st.one_of(st.integers(0, 200_000_000), st.sampled_from(NS))
TIMES_US = st.one_of(st.integers(0, 200_000), st.sampled_from(US))
RUNS = st.builds(
    SourceReport,
    source=st.sampled_from(SOURCES),
    method=st.just(""),
    plan=st.sampled_from(("", *PLANS, "a plan that nobody knows")),
    found=st.just(0),
    contributed=st.just(0),
    fetched=st.just(0),
    encode_us=TIMES_US,
    search_us=TIMES_US,
    degradation=st.sampled_from(Degradation),
)
# country, fallback, candidates, backfilled, history, unknown, microseconds of fusion
ANSWERS = st.tuples(
    st.sampled_from((*COUNTRIES, "XX")),
    st.integers(0, len(FALLBACKS)),
    st.integers(0, 1000),
    st.integers(0, 3),
    st.one_of(st.integers(0, 600), st.sampled_from(HISTORY_BUCKETS)),
    st.integers(0, 600),
    TIMES_US,
)
CALLS = st.tuples(
    st.integers(0, 3), st.integers(0, len(CODES) - 1), TIMES_NS, TIMES_NS, TIMES_NS, ANSWERS, st.lists(RUNS, max_size=4)
)


class Naive:
    """Adds one thing after another to a dict of columns."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def observe(self, start: int, bounds: Sequence[float], value: int, unit: int = 1) -> None:
        """One value of a histogram, whose sum is in other units."""
        self.counts[start + bisect_left(bounds, value)] += 1
        self.counts[start + len(bounds) + 1] += value * unit

    def run(self, run: SourceReport) -> None:
        """What a source did."""
        place = SOURCES.index(run.source)
        if run.degradation:
            self.counts[COLUMNS["degradation"] + place * len(DEGRADATIONS) + run.degradation - 1] += 1
        if run.plan:
            plan = PLANS.index(run.plan if run.plan in PLANS else "other")
            self.counts[COLUMNS["plan"] + place * len(PLANS) + plan] += 1
            stage = COLUMNS["source_stage"] + place * 2 * HISTOGRAM_SIZE
            self.observe(stage, US, run.encode_us)
            self.observe(stage + HISTOGRAM_SIZE, US, run.search_us)

    def answer(self, start: int, fallback: int, history: int, unknown: int, fuse_us: int) -> None:
        """What an answer was about."""
        if fallback:
            self.counts[start + COUNTRY_COLUMNS["fallback"] + fallback - 1] += 1
        self.observe(_stage("fuse"), US, fuse_us, 1000)
        self.counts[COLUMNS["history"] + bisect_left(HISTORY_BUCKETS, history)] += 1
        if history:
            share = min(unknown, history) * 1_000_000 // history
            self.observe(COLUMNS["unknown_ratio"], [bound * 1e6 for bound in RATIO_BUCKETS], share)


def _stage(name: str) -> int:
    return COLUMNS["stage"] + STAGES.index(name) * HISTOGRAM_SIZE


@given(st.lists(CALLS, max_size=12), st.integers(0, 12), st.booleans())
def test_many_calls_are_counted_as_one_by_one(calls: list[tuple], publish_after: int, batch: bool) -> None:  # noqa: FBT001 - drawn
    """Every column, whatever the calls, wherever it is published in between."""
    board, naive = Board.create(1), Naive()
    places = board.add_countries(COUNTRIES)
    metrics = WorkerMetrics(board.slot(0), places)
    for number, (method, code, decode_ns, reply_ns, elapsed_ns, answer, runs) in enumerate(calls):
        metrics.call_started(method)
        metrics.call_handled(method, code, elapsed_ns)
        metrics.sources(runs)
        times = () if batch else (decode_ns, reply_ns, elapsed_ns)
        metrics.answered(*answer, *times)
        naive.counts[COLUMNS["started"] + method] += 1
        naive.counts[COLUMNS["handled"] + method * len(CODES) + code] += 1
        naive.observe(COLUMNS["handling"] + method * HISTOGRAM_SIZE, NS, elapsed_ns)
        for run in runs:
            naive.run(run)
        country, fallback, candidates, backfilled, history, unknown, fuse_us = answer
        start = country_start(places[country]) if country in places else FIXED_WIDTH
        sums = {"retrievals": 1, "candidates": candidates, "backfilled": backfilled}
        for name, amount in {**sums, "history_items": history, "unknown_items": unknown}.items():
            naive.counts[start + COUNTRY_COLUMNS[name]] += amount
        naive.answer(start, fallback, history, unknown, fuse_us)
        if batch:
            metrics.batch(number)
            metrics.stages(decode_ns, reply_ns)
            naive.observe(COLUMNS["batch"], BATCH_BUCKETS, number)
        else:
            naive.observe(start + COUNTRY_COLUMNS["retrieval"], NS, elapsed_ns)
        naive.observe(_stage("decode"), NS, decode_ns)
        naive.observe(_stage("reply"), NS, reply_ns)
        if number == publish_after:
            metrics.publish()
    metrics.publish()
    assert {column: count for column, count in enumerate(board.slot(0)) if count} == +naive.counts


def test_nothing_is_lost_or_counted_twice_between_threads() -> None:
    """One thread counts while another publishes without a break; what is shown never has more handled than started."""
    board = Board.create(1)
    metrics = WorkerMetrics(board.slot(0), board.add_countries(COUNTRIES))
    run = SourceReport("led", "hnsw", "none", 1, 1, 1, 17, 356, Degradation.NONE)
    ended = threading.Event()

    def count() -> None:
        for _ in range(20_000):
            metrics.call_started(0)
            metrics.sources([run, run])
            metrics.answered("FR", 0, 100, 0, 20, 1, 14, 100, 100, 500)
            metrics.call_handled(0, 0, 500)
        ended.set()

    thread = threading.Thread(target=count)
    thread.start()
    slot = board.slot(0)
    while not ended.is_set():
        metrics.publish()
        assert slot[COLUMNS["handled"]] <= slot[COLUMNS["started"]]
    thread.join()
    metrics.publish()
    fr = country_start(2)
    assert slot[COLUMNS["handled"]] == slot[COLUMNS["started"]] == slot[fr] == 20_000
    assert slot[COLUMNS["plan"] + SOURCES.index("led") * len(PLANS)] == 40_000
    assert slot[fr + COUNTRY_COLUMNS["candidates"]] == 2_000_000


def test_what_the_transport_counts_replaces_itself() -> None:
    """Its totals so far are shown once, on top of those of the worker that had the slot before."""
    board = Board.create(1)
    start = COLUMNS["server"]
    for _ in range(2):
        metrics = WorkerMetrics(board.slot(0))
        for total in (3, 5):
            metrics.served(0, [total] * (histogram_size(BUCKETS_S) - 3), total)
            metrics.publish()
    assert board.slot(0)[start] == 10
