"""The judge as its generation sees it: started when the workers serve, started again when it dies, never waited for."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence

from index_store.bundle import Bundle
from server.process import SignalQueue, describe_exit, name_process
from server.reports import Report, ReportReader, send
from server.settings import Settings

_AGAIN_AFTER_S = 10.0
_LOG = logging.getLogger(__name__)


class JudgeSeat:
    """Place of the judge of one generation. `samples` is what workers send to; None if there is to be no judge."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pid = 0
        self._reader: ReportReader | None = None
        self._started_s = -_AGAIN_AFTER_S
        self.samples: socket.socket | None = None

    def open(self) -> None:
        """Make what workers send to, before any is forked."""
        if self._settings.recall_samples_per_s:
            self.samples, self._received = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def keep(self, bundle: Bundle, signals: SignalQueue, leave_to_parent: Callable[[], None]) -> Sequence[Report]:
        """Start it if it does not run, and give what it has reported; called again and again."""
        if self.samples is None:
            return ()
        reports = self._reader.read()[0] if self._reader else ()
        self._reap()
        if not self._pid and time.monotonic() - self._started_s >= _AGAIN_AFTER_S:
            self._start(bundle, signals, leave_to_parent)
        return reports

    def end(self) -> None:
        """Tell it to end. It is not waited for: it has the processor only when nobody else wants it, also for that."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)

    def _start(self, bundle: Bundle, signals: SignalQueue, leave_to_parent: Callable[[], None]) -> None:
        descriptor, child_end = os.pipe()
        parent = os.getpid()

        def child() -> int:
            name_process("judge")
            leave_to_parent()
            os.close(descriptor)
            # its encoders must not be opened before the fork
            from server.judge import Judge  # noqa: PLC0415

            Judge(bundle, self._settings, self._received, parent, lambda report: send(child_end, report)).run()
            return 1

        self._started_s = time.monotonic()
        self._pid = signals.fork(child)
        os.close(child_end)
        self._reader = ReportReader(descriptor)

    def _reap(self) -> None:
        if self._pid:
            done, raw_status = os.waitpid(self._pid, os.WNOHANG)
            if done:
                status = describe_exit(os.waitstatus_to_exitcode(raw_status))
                _LOG.warning("the judge (pid %d) ended: %s; live recall stands still meanwhile", self._pid, status)
                self._forget()

    def _forget(self) -> None:
        self._pid = 0
        if self._reader is not None:
            self._reader.close()
            self._reader = None
