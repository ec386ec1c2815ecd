"""The inspector's process: one event loop with uvicorn and a gRPC client in it, until SIGTERM."""

import signal
import socket

import uvicorn

from server.exit_codes import OK
from server.inspector.app import make_app
from server.loop import run_and_exit
from server.plan import InspectorPlan

_MOST_CONNECTIONS = 64
_KEEP_ALIVE_S = 15
_GRACE_S = 1


def run(plan: InspectorPlan) -> None:
    """Answer until told to end; ends the process."""
    run_and_exit(_live(plan))


async def _live(plan: InspectorPlan) -> int:
    config = uvicorn.Config(
        make_app(plan),
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    # uvicorn raises the signal that ended it once more when it is done: it has been heard already
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    await uvicorn.Server(config).serve(sockets=[socket.socket(fileno=plan.listener)])
    return OK
