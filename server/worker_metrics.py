"""What a worker counts, and where.

    call → notes (lists of this process) → counted and published ten times a second → slot of the board

A call costs a few appends; finding buckets and adding up is numpy's, for all calls of a tenth of a second at once. What
a worker that is killed had not published, that tenth, is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Final, Protocol

import numpy as np

from server.metrics import (
    BATCH_BUCKETS,
    BUCKETS_S,
    CODE_INDEX,
    CODES,
    COLUMNS,
    COUNTRY_COLUMNS,
    DEGRADATIONS,
    FIXED_WIDTH,
    HISTOGRAM_SIZE,
    PLANS,
    RECALL_DROPS,
    SERVER_BUCKETS_S,
    SOURCE_STAGES,
    SOURCES,
    STAGES,
    TURNED_AWAY,
    country_start,
    histogram_size,
)
from server.worker_counts import CANDIDATES, FALLBACK, count_answers, count_runs, observe, taken

_ANSWER: Final = 10
"""Integers of a note of `WorkerMetrics.answered`."""

_NS: Final = np.array([round(bound * 1e9) for bound in BUCKETS_S])
_SIZES: Final = np.array(BATCH_BUCKETS)
_OK: Final = CODE_INDEX["OK"]
_STARTED: Final = COLUMNS["started"]
_HANDLED: Final = COLUMNS["handled"]
_HANDLING: Final = COLUMNS["handling"]
_DECODE, _REPLY = (COLUMNS["stage"] + STAGES.index(stage) * HISTOGRAM_SIZE for stage in ("decode", "reply"))
_QUEUE, _GROUP = COLUMNS["queue"], COLUMNS["group"]
_RETRIEVAL: Final = COUNTRY_COLUMNS["retrieval"]


class SourceRun(Protocol):
    """What is counted of `server.answer.SourceReport`."""

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


class _Kinds(dict[tuple[str, str, int], int]):
    """Numbers the kinds of runs by source, plan and degradation; `columns` has what to count of each.

    columns: by kind, the columns of its plan and of its degradation, -1 for none, and where its stages begin.
    """

    def __init__(self) -> None:
        self.columns: list[tuple[int, int, int]] = []

    def __missing__(self, kind: tuple[str, str, int]) -> int:
        source, plan, degradation = kind
        place = SOURCES.index(source)
        plans = COLUMNS["plan"] + place * len(PLANS)
        self.columns.append(
            (
                plans + PLANS.index(plan if plan in PLANS else "other") if plan else -1,
                COLUMNS["degradation"] + place * len(DEGRADATIONS) + degradation - 1 if degradation else -1,
                COLUMNS["source_stage"] + place * len(SOURCE_STAGES) * HISTOGRAM_SIZE,
            )
        )
        self[kind] = number = len(self)
        return number


class WorkerMetrics:
    """What a worker counts, and the slot where it shows. One thread counts; any may publish.

    places: by country code, as `Board.add_countries` gave them.

    Notes are flat lists of integers. Each note is one `extend`, and taking notes away is one slice and one deletion, so
    a thread that publishes never sees half a note.
    """

    def __init__(self, slot: memoryview, places: Mapping[str, int] | None = None) -> None:
        places = places or {}
        width = country_start(max(places.values(), default=0) + 1)
        self._starts = {code: country_start(place) for code, place in places.items()}
        self._slot = np.frombuffer(slot[:width], dtype=np.int64)
        # a replaced worker goes on where the dead one stopped
        self._counts = self._slot.copy()
        self._before = self._counts.copy()
        self._publishing = Lock()
        self._kinds = _Kinds()
        self._ones: list[int] = []  # columns
        self._amounts: list[int] = []  # column, what is added
        self._timed: list[int] = []  # beginning of a histogram of times, nanoseconds
        self._sized: list[int] = []  # beginning of a histogram of sizes, how many
        self._handled: list[int] = []  # method and code, nanoseconds
        self._runs: list[int] = []  # kind, microseconds of encode and of search
        self._answers: list[int] = []  # see `answered`; beginning of the country's columns instead of the country

    def publish(self) -> None:
        """Count and show everything noted so far."""
        with self._publishing:
            self._count()
            self._slot[:] = self._counts

    def call_started(self, method: int) -> None:
        """A call of `METHODS[method]` came in."""
        self._ones.append(_STARTED + method)

    def call_handled(self, method: int, code: int, elapsed_ns: int) -> None:
        """It was answered with `CODES[code]`."""
        self._handled.extend((method * len(CODES) + code, elapsed_ns))

    def stages(self, decode_ns: int, reply_ns: int) -> None:
        """How long decode and reply of one call took, where `answered` is not told."""
        self._timed.extend((_DECODE, decode_ns, _REPLY, reply_ns))

    def sources(self, runs: Iterable[SourceRun]) -> None:
        """What the sources did for one answer."""
        note, kinds = self._runs.extend, self._kinds
        for run in runs:
            note((kinds[run.source, run.plan, run.degradation], run.encode_us, run.search_us))

    def retrieved(self, country: str, fallback: int, candidates: int) -> None:
        """An answer without a history, of `country`'s catalogue; `fallback` as for `answered`."""
        start = self._starts.get(country, FIXED_WIDTH)
        self._ones.append(start)
        self._amounts.extend((start + CANDIDATES, candidates))
        if fallback:
            self._ones.append(start + FALLBACK + fallback)

    def answered(
        self,
        country: str,
        fallback: int,
        candidates: int,
        backfilled: int,
        history: int,
        unknown: int,
        fuse_us: int,
        decode_ns: int = -1,
        reply_ns: int = -1,
        elapsed_ns: int = -1,
    ) -> None:
        """An answer of `country`'s catalogue; `fallback` 0 is none, otherwise 1 + its place in `FALLBACKS`.

        history: interactions that were sent; unknown: of them and the seed, those that the catalogue does not have.
        fuse_us: how long fusion took. The last three: stages and whole of a `Retrieve`, -1 where the call had others.
        """
        start = self._starts.get(country, FIXED_WIDTH)
        self._answers.extend(
            (start, fallback, candidates, backfilled, history, unknown, fuse_us, decode_ns, reply_ns, elapsed_ns)
        )

    def start_of(self, country: str) -> int:
        """Where the columns of `country` begin, as `usual` takes it."""
        return self._starts.get(country, FIXED_WIDTH)

    def kind_of(self, source: str, plan: str) -> int:
        """The number of a source's run that lacked nothing, as `usual` takes it."""
        return self._kinds[source, plan, 0]

    def usual(
        self,
        method: int,
        waited_ns: int,
        kind: int,
        encode_us: int,
        search_us: int,
        start: int,
        candidates: int,
        history: int,
        unknown: int,
        decode_ns: int,
        reply_ns: int,
        elapsed_ns: int,
    ) -> None:
        """A call of one source's run that came in and was answered: all that the methods above note of it, at once."""
        self._ones.append(_STARTED + method)
        self._timed.extend((_QUEUE, waited_ns))
        self._handled.extend((method * len(CODES) + _OK, elapsed_ns))
        self._runs.extend((kind, encode_us, search_us))
        self._answers.extend((start, 0, candidates, 0, history, unknown, 0, decode_ns, reply_ns, elapsed_ns))

    def served(self, method: int, counts: Sequence[int], sum_ns: int) -> None:
        """What the transport has counted so far: calls by `SERVER_BUCKETS_S`, and those above; replaces the last."""
        size = histogram_size(SERVER_BUCKETS_S)
        start = COLUMNS["server"] + method * size
        self._counts[start : start + size] = self._before[start : start + size] + np.array([*counts, sum_ns])

    def batch(self, requests: int) -> None:
        """How many requests a `RetrieveBatch` had."""
        self._sized.extend((COLUMNS["batch"], requests))

    def group(self, calls: int) -> None:
        """How many waiting calls were answered in one pass."""
        self._sized.extend((_GROUP, calls))

    def queued(self, waited_ns: int) -> None:
        """How long a call that was taken from the transport waited for the ones taken with it."""
        self._timed.extend((_QUEUE, waited_ns))

    def loop_lag(self, late_ns: int) -> None:
        """How late the event loop was."""
        self._timed.extend((COLUMNS["loop_lag"], late_ns))

    def turned_away(self, reason: str) -> None:
        """A call was refused unseen."""
        self._ones.append(COLUMNS["turned_away"] + TURNED_AWAY.index(reason))

    def recall_dropped(self, reason: str) -> None:
        """A sampled request was not judged."""
        self._ones.append(COLUMNS["recall_drop"] + RECALL_DROPS.index(reason))

    def slow(self) -> None:
        """A call took longer than `log.slow_ms`."""
        self._ones.append(COLUMNS["slow"])

    def _count(self) -> None:
        counts = self._counts
        np.add.at(counts, *taken(self._amounts, 2))
        observe(counts, _SIZES, *taken(self._sized, 2))
        handled, handling_ns = taken(self._handled, 2)
        np.add.at(counts, _HANDLED + handled, 1)
        answers = taken(self._answers, _ANSWER)
        starts, times_ns = taken(self._timed, 2)
        retrieves = answers[:, answers[-1] >= 0]
        stages = np.repeat((_DECODE, _REPLY), retrieves.shape[1])
        begins = (starts, _HANDLING + handled // len(CODES) * HISTOGRAM_SIZE, stages, retrieves[0] + _RETRIEVAL)
        observe(counts, _NS, np.concatenate(begins), np.concatenate((times_ns, handling_ns, *retrieves[-3:])))
        if answers.size:
            count_answers(counts, *answers[:-3])
        runs = taken(self._runs, 3)
        if runs.size:
            count_runs(counts, np.array(self._kinds.columns).T, *runs)
        # last, since calls that started are among them: never fewer than were handled
        np.add.at(counts, taken(self._ones, 1)[0], 1)
