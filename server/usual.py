"""Which `Retrieve` is usual, so that compiled code answers it: interactions by id, LED's plain mean alone, no filter.

    bytes of a request but for its history → Query → country, profile → Lane, or None: the readable way answers

Callers send few different requests but for their histories, so a lane is found once and remembered.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.index import Neighbours
from server.answer import Answer, Degradation, Fallback, SourceReport
from server.decode import decode_query, decode_without_history
from server.limits import Limits
from server.native.call import Call
from server.observe import Observed, Observer
from server.query import Query
from server.retrieval import Retriever
from server.sources.mips import Space, planned_fetch
from server.violations import InvalidRequestError
from server.worker_metrics import WorkerMetrics
from server.written import number, text

try:
    from server.lane import Lane
    from server.lanes import Lanes
except ImportError as error:  # the sources without what is compiled from them
    message = "server/lane.pyx is not compiled: run make, or pip install -e ."
    raise ImportError(message) from error

_SOURCE = "led"
_MOST_LANES = 1024
_VERSION, _COUNTRY, _PROFILE = 0x12, 0x3A, 0x42
_NAME, _CONTRIBUTED, _METHOD, _PLAN, _FOUND = 0x0A, 0x10, 0x2A, 0x32, 0x38


class Usual:
    """Finds lanes in what `retriever` serves. One thread's."""

    def __init__(self, retriever: Retriever, bundle_version: str, limits: Limits) -> None:
        self._retriever = retriever
        self._version = bundle_version
        self._limits = limits
        self._lanes: dict[tuple[str, str, int, bool], Lane] = {}

    def lanes(self, method: int, observer: Observer) -> Lanes:
        """Make what answers the usual calls of one RPC, on one thread."""

        def find(rest: bytes) -> Lane | None:
            return self._lane(rest, observer.metrics)

        return Lanes(find, self._limits.max_history, method, observer, self._observed(method))

    def _lane(self, rest: bytes, metrics: WorkerMetrics) -> Lane | None:
        """Find the lane of a request without its history; requests that differ in their time share one."""
        try:
            query = decode_without_history(rest, self._limits)
        except InvalidRequestError:  # the readable way says what is wrong, and where
            return None
        alone = None if query.history.length else self._retriever.averaged_alone(query)
        if alone is None:
            return None
        country, profile, max_history = alone
        excludes = query.exclude_history or profile.exclude_history
        key = country.code, profile.name, query.k, excludes
        if key not in self._lanes:
            if len(self._lanes) >= _MOST_LANES:
                self._lanes.clear()
            self._lanes[key] = self._made(country, profile.name, query.k, max_history, metrics, excludes=excludes)
        return self._lanes[key]

    def _made(
        self, country: Country, profile: str, k: int, max_history: int, metrics: WorkerMetrics, *, excludes: bool
    ) -> Lane:
        plan = "mask" if excludes else "none"
        return Lane(
            country,
            profile,
            k,
            excludes=excludes,
            max_history=max_history,
            search=country.led.index.search,
            depth=_depth(Space.of(country.led, country.catalog.size), k),
            kind=metrics.kind_of(_SOURCE, plan),
            start=metrics.start_of(country.code),
            head=text(_VERSION, self._version),
            report_head=text(_NAME, _SOURCE) + number(_CONTRIBUTED, k),
            report_end=lambda method: text(_METHOD, method) + text(_PLAN, plan) + number(_FOUND, k),
            tail=text(_COUNTRY, country.code) + text(_PROFILE, profile),
        )

    def _observed(self, method: int) -> Callable[..., Observed[Query, Answer]]:
        limits = self._limits

        def observed(
            lane: Lane,
            call: Call,
            found: Neighbours,
            place: int,
            left_out: NDArray[np.int32],
            numbers: tuple[int, int, int, int],
            times_ns: tuple[int, int, int, int],
        ) -> Observed[Query, Answer]:
            answer = _answer(lane, found, place, left_out, *numbers)
            return Observed(method, call, decode_query(call.raw, limits, 0), answer, *times_ns)

        return observed


def _depth(space: Space, k: int) -> Callable[[int], int]:
    """Say how many rows to fetch where so many are left out; 0 where fewer than k are left, or all would be scored."""

    def depth(left_out: int) -> int:
        if space.size - left_out < k:
            return 0
        if not left_out:
            return space.breadth(k)
        return planned_fetch(space, k, left_out)

    return depth


def _answer(
    lane: Lane,
    found: Neighbours,
    place: int,
    left_out: NDArray[np.int32],
    fetched: int,
    unknown: int,
    encode_us: int,
    search_us: int,
) -> Answer:
    """Say in the domain's words what a lane answered: the best k at `place` of what was found and not left out."""
    kept = np.flatnonzero(~np.isin(found.rows[place], left_out))[: lane.k]
    rows, scores = found.rows[place][kept], found.scores[place][kept]
    plan = "mask" if lane.excludes else "none"
    report = SourceReport(_SOURCE, found.method, plan, lane.k, lane.k, fetched, encode_us, search_us, Degradation.NONE)
    return Answer(
        country=lane.country,
        profile=lane.profile,
        rows=rows,
        scores=scores,
        source_masks=np.ones(len(rows), dtype=np.uint32),
        reports=(report,),
        fallback=Fallback.NONE,
        unknown_items=unknown,
        unused_features=0,
        backfilled=0,
        fuse_us=0,
        lists=((rows, scores),),
    )
