"""`python -m loadtest.floor_server TRANSPORT ADDRESS`: a transport of the server's with an RPC that does nothing.

What a call costs here is the transport's floor: HTTP/2, gRPC's framing, deadline, counters, and the bytes of a request
and a reply, which are of the size that the request asks for. Ends with SIGTERM.
"""

import asyncio
import signal
import sys

from server.board import Board
from server.loop import run_and_exit
from server.observe import Observer
from server.settings import Settings
from server.transport import Kind, Served, choose, open_transport
from server.worker_metrics import WorkerMetrics


class NoOp:
    """Replies with the bytes it was made with, whatever is asked."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply

    def decode(self, raw: bytes) -> None:
        """Look at nothing."""

    def call(self, request: None) -> None:
        """Do nothing."""

    def encode(self, request: None, answer: None) -> bytes:  # noqa: ARG002 - an RPC's three steps
        """Give the same bytes."""
        return self._reply


async def live(kind: Kind, address: str, reply_bytes: int) -> int:
    """Answer until told to end."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    observer = Observer(WorkerMetrics(Board.create(1).slot(0)))
    transport = open_transport(kind, Settings(), [Served("Retrieve", NoOp(bytes(reply_bytes)))], observer)
    await transport.start(address, serving=True)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    publishing = asyncio.create_task(observer.run())
    await ended.wait()
    publishing.cancel()
    await transport.stop(0.5)
    return 0


if __name__ == "__main__":
    run_and_exit(live(choose(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
