"""The first process: signals, supervision, metrics. Never imports grpc, numpy, onnxruntime or an index.

master (this) ─┬─ lobby: holds the port while nothing is served
├─ generation ── workers      during a reload there are two generations
└─ inspector: a web page for people

open the port → lobby + first generation → watch (reload, restart) … → stop the children
"""

import logging
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from index_store.errors import BundleError
from index_store.location import current_bundle
from server import exit_codes
from server.board import Board
from server.child import Child, start_generation, start_lobby
from server.collector import BoardCollector
from server.exporter import Exporter
from server.inspector_keeper import InspectorKeeper
from server.master_metrics import MasterMetrics
from server.process import HURRY, SignalQueue, address_of, describe_exit, reserve_port
from server.reports import Failed, Judged, Ready, Refused, Report, WorkerLost, Workers
from server.settings import Settings, SettingsError, reread_profiles
from server.supervised import Purpose, Supervised

_LOG = logging.getLogger(__name__)
_TICK_S = 1.0
_STOP_MARGIN_S = 10.0
_MAX_RESTARTS = 3
_RESTART_WINDOW_S = 60.0


class Master:
    """Keeps one generation serving until told to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signals = SignalQueue(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        self._selector = selectors.DefaultSelector()
        self._board = Board.create(2 * settings.worker_count)
        self._half = 0
        self._metrics = MasterMetrics()
        self._metrics_url = "off"
        self._address = ""
        self._inspector = InspectorKeeper(settings)
        self._reserved: socket.socket | None = None
        self._lobby: Child | None = None
        self._serving: Supervised | None = None
        self._starting: Supervised | None = None
        self._retiring: Supervised | None = None
        self._last_path = Path()
        self._restarts: deque[float] = deque(maxlen=_MAX_RESTARTS + 1)
        self._reload_wanted = False
        self._exit_code: int | None = None

    def run(self) -> int:
        """Live until told to stop or unable to serve; returns the exit code. `PortTakenError` if it cannot listen."""
        self._open()
        self._start_first()
        while self._exit_code is None:
            self._selector.select(_TICK_S)
            self._handle_signals()
            self._read_reports()
            self._reap()
            self._check_start_timeout()
            self._begin_reload()
            self._inspector.keep()
        self._stop_children()
        return self._exit_code

    def _open(self) -> None:
        settings = self._settings
        self._reserved = reserve_port(settings.host, settings.port)
        self._address = address_of(*self._reserved.getsockname()[:2])
        if settings.metrics_port >= 0:
            registry = CollectorRegistry()
            registry.register(BoardCollector(self._board, self._metrics))
            self._metrics_url = Exporter(registry, settings.metrics_host, settings.metrics_port).start()
        self._signals.install()
        self._selector.register(self._signals.descriptor, selectors.EVENT_READ)
        _LOG.info("listening on %s, metrics %s", self._address, self._metrics_url)

    def _start_first(self) -> None:
        try:
            path = current_bundle(self._settings.bundle_root, self._settings.bundle_name)
        except BundleError as error:
            _LOG.error("no bundle to serve: %s", error)
            self._exit_code = exit_codes.BUNDLE_REFUSED
            return
        self._lobby = start_lobby(self._settings, self._address)
        self._start_generation(path, self._settings, Purpose.START)
        self._inspector.open(self._address, self._metrics_url)

    def _start_generation(self, path: Path, settings: Settings, purpose: Purpose) -> None:
        self._half = 1 - self._half
        first_slot = self._half * settings.worker_count
        child = start_generation(settings, self._address, path, self._board, first_slot)
        self._starting = Supervised(child, path, settings, purpose)
        self._selector.register(child.report_descriptor, selectors.EVENT_READ)

    def _handle_signals(self) -> None:
        for number in self._signals.take():
            if number in (signal.SIGTERM, signal.SIGINT):
                _LOG.info("stopping on %s", number.name)
                self._exit_code = exit_codes.OK
            elif number == signal.SIGHUP:
                self._reload_wanted = True

    def _generations(self) -> Iterator[Supervised]:
        return (one for one in (self._starting, self._serving, self._retiring) if one is not None)

    def _read_reports(self) -> None:
        for generation in list(self._generations()):
            for report in generation.child.reports():
                self._handle_report(generation, report)

    def _handle_report(self, generation: Supervised, report: Report) -> None:
        if isinstance(report, Ready):
            generation.ready = report
            self._take_over(generation, report)
        elif isinstance(report, Refused | Failed):
            generation.fault = report
        elif isinstance(report, Workers):
            generation.workers = report.ready
            if generation is self._serving:
                self._metrics.workers = report.ready
        elif isinstance(report, Judged):
            generation.live_recall.hear(report)
            self._metrics.judged += not report.failed
            self._metrics.judge_failed += report.failed
        elif isinstance(report, WorkerLost) and generation is self._serving:
            # one that is only starting has replaced nobody yet
            self._metrics.worker_restarts += 1

    def _take_over(self, generation: Supervised, ready: Ready) -> None:
        """Let a generation that answers calls replace whatever answered before."""
        previous, self._serving, self._starting = self._serving, generation, None
        self._last_path, self._settings = generation.path, generation.settings
        if previous is not None:
            self._retiring = previous
            previous.child.end(signal.SIGUSR2)
        if self._lobby is not None:
            self._lobby.end(signal.SIGUSR2)
        self._metrics.serving, self._metrics.serving_since_s = ready, time.time()
        self._metrics.workers, self._metrics.live_recall = generation.workers, generation.live_recall
        if generation.purpose is Purpose.RELOAD:
            self._metrics.reloads["ok"] += 1
        items = sum(country.items for country in ready.countries)
        _LOG.info(
            "serving on %s: bundle %s/%s (%s), %d countries, %d items, %d workers, metrics %s",
            self._address,
            ready.name,
            ready.version,
            generation.purpose.value,
            len(ready.countries),
            items,
            generation.workers,
            self._metrics_url,
        )

    def _reap(self) -> None:
        """Notice children that have ended, after their last words are read."""
        for generation in list(self._generations()):
            status = generation.child.exit_status()
            if status is None:
                continue
            for report in generation.child.reports():
                self._handle_report(generation, report)
            self._selector.unregister(generation.child.report_descriptor)
            generation.child.close()
            self._handle_end(generation, status)
        if self._lobby is not None and self._lobby.exit_status() is not None:
            self._lobby = None

    def _handle_end(self, generation: Supervised, status: int) -> None:
        if generation is self._retiring:
            self._retiring = None
            _LOG.info("the generation of %s has drained (%s)", generation.path, describe_exit(status))
        elif generation is self._serving:
            self._serving = None
            self._metrics.workers = 0
            self._handle_lost(generation, generation.reason(status))
        else:
            self._starting = None
            self._handle_failed_start(generation, status)

    def _handle_failed_start(self, generation: Supervised, status: int) -> None:
        reason = generation.reason(status)
        what = "refused" if generation.refused else "failed"
        if generation.purpose is not Purpose.RELOAD:
            _LOG.error("bundle %s %s: %s", generation.path, what, reason)
            self._exit_code = generation.start_exit_code
            return
        self._metrics.reloads[what] += 1
        _LOG.error("reload %s, still serving %s: bundle %s: %s", what, self._last_path, generation.path, reason)
        if self._serving is None:
            self._restart()

    def _handle_lost(self, generation: Supervised, reason: str) -> None:
        _LOG.error("the generation of %s ended: %s", generation.path, reason)
        self._lobby = self._lobby or start_lobby(self._settings, self._address)
        if self._starting is None:
            self._restart()

    def _restart(self) -> None:
        """Serve the last good bundle again, unless that has been tried too often lately."""
        now = time.monotonic()
        self._restarts.append(now)
        if len(self._restarts) > _MAX_RESTARTS and now - self._restarts[0] < _RESTART_WINDOW_S:
            _LOG.error("gave up: %d generations ended within %d s", len(self._restarts), _RESTART_WINDOW_S)
            self._exit_code = exit_codes.FAILED
            return
        self._start_generation(self._last_path, self._settings, Purpose.RESTART)

    def _check_start_timeout(self) -> None:
        generation = self._starting
        if generation is None or time.monotonic() - generation.child.started_s < self._settings.start_timeout_s:
            return
        generation.timed_out = True
        generation.fault = Failed(f"not ready within start_timeout_s = {self._settings.start_timeout_s:g} s")
        generation.child.end(signal.SIGKILL)

    def _begin_reload(self) -> None:
        """Start what CURRENT and the settings file name now beside what is being served; one hand-over at a time."""
        busy = self._starting is not None or self._retiring is not None or self._serving is None
        if not self._reload_wanted or busy or self._exit_code is not None:
            return
        self._reload_wanted = False
        try:
            settings = reread_profiles(self._settings)
            path = current_bundle(settings.bundle_root, settings.bundle_name)
        except (SettingsError, BundleError) as error:
            self._metrics.reloads["refused"] += 1
            _LOG.error("reload refused, still serving %s: %s", self._last_path, error)
            return
        same_profiles = settings == self._settings
        if path == self._last_path and same_profiles:
            self._metrics.reloads["unchanged"] += 1
            _LOG.info("reload: %s is already served", path)
            return
        _LOG.info("reload: starting %s%s", path, "" if same_profiles else " with other profiles")
        self._start_generation(path, settings, Purpose.RELOAD)

    def _stop_children(self) -> None:
        """Let everything drain at once; a second signal or the deadline ends it the hard way."""
        children = [generation.child for generation in self._generations()]
        for child in children:
            child.end(signal.SIGTERM)
        if self._lobby is not None:
            # it has said NOT_SERVING all along, so there is nothing to announce
            self._lobby.end(signal.SIGUSR2)
            children.append(self._lobby)
        children += self._inspector.end()
        settings = self._settings
        deadline = time.monotonic() + settings.drain_delay_s + settings.grace_s + _STOP_MARGIN_S
        while any(child.exit_status() is None for child in children):
            self._selector.select(0.2)
            for child in children:
                child.reports()
                if time.monotonic() > deadline:
                    child.end(signal.SIGKILL)
            for number in self._signals.take():
                if number in (signal.SIGTERM, signal.SIGINT):
                    for child in children:
                        child.end(HURRY)
        _LOG.info("stopped")
