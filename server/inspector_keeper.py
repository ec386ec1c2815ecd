"""Keeps the inspector running, from the master's side: its socket, its process, and another one when it ends.

The master listens for it, so that the page is at one address whatever becomes of the process, and a browser that
asks while another one starts waits instead of being refused. Nothing here can end the server: without the packages of
the extra `inspector`, without a free port, or after too many ends in a row there is no inspector, and one line that
says so.
"""

import importlib.util
import logging
import socket
import time
from collections import deque
from signal import SIGTERM

from server.child import Child, start_inspector
from server.process import address_of, describe_exit
from server.settings import Settings

_LOG = logging.getLogger(__name__)
_PACKAGES = ("starlette", "uvicorn")
_BACKLOG = 64
_MAX_RESTARTS = 5
_RESTART_WINDOW_S = 60.0


class InspectorKeeper:
    """The inspector of one master, or none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listener: socket.socket | None = None
        self._child: Child | None = None
        self._address = ""
        self._metrics_url = ""
        self._ends: deque[float] = deque(maxlen=_MAX_RESTARTS + 1)

    def open(self, address: str, metrics_url: str) -> None:
        """Start it, if it is wanted and can be; `address` is the server's, `metrics_url` "off" where there is none."""
        settings = self._settings
        if settings.inspector_port < 0:
            return
        if any(importlib.util.find_spec(name) is None for name in _PACKAGES):
            _LOG.info("the inspector is not installed; its packages are the extra: pip install 'shortlist[inspector]'")
            return
        try:
            self._listener = _listen(settings.inspector_host, settings.inspector_port)
        except (OSError, ValueError) as error:  # ValueError: no name for the resolver
            where = address_of(settings.inspector_host, settings.inspector_port)
            reason = getattr(error, "strerror", None) or error
            _LOG.warning("no inspector: cannot listen on %s: %s; set inspector.port", where, reason)
            return
        self._address, self._metrics_url = address, metrics_url if metrics_url != "off" else ""
        _LOG.info("inspector http://%s/", address_of(*self._listener.getsockname()[:2]))
        self._start()

    def keep(self) -> None:
        """Start another one if it has ended, unless that has been tried too often lately."""
        if self._listener is None or self._child is None:
            return
        status = self._child.exit_status()
        if status is None:
            return
        now = time.monotonic()
        self._ends.append(now)
        if len(self._ends) > _MAX_RESTARTS and now - self._ends[0] < _RESTART_WINDOW_S:
            _LOG.error("gave up the inspector: it ended %d times within %d s", len(self._ends), _RESTART_WINDOW_S)
            self._close()
            return
        _LOG.warning("the inspector ended: %s; starting it again", describe_exit(status))
        self._start()

    def end(self) -> list[Child]:
        """Tell it to end; gives what to wait for."""
        child = self._child
        self._close()
        if child is None:
            return []
        child.end(SIGTERM)
        return [child]

    def _start(self) -> None:
        if self._listener is None:
            return
        try:
            self._child = start_inspector(self._settings, self._address, self._listener, self._metrics_url)
        except OSError as error:  # no memory or no process to be had: worse for the workers than for a page
            _LOG.error("no inspector: %s", error)
            self._close()

    def _close(self) -> None:
        self._child = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
