"""The thread that answers calls, of either transport."""

import logging
import os
import threading
from collections.abc import Callable

from server.exit_codes import FAILED

_LOG = logging.getLogger(__name__)


def answering_thread(run: Callable[[], None]) -> threading.Thread:
    """Make the thread that runs `run`; the process ends if that fails.

    A worker that takes calls and never answers is worse than none: its generation replaces it.
    """

    def run_or_exit() -> None:
        try:
            run()
        except BaseException:
            _LOG.exception("the thread that answers calls failed")
            logging.shutdown()
            os._exit(FAILED)

    return threading.Thread(target=run_or_exit, name="calls", daemon=True)
