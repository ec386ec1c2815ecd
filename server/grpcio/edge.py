"""The grpcio transport as a process sees it: bind, answer, stop listening, drain.

    event loop (main thread):  signals, health, reflection
    thread "calls":            connections and HTTP/2 by the core, decode → call → encode

The event loop sleeps while calls are answered, so the GIL does not change hands.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from server.edge import channel_options
from server.grpcio.loop import CallLoop
from server.grpcio.side import SideCalls
from server.observe import Observer
from server.process import stop_listening
from server.settings import Settings
from server.transport import Served


class GrpcioEdge:
    """A `Transport` on gRPC's C-core. One per process, after the fork."""

    def __init__(self, settings: Settings, served: Sequence[Served[Any, Any]], observer: Observer) -> None:
        self._settings = settings
        self._served = served
        self._observer = observer

    async def start(self, address: str, *, serving: bool) -> None:
        """Bind `address` beside the other processes and answer; RuntimeError if it cannot be bound."""
        settings = self._settings
        self._address = address
        self._side = SideCalls(settings.max_concurrent_rpcs, serving=serving)
        self._calls = CallLoop(channel_options(settings), settings, self._served, self._side, self._observer)
        self._calls.start(address)

    def announce_end(self) -> None:
        """Say NOT_SERVING from now on, to checks and to watches, while calls are still answered."""
        self._side.say_not_serving()

    def stop_listening(self) -> None:
        """Leave new connections to the other processes on the port; those that exist go on."""
        stop_listening(self._address)

    async def stop(self, grace_s: float) -> None:
        """Accept nothing new, tell clients to connect again, and give calls in flight `grace_s` seconds.

        Health watches would last for ever, so they are ended instead of waited for.
        """
        self.stop_listening()
        self._side.end_watches()
        await asyncio.to_thread(self._calls.end, grace_s)
