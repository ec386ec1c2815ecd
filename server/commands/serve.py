"""`shortlist serve`: run the master until it ends."""

import logging
import os
from importlib.util import find_spec

from server.exit_codes import FAILED, PORT_TAKEN
from server.log import set_up_logging
from server.master import Master
from server.process import PortTakenError, pin_math_threads, use_huge_pages
from server.settings import Settings

_LOG = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Serve the bundle of `settings` until SIGTERM; returns an exit code of `server.exit_codes`."""
    set_up_logging("master", settings.log_level, settings.log_format)
    pin_math_threads(os.environ)
    use_huge_pages(os.environ)
    if settings.tracing_endpoint and not find_spec("opentelemetry"):
        _LOG.error("tracing.endpoint needs the extra: pip install 'shortlist[tracing]'")
        return FAILED
    try:
        return Master(settings).run()
    except PortTakenError as error:
        _LOG.error("%s", error)
        return PORT_TAKEN
    except Exception:  # a server cannot be run again to see the traceback; its children end with it
        _LOG.exception("a bug of ours")
        return FAILED
