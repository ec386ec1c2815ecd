"""What a call costs that does nothing: the transport's floor, measured like every other server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from loadtest.drive import Target
from loadtest.rig import Plan, capacity, summary
from loadtest.scenario import METHOD
from server.process import address_of, reserve_port

_REQUEST = bytes(400)
_REPLY_BYTES = 1_700
"""As long as a request with 20 interactions, and a reply with 100 candidates."""


@contextmanager
def floor_server(transport: str) -> Iterator[Target]:
    """Run one `loadtest.floor_server` per core on a port of their own."""
    with reserve_port("127.0.0.1", 0) as reserved:
        address = address_of("127.0.0.1", reserved.getsockname()[1])
        command = [sys.executable, "-m", "loadtest.floor_server", transport, address, str(_REPLY_BYTES)]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(os.cpu_count() or 1)]  # noqa: S603 - our own server
        try:
            for process in processes:
                if process.stdout is None or not process.stdout.readline():
                    message = f"the floor server over {transport} did not start"
                    raise RuntimeError(message)
            yield Target(address, METHOD, [_REQUEST], [process.pid for process in processes])
        finally:
            for process in processes:
                process.terminate()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()


def floor(transport: str, plan: Plan) -> dict[str, Any]:
    """Sum up a closed loop against the no-op."""
    with floor_server(transport) as target:
        return summary(capacity(target, plan))
