"""A server of gRPC's C-core and its completion queue: the only place that speaks `cygrpc`.

`cygrpc` is the Cython layer that `grpc.server` and `grpc.aio` are written on. It is not public, one more reason
to pin grpcio; `tests/transport/` holds what is built on it here to what gRPC is. grpc.aio has each of the four
completions of a call come from a thread of its own through a socket into a future and two tasks, which is most of what
a call costs there (docs/performance-hot-path.md). Here a completion is handed to the function that was given for it,
on the thread that takes it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from grpc._cython import cygrpc  # type: ignore[attr-defined] # it has no types

from server.errors import Refusal

Completion: TypeAlias = Any
"""What `cygrpc` tells of something that is complete; it has no types."""
Completed: TypeAlias = Callable[[Completion], object]
CoreCall: TypeAlias = Any
"""A `cygrpc.Call`. All of its operations may be started by any thread."""

_NO_FLAGS = 0
_OK = 0
_AT_ONCE = 0
# as many calls are begun by the core, before it is asked for more
_BEGUN = 128
# a look reads one connection at most, and what it reads need not be a call: how many in a row have to find nothing
_LOOKS = 4


class Core:
    """One server on one port. `begin` is given the completion of every new call, see there for what it has.

    One thread calls `take` and `shut_down`; `cancel_all` is for another.
    """

    def __init__(self, options: Sequence[tuple[str, int]], begin: Completed) -> None:
        self._server = cygrpc.Server(tuple(options), False)  # noqa: FBT003 - nothing of xDS
        self._queue = cygrpc.CompletionQueue()
        self._server.register_completion_queue(self._queue)
        self._begin = begin
        self._accepting = True
        self.open = True

    def start(self, address: str) -> None:
        """Bind and listen; RuntimeError if that cannot be."""
        if not self._server.add_http2_port(address.encode()):
            message = f"cannot bind {address}"
            raise RuntimeError(message)
        self._server.start()
        for _ in range(_BEGUN):
            self._request()

    def take(self, most: int, wait_s: float) -> int:
        """Hand over what is complete, some `most` at most, and say how much that was; wait `wait_s` for the first.

        Connections are read in here and nowhere else.
        """
        poll, taken = self._queue.poll, 0
        event = poll(time.time() + wait_s)
        looks = 0
        while True:
            if event.tag is not None:
                event.tag(event)
                taken += 1
                looks = _LOOKS if taken < most else 0
            if not looks:
                return taken
            looks -= 1
            event = poll(_AT_ONCE)

    def shut_down(self) -> None:
        """Begin no more calls and tell clients to go; `open` is False once the last call has ended."""
        self._accepting = False
        self._server.shutdown(self._queue, self._closed)

    def cancel_all(self) -> None:
        """End all calls, after `shut_down`."""
        self._server.cancel_all_calls()

    def _request(self) -> None:
        self._server.request_call(self._queue, self._queue, self._new)

    def _new(self, event: Completion) -> None:
        if event.success:
            if self._accepting:
                self._request()
            self._begin(event)

    def _closed(self, _: Completion) -> None:
        self.open = False


def receive(call: CoreCall, done: Completed) -> None:
    """Wait for a message; `message_of` what `done` is given is None if there is none any more."""
    call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), done)


def message_of(event: Completion) -> bytes | None:
    """Give the message that was received."""
    message: bytes | None = event.batch_operations[0].message()
    return message


def receive_end(call: CoreCall, done: Completed) -> None:
    """Wait for the end of the call; `cancelled` what `done` is given."""
    call.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), done)


def cancelled(event: Completion) -> bool:
    """Whether a call ended before its status was sent: by its caller, its deadline, its connection or the core."""
    ended: bool = event.batch_operations[0].cancelled()
    return ended


def send_reply(call: CoreCall, message: bytes) -> None:
    """End a call with its only reply."""
    call.start_server_batch((_headers(), _message(message), _status()), _nothing)


def send_message(call: CoreCall, message: bytes, done: Completed, *, first: bool) -> None:
    """Send one of several."""
    operations = (_headers(), _message(message)) if first else (_message(message),)
    call.start_server_batch(operations, done)


def send_end(call: CoreCall, refusal: Refusal | None = None, *, first: bool = True) -> None:
    """End a call with a status, OK by default; `first` if no message was sent before."""
    status = _status(refusal)
    call.start_server_batch((_headers(), status) if first else (status,), _nothing)


def turn_away(call: CoreCall, refusal: Refusal) -> None:
    """End a call of which nothing is received."""
    end = cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)
    call.start_server_batch((_headers(), _status(refusal), end), _nothing)


def _headers() -> object:
    return cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)


def _message(message: bytes) -> object:
    return cygrpc.SendMessageOperation(message, _NO_FLAGS)


def _status(refusal: Refusal | None = None) -> object:
    if refusal is None:
        return cygrpc.SendStatusFromServerOperation(None, _OK, b"", _NO_FLAGS)
    code = refusal.code.value[0]
    return cygrpc.SendStatusFromServerOperation(refusal.trailers, code, refusal.text, _NO_FLAGS)


def _nothing(_: Completion) -> None:
    """Whatever became of it."""
