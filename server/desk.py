"""Answers the calls of one RPC, whatever transport they came by: three steps, and what surrounds them.

    usual:     `server.lanes`, in compiled code; the others:
    alone:     decode → call → encode → counted → sent, one call after another
    together:  decode each → group → call per group → encode → counted → sent, each
                 └── any exception → errors.translate → counted → refused

Together is worth it where one call for many costs less than many calls; an RPC says so by its `Many`.
"""

import time
from collections.abc import Hashable, Sequence
from typing import Generic, Protocol

import msgspec

from server.errors import DeadlinePassedError, Refusal, translate
from server.metrics import METHODS
from server.observe import Observer, Origin
from server.service import AnswerT, RequestT
from server.transport import Many, Served

# beyond this many a larger group saves little, and its first call would wait for its last
_GROUP_AT_MOST = 16
_now = time.perf_counter_ns


class Call(Origin, Protocol):
    """A unary call whose request is complete; times are those of `time.perf_counter_ns`."""

    @property
    def raw(self) -> bytes:
        """The request."""

    @property
    def deadline_ns(self) -> int:
        """When nobody waits for the answer any more; far away if it has no deadline."""

    @property
    def taken_ns(self) -> int:
        """When it was taken from the transport, which does not say when it had come in."""

    def reply(self, message: bytes) -> None:
        """End it with OK; nothing happens if the caller has gone."""

    def refuse(self, refusal: Refusal) -> None:
        """End it without a reply; nothing happens if the caller has gone."""


class _Begun(msgspec.Struct, Generic[RequestT], frozen=True):
    """A call whose request is decoded; times in nanoseconds."""

    call: Call
    request: RequestT
    started_ns: int
    decode_ns: int


class Desk(Generic[RequestT, AnswerT]):
    """Lives on the one thread that answers calls."""

    def __init__(self, served: Served[RequestT, AnswerT], observer: Observer) -> None:
        self._rpc = served.rpc
        self._record = served.record
        self._many = served.many
        self._method = METHODS.index(served.name)
        self._observer = observer
        self._metrics = observer.metrics
        self._lanes = served.usual.lanes(self._method, observer) if served.usual else None

    def answer(self, calls: Sequence[Call]) -> None:
        """End every call, each as soon as its answer is there."""
        if self._lanes is not None:
            calls = self._lanes.answer(calls)
        if self._many is None or len(calls) == 1:
            for call in calls:
                self._answer_alone(call)
        else:
            self._answer_together(calls, self._many)
        self._observer.settle()
        if self._lanes is not None:
            self._lanes.settle()

    def _answer_alone(self, call: Call) -> None:
        begun = self._begin(call)
        if begun is not None:
            if self._many is not None:
                self._metrics.group(1)
            self._call_and_finish(begun)

    def _answer_together(self, calls: Sequence[Call], many: Many[RequestT, AnswerT]) -> None:
        groups: dict[Hashable, list[_Begun[RequestT]]] = {}
        for call in calls:
            begun = self._begin(call)
            if begun is not None:
                groups.setdefault(many.group(begun.request), []).append(begun)
        for group in groups.values():
            for start in range(0, len(group), _GROUP_AT_MOST):
                self._answer_group(self._in_time(group[start : start + _GROUP_AT_MOST]), many)

    def _in_time(self, group: Sequence[_Begun[RequestT]]) -> Sequence[_Begun[RequestT]]:
        """Drop calls whose deadline passed while other groups were answered."""
        now = _now()
        for begun in group:
            if now >= begun.call.deadline_ns:
                self._refuse(begun.call, begun.started_ns, DeadlinePassedError())
        return [begun for begun in group if now < begun.call.deadline_ns]

    def _answer_group(self, group: Sequence[_Begun[RequestT]], many: Many[RequestT, AnswerT]) -> None:
        answers: Sequence[AnswerT] = ()
        if group:
            self._metrics.group(len(group))
        if len(group) > 1:
            try:
                answers = many.call([begun.request for begun in group])
            except Exception as error:  # whose fault it is shows when each is called alone
                translate(error)  # logs what is a bug
        if len(answers) == len(group):
            for begun, answer in zip(group, answers, strict=True):
                self._finish(begun, answer)
        else:
            for begun in group:
                self._call_and_finish(begun)

    def _begin(self, call: Call) -> _Begun[RequestT] | None:
        """Decode; None if that ended the call."""
        started = _now()
        self._metrics.call_started(self._method)
        self._metrics.queued(started - call.taken_ns)
        try:
            if started >= call.deadline_ns:
                raise DeadlinePassedError  # noqa: TRY301 - all refusals take one way out
            request = self._rpc.decode(call.raw)
        except Exception as error:  # each has its place in the table of server.errors
            self._refuse(call, started, error)
            return None
        return _Begun(call, request, started, _now() - started)

    def _call_and_finish(self, begun: _Begun[RequestT]) -> None:
        try:
            answer = self._rpc.call(begun.request)
        except Exception as error:  # as above
            self._refuse(begun.call, begun.started_ns, error)
        else:
            self._finish(begun, answer)

    def _finish(self, begun: _Begun[RequestT], answer: AnswerT) -> None:
        called = _now()
        try:
            reply = self._rpc.encode(begun.request, answer)
        except Exception as error:  # as above
            self._refuse(begun.call, begun.started_ns, error)
            return
        ended = _now()
        begun.call.reply(reply)
        self._observer.answered(
            self._record,
            self._method,
            begun.call,
            begun.request,
            answer,
            begun.started_ns,
            begun.decode_ns,
            ended - called,
            ended,
        )

    def _refuse(self, call: Call, started_ns: int, error: Exception) -> None:
        call.refuse(self._observer.refused(self._method, call, error, started_ns))
