"""The thread that answers calls: takes everything that waits, hands it to the desks, and again.

    recv_batch → too many? too large? cancelled? → desk of the method → recv_batch …

Nothing waits for a batch to fill: a batch is what came in while the one before was answered.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pygrpc_native import EVENT_CALL, NativeGrpcFront

from server.answering import answering_thread
from server.desk import Desk
from server.errors import TOO_MANY
from server.native.call import Call, deadline_of, too_large
from server.native.served import open_calls
from server.observe import Observer
from server.settings import Settings
from server.transport import Served

if TYPE_CHECKING:
    from pygrpc_native._native import DetailedEvent  # only its stubs have it

# more than can wait: every connection may have max_concurrent_rpcs calls open
_TAKE_AT_MOST = 1 << 16
# how soon an idle loop hears that the process ends; each round costs some 20 µs of CPU
_IDLE_ROUND_MS = 100
# at the end: how long nothing has to come in for all to be answered, and from when on a moment is enough
_LAST_ROUND_MS = 20
_LAST_ROUNDS_S = 0.25


class CallLoop:
    """Answers the calls of `front` until told to end, then closes it."""

    def __init__(
        self, front: NativeGrpcFront, settings: Settings, served: Sequence[Served[Any, Any]], observer: Observer
    ) -> None:
        self._front = front
        self._max_bytes = settings.max_receive_bytes
        self._max_calls = settings.max_concurrent_rpcs
        self._desks = [Desk(one, observer) for one in served]
        self._metrics = observer.metrics
        self._ending = threading.Event()
        self._thread = answering_thread(self._run)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def end(self, within_s: float) -> None:
        """Answer what waits, then close; after `within_s` seconds close whatever still waits."""
        self._ending.set()
        self._thread.join(within_s)
        self._front.close()

    def _run(self) -> None:
        self._answer_until_ending()
        self._answer_the_last()
        # at once: a call that comes in between is lost
        self._front.close()

    def _answer_until_ending(self) -> None:
        receive = self._front.recv_batch_details
        while not self._ending.is_set():
            events = receive(_TAKE_AT_MOST, _IDLE_ROUND_MS)
            if events:
                self._answer(events)

    def _answer_the_last(self) -> None:
        """Answer until no call is open and none comes in; under load, until that is so for a moment.

        Closing cuts calls that the front has read and not yet handed over, and answers that it has and not yet sent:
        its thread may have to wait for the processor.
        """
        patient_until = time.monotonic() + _LAST_ROUNDS_S
        while True:
            patient = time.monotonic() < patient_until
            events = self._front.recv_batch_details(_TAKE_AT_MOST, _LAST_ROUND_MS if patient else 1)
            if events:
                self._answer(events)
            elif events is None or not open_calls(self._front):
                return

    def _answer(self, events: Sequence["DetailedEvent"]) -> None:
        for method, calls in self._admit(events).items():
            self._desks[method].answer(calls)

    def _admit(self, events: Sequence["DetailedEvent"]) -> Mapping[int, Sequence[Call]]:
        """Give the calls to answer by method; refuse what is too large or one too many, drop those that were ended."""
        now_ns = time.perf_counter_ns()
        ended = {event[1] for event in events if event[0] != EVENT_CALL}
        admitted: dict[int, list[Call]] = {}
        front, places = self._front, self._max_calls
        for kind, call_id, method, raw, _, details in events:
            if kind != EVENT_CALL or call_id in ended or raw is None:
                continue
            call = Call(front, call_id, raw, deadline_of(details, now_ns), now_ns, details[0] if details else None)
            if len(raw) > self._max_bytes:
                self._metrics.turned_away("too_large")
                call.refuse(too_large(len(raw), self._max_bytes))
            elif places:
                places -= 1
                admitted.setdefault(method, []).append(call)
            else:
                self._metrics.turned_away("too_many")
                call.refuse(TOO_MANY)
        return admitted
