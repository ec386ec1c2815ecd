"""Which `Retrieve` is usual, so that compiled code answers it: interactions by id, one source alone, no filter.

    bytes of a request but for its history → Query → country, profile → Lane, or None: the readable way answers

Callers send few different requests but for their histories, so a lane is found once and remembered. LED's plain mean
is compiled, too; other sources are asked as the readable way asks them.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeGuard

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.index import Neighbours
from models.errors import EncoderError, FeatureKindError
from models.features import UserContext
from server.answer import Answer, Degradation
from server.compiled import refuse_older
from server.decode import decode_query, decode_without_history
from server.eligibility import Everything, eligibility
from server.encode import encode_answer
from server.limits import Limits
from server.native.call import Call
from server.observe import Observed, Observer, record_answer
from server.query import Filters, History, ItemRefs, Query
from server.resolve import distinct
from server.retrieval import Alone, Retriever
from server.sources.base import Eligibility, Found, User
from server.sources.led import LedSource
from server.sources.mips import Space, planned_fetch
from server.violations import InvalidRequestError
from server.worker_metrics import WorkerMetrics
from server.written import number, text

try:
    from server.lane import Lane
    from server.lanes import COMPILED_FROM, Lanes
except ImportError as error:  # the sources without what is compiled from them
    message = "server/lane.pyx is not compiled: run make, or pip install -e ."
    raise ImportError(message) from error
refuse_older(COMPILED_FROM)

_MOST_LANES = 1024
_VERSION, _UNUSED, _COUNTRY, _PROFILE = 0x12, 0x28, 0x3A, 0x42
_NAME, _CONTRIBUTED, _METHOD, _PLAN, _FOUND = 0x0A, 0x10, 0x2A, 0x32, 0x38
_NO_SEED = -1
_NO_ITEM, _NO_FILTER = ItemRefs.none(), Filters()

_Asked = tuple[User, Eligibility]
"""What a source is asked for one user."""


class _Step(msgspec.Struct, frozen=True):
    """What a lane does between reading and writing; see `Lane`."""

    search: Callable[..., Neighbours | list[Found] | None]
    depth: Callable[[int], int]
    user: Callable[[Query, NDArray[np.int64]], _Asked] | None = None
    max_history: int = 0


class Usual:
    """Finds lanes in what `retriever` serves. One thread's."""

    def __init__(self, retriever: Retriever, bundle_version: str, limits: Limits) -> None:
        self._retriever = retriever
        self._version = bundle_version
        self._limits = limits
        self._lanes: dict[tuple[object, ...], Lane] = {}

    def lanes(self, method: int, observer: Observer) -> Lanes:
        """Make what answers the usual calls of one RPC, on one thread."""

        def find(rest: bytes) -> tuple[Lane, Query] | None:
            return self._lane(rest, observer.metrics)

        told = self._describe(method), self._complete(method, observer)
        return Lanes(find, self._limits.max_history, method, observer, *told)

    def _lane(self, rest: bytes, metrics: WorkerMetrics) -> tuple[Lane, Query] | None:
        """Find the lane of a request without its history; requests that differ in time or features share one."""
        try:
            query = decode_without_history(rest, self._limits)
            alone = None if query.history.length else self._retriever.alone(query)
        except (InvalidRequestError, FeatureKindError):  # the readable way says what is wrong, and where
            return None
        if alone is None:
            return None
        excludes = query.exclude_history or alone.profile.exclude_history
        key = alone.country.code, alone.profile.name, query.k, excludes, alone.unused
        if key not in self._lanes:
            if len(self._lanes) >= _MOST_LANES:
                self._lanes.clear()
            self._lanes[key] = self._made(alone, query.k, metrics, excludes=excludes)
        return self._lanes[key], query

    def _made(self, alone: Alone, k: int, metrics: WorkerMetrics, *, excludes: bool) -> Lane:
        country, source = alone.country, alone.source
        step = _mean(country, source, k) if _averages(source) else _asking(alone, k, excludes=excludes)

        def run(method: str, plan: str) -> tuple[int, bytes]:
            kind = metrics.kind_of(source.name, plan)
            return kind, text(_METHOD, method) + text(_PLAN, plan) + number(_FOUND, k)

        return Lane(
            country,
            k,
            excludes=excludes,
            start=metrics.start_of(country.code),
            user=step.user,
            max_history=step.max_history,
            search=step.search,
            depth=step.depth,
            run=run,
            head=text(_VERSION, self._version),
            unused=number(_UNUSED, alone.unused),
            report_head=text(_NAME, source.name) + number(_CONTRIBUTED, k),
            tail=text(_COUNTRY, country.code) + text(_PROFILE, alone.profile.name),
        )

    def _describe(self, method: int) -> Callable[..., Observed[Query, Answer]]:
        """Tell of a call that a lane answered what the readable way would: it is done again from what was found."""

        def describe(
            call: Call,
            asked: _Asked | None,
            found: Found | Neighbours,
            place: int,
            left_out: NDArray[np.int32],
            numbers: tuple[int, int, int, int],
            times_ns: tuple[int, int, int, int],
        ) -> Observed[Query, Answer]:
            if not isinstance(found, Found):
                found = _found(found, place, left_out, *numbers)
            query = decode_query(call.raw, self._limits, _time_ms(asked))
            answer = msgspec.structs.replace(self._retriever.complete(query, found), fuse_us=0)
            return Observed(method, call, query, answer, *times_ns)

        return describe

    def _complete(self, method: int, observer: Observer) -> Callable[[Call, _Asked, Found, int, int], None]:
        """Answer a call from what its source found, which is less than k, and note it."""

        def complete(call: Call, asked: _Asked, found: Found, started_ns: int, decode_ns: int) -> None:
            query = decode_query(call.raw, self._limits, _time_ms(asked))
            answer = self._retriever.complete(query, found)
            called = time.perf_counter_ns()
            reply = encode_answer(answer, self._version, include_details=False)
            ended = time.perf_counter_ns()
            observer.metrics.call_started(method)
            observer.metrics.queued(started_ns - call.taken_ns)
            times_ns = started_ns, decode_ns, ended - called, ended
            call.reply(reply)
            observer.answered(record_answer, method, call, query, answer, *times_ns)

        return complete


def _time_ms(asked: _Asked | None) -> int:
    """When an answer was wanted; nobody asks where there is only a mean."""
    return asked[0].context.time_ms if asked else 0


def _averages(source: object) -> TypeGuard[LedSource]:
    return isinstance(source, LedSource) and source.averages


def _mean(country: Country, source: LedSource, k: int) -> _Step:
    """Search for LED's mean, which is compiled."""
    space = Space.of(country.led, country.catalog.size)
    return _Step(country.led.index.search, _depth(space, k), max_history=source.max_history)


def _depth(space: Space, k: int) -> Callable[[int], int]:
    """Say how many rows to fetch where so many are left out; 0 where fewer than k are left, or all would be scored."""

    def depth(left_out: int) -> int:
        if space.size - left_out < k:
            return 0
        if not left_out:
            return space.breadth(k)
        return planned_fetch(space, k, left_out)

    return depth


def _asking(alone: Alone, k: int, *, excludes: bool) -> _Step:
    """Ask a source as `Retriever` does."""
    country, (setting,), aged = alone.country, alone.profile.sources, alone.aged
    everything = Everything(country.catalog)

    def user(query: Query, history: NDArray[np.int64]) -> _Asked:
        rows, types, times_ms = history
        newest_ms = int(np.maximum.reduce(times_ms)) if aged else 0
        context = UserContext(
            country.code, query.time_ms or time.time_ns() // 1_000_000, newest_ms, len(rows), query.features
        )
        made = User(rows, History(_NO_ITEM, types, times_ms), None, _NO_SEED, context)
        return made, eligibility(country.catalog, _NO_FILTER, distinct(rows)) if excludes else everything

    def search(asked: Sequence[_Asked], wanted: int) -> list[Found] | None:
        users, eligible = zip(*asked, strict=True)
        try:
            return alone.source.retrieve(country, users, [wanted] * len(users), eligible, setting)
        except EncoderError:  # the readable way asks for each user alone
            return None

    return _Step(search, lambda _: k, user)


def _found(
    found: Neighbours, place: int, left_out: NDArray[np.int32], k: int, fetched: int, encode_us: int, search_us: int
) -> Found:
    """Say in LED's words what a lane found: the best k at `place` of what was found and not left out."""
    kept = np.flatnonzero(~np.isin(found.rows[place], left_out))[:k]
    rows, scores = found.rows[place][kept], found.scores[place][kept]
    plan = "mask" if len(left_out) else "none"
    return Found(rows, scores, found.method, plan, fetched, encode_us, search_us, Degradation.NONE)
