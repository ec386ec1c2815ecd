"""The end of a process that answers calls: what asks for it, and how it goes without losing calls in flight."""

import asyncio
import signal
from enum import Enum

from server.settings import Settings
from server.transport import Transport

# beyond what the settings allow: a process that is still there then does not end by itself
_WATCHDOG_MARGIN_S = 3.0
# until every retiring process on the port has stopped listening, and connections on their way have arrived
_LISTENERS_GO_S = 0.25


class End(Enum):
    """Why a process ends. STOP: the server goes away. RETIRE: other processes have taken over on the same port."""

    STOP = signal.SIGTERM
    RETIRE = signal.SIGUSR2


class EndSignals:
    """Records which end was asked for first; needs a running event loop."""

    def __init__(self) -> None:
        self._asked: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def install(self) -> None:
        """Begin to record."""
        loop = asyncio.get_running_loop()
        for end in End:
            loop.add_signal_handler(end.value, self._record, end)

    async def wait(self) -> End:
        """Wait for the first."""
        return await self._asked

    def _record(self, end: End) -> None:
        if not self._asked.done():
            self._asked.set_result(end)


async def drain(edge: Transport, settings: Settings, end: End) -> None:
    """Let calls in flight end; after a STOP, first say NOT_SERVING and go on serving for `drain_delay_s`.

    After a RETIRE the service as a whole is healthy, so nothing is announced: clients are told to connect again and
    find the new processes. A call that is sent before its client has heard of it is not begun; gRPC ends it with
    CANCELLED instead of UNAVAILABLE (grpc/grpc#41785), so clients should send both again. SIGALRM ends this process
    if the drain hangs (grpc/grpc#40989), even without the GIL.
    """
    delay_s = settings.drain_delay_s if end is End.STOP else _LISTENERS_GO_S
    signal.setitimer(signal.ITIMER_REAL, delay_s + settings.grace_s + _WATCHDOG_MARGIN_S)
    if end is End.STOP:
        edge.announce_end()
    else:
        edge.stop_listening()
    await asyncio.sleep(delay_s)
    await edge.stop(settings.grace_s)
