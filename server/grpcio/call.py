"""One unary call over grpcio, from its headers to its end."""

import time
from collections.abc import Callable

import grpc

from server.errors import Refusal
from server.grpcio.core import (
    Completion,
    CoreCall,
    cancelled,
    message_of,
    receive,
    receive_end,
    send_end,
    send_reply,
)
from server.request_id import Metadata

_NEVER_NS = 2**63
# the core gives calls without a deadline one at the end of time
_NEVER_S = 1e12
_NO_MESSAGE = Refusal(grpc.StatusCode.INTERNAL, "the request has no message, or half of one")


class Call:
    """A `server.desk.Call`, once `waits` was told; `open` is False when it has ended otherwise than by an answer."""

    __slots__ = ("_call", "_waits", "deadline_ns", "metadata", "method", "open", "raw", "taken_ns")

    def __init__(self, begun: Completion, method: int, waits: "Callable[[Call], None]") -> None:
        self._call: CoreCall = begun.call
        self._waits = waits
        self.method = method
        self.metadata: Metadata = begun.invocation_metadata
        self.deadline_ns = deadline_of(begun.call_details.deadline)
        self.open = True
        receive(self._call, self._received)
        receive_end(self._call, self._ended)

    def invocation_metadata(self) -> Metadata:
        """See `server.observe.Origin`."""
        return self.metadata

    def reply(self, message: bytes) -> None:
        """End it with OK."""
        send_reply(self._call, message)

    def refuse(self, refusal: Refusal) -> None:
        """End it without a reply."""
        send_end(self._call, refusal)

    def _received(self, event: Completion) -> None:
        raw = message_of(event)
        if raw is not None:
            self.raw = raw
            self.taken_ns = time.perf_counter_ns()
            self._waits(self)
        elif self.open:
            # where the core has refused the message itself, its status is sent already and this one is not
            self.refuse(_NO_MESSAGE)

    def _ended(self, event: Completion) -> None:
        if cancelled(event):
            self.open = False


def deadline_of(deadline_s: float) -> int:
    """Put a deadline of `time.time` on the clock of `time.perf_counter_ns`; far away if it is."""
    if deadline_s > _NEVER_S:
        return _NEVER_NS
    return time.perf_counter_ns() + int((deadline_s - time.time()) * 1e9)
