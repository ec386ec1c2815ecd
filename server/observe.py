"""What is recorded of each call, by whatever transport it came.

    started → (decode, call, encode) → answered → reply handed over → settle: counted, watched
                    └── exception → refused → Refusal → status

An answered call is only noted; `settle` counts it when its reply is on its way, so that its caller does not wait.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias

from server.answer import Answer, Fallback, SimilarAnswer
from server.errors import Refusal, translate
from server.metrics import CODE_INDEX
from server.query import Query, SimilarQuery
from server.request_id import request_id_of
from server.service import AnswerT, RequestT
from server.worker_metrics import WorkerMetrics

Record: TypeAlias = Callable[[WorkerMetrics, RequestT, AnswerT, int, int, int], None]
"""Counts an answer; the numbers are nanoseconds: decode, reply, and the whole call."""

_OK = CODE_INDEX["OK"]
_PUBLISH_EVERY_S = 0.1
_LOG = logging.getLogger(__name__)


class Origin(Protocol):
    """Where a call came from, whatever the transport."""

    def invocation_metadata(self) -> Any:  # noqa: ANN401 - each transport has its own
        """The caller's `Metadata`."""


@dataclass(frozen=True, slots=True)
class Observed(Generic[RequestT, AnswerT]):
    """A call of `METHODS[method]` that has ended; times are those of `time.perf_counter_ns`.

    Of one that was refused, with another code than OK, request and answer are None and decode and reply 0.
    """

    method: int
    origin: Origin
    request: RequestT
    answer: AnswerT
    started_ns: int
    decode_ns: int
    reply_ns: int
    ended_ns: int
    code: str = "OK"

    @property
    def elapsed_ns(self) -> int:
        """How long it took."""
        return self.ended_ns - self.started_ns


class Watcher(Protocol):
    """Looks closer at some of the calls: slow ones, sampled ones."""

    def wants(self, origin: Origin, elapsed_ns: int, ended_ns: int) -> bool:
        """Whether to look at this one; asked of every call, so it must cost next to nothing."""

    def look(self, call: Observed[Any, Any]) -> None:
        """Do it."""

    def close(self) -> None:
        """No more calls will come."""


class Observer:
    """Lives on the thread that answers calls; only `publish` and `run` are for another."""

    def __init__(self, metrics: WorkerMetrics, watchers: Sequence[Watcher] = ()) -> None:
        self.metrics = metrics
        self.watchers = tuple(watchers)
        self._noted: list[tuple[Any, ...]] = []
        self._before_publishing: Callable[[], None] = _nothing

    def before_publishing(self, do: Callable[[], None]) -> None:
        """Have what the transport counts itself put among the metrics each time."""
        self._before_publishing = do

    def answered(
        self,
        record: Record[RequestT, AnswerT] | None,
        method: int,
        origin: Origin,
        request: RequestT,
        answer: AnswerT,
        started_ns: int,
        decode_ns: int,
        reply_ns: int,
        ended_ns: int,
    ) -> bool:
        """Note a call whose reply is made; True if it is the first since `settle`, which then has to be called."""
        self._noted.append((record, method, origin, request, answer, started_ns, decode_ns, reply_ns, ended_ns))
        return len(self._noted) == 1

    def refused(self, method: int, origin: Origin, error: Exception, started_ns: int) -> Refusal:
        """Count a call that ends with a status, and translate what ended it."""
        refusal = translate(error, lambda: request_id_of(origin.invocation_metadata()))
        ended_ns, code = time.perf_counter_ns(), refusal.code.name
        self.metrics.call_handled(method, CODE_INDEX[code], ended_ns - started_ns)
        for watcher in self.watchers:
            if watcher.wants(origin, ended_ns - started_ns, ended_ns):
                look(watcher, Observed(method, origin, None, None, started_ns, 0, 0, ended_ns, code))
        return refusal

    def settle(self) -> None:
        """Count what was noted."""
        noted, self._noted = self._noted, []
        metrics, watchers = self.metrics, self.watchers
        for record, method, origin, request, answer, started_ns, decode_ns, reply_ns, ended_ns in noted:
            elapsed_ns = ended_ns - started_ns
            metrics.call_handled(method, _OK, elapsed_ns)
            if record is not None:
                record(metrics, request, answer, decode_ns, reply_ns, elapsed_ns)
            for watcher in watchers:
                if watcher.wants(origin, elapsed_ns, ended_ns):
                    call = Observed(method, origin, request, answer, started_ns, decode_ns, reply_ns, ended_ns)
                    look(watcher, call)

    async def run(self) -> None:
        """Publish ten times a second and say how late that was, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _PUBLISH_EVERY_S
            await asyncio.sleep(_PUBLISH_EVERY_S)
            self.metrics.loop_lag(max(0, round((loop.time() - due) * 1e9)))
            self.publish()

    def close(self) -> None:
        """Publish the last, and let the watchers end."""
        self.publish()
        for watcher in self.watchers:
            watcher.close()

    def publish(self) -> None:
        """Show everything counted so far."""
        self._before_publishing()
        self.metrics.publish()


def _nothing() -> None:
    pass


def look(watcher: Watcher, call: Observed[Any, Any]) -> None:
    """Have a watcher look at a call that has ended."""
    try:
        watcher.look(call)
    except Exception:  # the reply is sent: whatever goes wrong here must not end the thread that answers calls
        _LOG.exception("a call was answered, but %s failed", type(watcher).__name__)


def record_answer(
    metrics: WorkerMetrics, query: Query, answer: Answer, decode_ns: int, reply_ns: int, elapsed_ns: int
) -> None:
    """Record a `Retrieve`: stages, sources, and what the answer was about."""
    _record(metrics, query, answer, decode_ns, reply_ns, elapsed_ns)


def record_batch(
    metrics: WorkerMetrics, queries: Sequence[Query], answers: Sequence[Answer], decode_ns: int, reply_ns: int, _: int
) -> None:
    """Record a `RetrieveBatch`: as many answers, but decode and reply of the whole."""
    metrics.batch(len(queries))
    metrics.stages(decode_ns, reply_ns)
    for query, answer in zip(queries, answers, strict=True):
        _record(metrics, query, answer)


def record_similar(
    metrics: WorkerMetrics, query: SimilarQuery, answer: SimilarAnswer, decode_ns: int, reply_ns: int, _: int
) -> None:
    """Record a `SimilarItems`; its neighbourhood counts as the source that it is of."""
    metrics.stages(decode_ns, reply_ns)
    metrics.sources((answer.report,))
    code = answer.country.code
    metrics.retrieved(code, Fallback.NONE if code == query.country else Fallback.COUNTRY, len(answer.rows))


def _record(metrics: WorkerMetrics, query: Query, answer: Answer, *times_ns: int) -> None:
    """Record one answer; `times_ns` as the last of `WorkerMetrics.answered`."""
    metrics.sources(answer.reports)
    metrics.answered(
        answer.country.code,
        answer.fallback,
        len(answer.rows),
        answer.backfilled,
        query.history.length,
        answer.unknown_items,
        answer.fuse_us,
        *times_ns,
    )
