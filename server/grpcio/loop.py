"""The thread that answers calls over grpcio: takes everything that is there, hands it to the desks, and again.

    take … take → too many? cancelled? → desk of the method → take …
      └── HTTP/2, by the core

Nothing waits for a batch to fill: a batch is what came in while the one before was answered.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from server.answering import answering_thread
from server.desk import Desk
from server.errors import NO_METHOD, TOO_MANY
from server.grpcio.call import Call
from server.grpcio.core import Completion, Core, turn_away
from server.grpcio.side import SideCalls
from server.metrics import SERVICE
from server.observe import Observer
from server.settings import Settings
from server.transport import Served

# completions, four of a call: the calls that have come are answered before more are taken
_TAKE_AT_MOST = 1 << 12
# how soon an idle loop hears that the process ends
_IDLE_ROUND_S = 0.1
# at the end: how long nothing has to come in for all to be answered, and for how long that is tried
_LAST_ROUND_S = 0.02
_LAST_ROUNDS_S = 0.25
# what calls that are cancelled at the end need to be gone
_CANCEL_S = 1.0


class CallLoop:
    """Answers the calls of a port until told to end."""

    def __init__(
        self,
        options: Sequence[tuple[str, int]],
        settings: Settings,
        served: Sequence[Served[Any, Any]],
        side: SideCalls,
        observer: Observer,
    ) -> None:
        self._core = Core(options, self._begin)
        self._max_calls = settings.max_concurrent_rpcs
        self._desks = [Desk(one, observer) for one in served]
        self._methods = {f"/{SERVICE}/{one.name}".encode(): place for place, one in enumerate(served)}
        self._side = side
        self._metrics = observer.metrics
        self._waiting: list[Call] = []
        self._ending = threading.Event()
        self._thread = answering_thread(self._run)

    def start(self, address: str) -> None:
        """Bind, and begin to answer; RuntimeError if that cannot be."""
        self._core.start(address)
        self._thread.start()

    def end(self, within_s: float) -> None:
        """Answer what waits and tell clients to go; after `within_s` seconds cancel whatever is still open."""
        self._ending.set()
        self._thread.join(within_s)
        if self._thread.is_alive():
            self._core.cancel_all()
            self._thread.join(_CANCEL_S)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._round(_IDLE_ROUND_S)
        # what the core has not begun when it is shut down is lost
        until = time.monotonic() + _LAST_ROUNDS_S
        while self._round(_LAST_ROUND_S) and time.monotonic() < until:
            pass
        self._core.shut_down()
        while self._core.open:
            self._round(_IDLE_ROUND_S)

    def _round(self, wait_s: float) -> int:
        """Take what is there and answer it; gives 0 if there was nothing."""
        taken = self._core.take(_TAKE_AT_MOST, wait_s)
        if self._waiting:
            for method, calls in self._admit().items():
                self._desks[method].answer(calls)
        return taken

    def _begin(self, event: Completion) -> None:
        path: bytes = event.call_details.method
        method = self._methods.get(path)
        if method is not None:
            Call(event, method, self._waiting.append)
        elif self._side.has(path):
            self._side.begin(path, event.call)
        else:
            turn_away(event.call, NO_METHOD)

    def _admit(self) -> Mapping[int, Sequence[Call]]:
        """Give the calls to answer by method; refuse those that are too many, drop those that were ended."""
        waiting = [call for call in self._waiting if call.open]
        self._waiting.clear()
        admitted: dict[int, list[Call]] = {}
        for call in waiting[: self._max_calls]:
            admitted.setdefault(call.method, []).append(call)
        for call in waiting[self._max_calls :]:
            self._metrics.turned_away("too_many")
            call.refuse(TOO_MANY)
        return admitted
