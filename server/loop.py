"""The one event loop of a process that answers calls: uvloop where it is installed.

gRPC wants exactly one loop per process (grpc/grpc#25364). It is never closed: closing it races with gRPC's own thread
in 1.75.0 (grpc/grpc#40989), so the process leaves by `os._exit` once its work is done.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn


def run_and_exit(main: Coroutine[Any, Any, int]) -> NoReturn:
    """Run `main` and end the process with the exit code it returns."""
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    code = loop.run_until_complete(main)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - optional, and only where calls are answered
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
