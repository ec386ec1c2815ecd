"""The native transport as a process sees it: bind, answer, stop listening, drain.

    event loop (main thread):  signals, health, reflection
    tokio thread, no GIL:      connections, HTTP/2, framing, deadlines
    thread "calls":            decode → call → encode

The event loop sleeps while calls are answered, so the GIL does not change hands.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from pygrpc_native import NativeGrpcFront

from server.metrics import SERVICE
from server.native.loop import CallLoop
from server.native.served import show_served
from server.native.side import SideServer
from server.observe import Observer
from server.process import stop_listening
from server.settings import Settings
from server.transport import Served

# HTTP/2 for one thread's worth of answers; a second thread only costs more hand-overs per call
_IO_THREADS = 1
# what waiting calls get even if a reflection stream took all of the grace
_LAST_CALLS_S = 0.5


class NativeEdge:
    """A `Transport` on pygrpc-native. One per process, after the fork."""

    def __init__(self, settings: Settings, served: Sequence[Served[Any, Any]], observer: Observer) -> None:
        self._settings = settings
        self._served = served
        self._observer = observer

    async def start(self, address: str, *, serving: bool) -> None:
        """Bind `address` beside the other processes and answer; RuntimeError if it cannot be bound."""
        self._address = address
        self._side = SideServer(self._settings, serving=serving)
        socket_path = await self._side.start()
        front = self._bind(address)
        front.set_fallback(socket_path)
        self._observer.before_publishing(lambda: show_served(front, self._observer.metrics))
        self._calls = CallLoop(front, self._settings, self._served, self._observer)
        front.start()
        self._calls.start()

    def _bind(self, address: str) -> NativeGrpcFront:
        try:
            return NativeGrpcFront(
                address,
                [(f"/{SERVICE}/{one.name}", False) for one in self._served],
                io_threads=_IO_THREADS,
                call_details=True,
                max_concurrent_streams=self._settings.max_concurrent_rpcs,
                reuse_port=True,
                metrics=True,
            )
        except OSError as error:
            message = f"cannot bind {address}: {error}"
            raise RuntimeError(message) from error

    def announce_end(self) -> None:
        """Say NOT_SERVING from now on, to checks and to watches, while calls are still answered."""
        self._side.say_not_serving()

    def stop_listening(self) -> None:
        """Leave new connections to the other processes on the port; those that exist go on."""
        stop_listening(self._address)

    async def stop(self, grace_s: float) -> None:
        """Accept nothing new, give calls in flight `grace_s` seconds, then tell clients to connect again.

        The front tells them only when it closes (GOAWAY with the last call it took), so it closes as soon as no call
        is open; one that is on its way then was not begun, and its client sends it again.
        """
        deadline = time.monotonic() + grace_s
        self.stop_listening()
        await self._side.stop(grace_s)
        left_s = max(_LAST_CALLS_S, deadline - time.monotonic())
        await asyncio.to_thread(self._calls.end, left_s)
