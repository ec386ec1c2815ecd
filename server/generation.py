"""The processes that serve one bundle, seen from their parent: loads the bundle once, forks workers, keeps them alive.

    master → generation (this) → worker 0 … worker N-1

    load → fork the workers → ready → (replace the dead) … → stop the workers

It never answers a call, imports gRPC or opens an encoder: what a fork would break is made in the workers.
"""

import gc
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from index_store.bundle import Bundle, load_bundle
from index_store.errors import BundleError
from server import exit_codes
from server.board import Board
from server.inventory import indices_of
from server.judge_seat import JudgeSeat
from server.log import set_up_logging
from server.plan import GenerationPlan, decode_plan
from server.process import HURRY, SignalQueue, describe_exit, die_with_parent, name_process
from server.reports import (
    CountryReport,
    Failed,
    IndexReport,
    Ready,
    Refused,
    Report,
    ReportReader,
    WorkerLost,
    Workers,
    send,
)
from server.worker_metrics import WorkerMetrics

_LOG = logging.getLogger(__name__)
_MAX_BOOT_FAILURES = 3
_TICK_S = 1.0
_STOP_MARGIN_S = 5.0


@dataclass
class _WorkerSeat:
    """Place `index` of a generation and the process that has it now. `fault` is why that is about to end."""

    index: int
    pid: int
    reader: ReportReader
    started_s: float
    ready: bool = False
    fault: str = ""


class Generation:
    """Supervises the workers of one bundle."""

    def __init__(self, plan: GenerationPlan) -> None:
        self._plan = plan
        self._signals = SignalQueue(signal.SIGTERM, signal.SIGUSR2, HURRY, signal.SIGCHLD)
        self._selector = selectors.DefaultSelector()
        self._seats: dict[int, _WorkerSeat] = {}
        self._pid = os.getpid()
        self._board = Board(plan.board, plan.slots)
        self._places: Mapping[str, int] = {}
        self._judge = JudgeSeat(plan.settings)
        self._announced = False
        self._boot_failures = 0
        self._end: signal.Signals | None = None
        self._hurried = False
        self._exit_code: int | None = None

    def run(self) -> int:
        """Live until told to end; returns the exit code."""
        die_with_parent(self._plan.parent)
        bundle = self._load()
        if bundle is None:
            return exit_codes.BUNDLE_REFUSED
        self._places = self._board.add_countries(sorted(bundle.countries))
        # only now: while it loads, a signal may simply end the process
        self._signals.install()
        self._selector.register(self._signals.descriptor, selectors.EVENT_READ)
        self._judge.open()
        for index in range(self._plan.settings.worker_count):
            self._fork(bundle, index)
        while self._end is None and self._exit_code is None:
            self._selector.select(_TICK_S)
            self._handle_signals()
            self._read_reports(bundle)
            self._check_boot_timeout()
            self._reap(bundle)
            self._keep_judge(bundle)
        self._stop_workers()
        return self._exit_code if self._exit_code is not None else exit_codes.OK

    def _load(self) -> Bundle | None:
        _LOG.info("loading %s", self._plan.path)
        try:
            bundle = load_bundle(self._plan.path)
        except BundleError as error:
            self._report(Refused(str(error)))
            return None
        except Exception as error:  # whatever it is, this bundle cannot be served and the operator must hear of it
            _LOG.exception("cannot load %s", self._plan.path)
            self._report(Refused(f"cannot be loaded: {type(error).__name__}: {error}"))
            return None
        _LOG.info("loaded bundle %s/%s in %d ms", bundle.name, bundle.version, bundle.load_ms)
        # the collector writes to what it scans; frozen, the loaded objects stay shared with the workers
        gc.collect()
        gc.freeze()
        return bundle

    def _fork(self, bundle: Bundle, index: int) -> None:
        descriptor, child_end = os.pipe()

        def child() -> int:
            name_process(f"worker-{index}")
            self._leave_to_parent()
            os.close(descriptor)
            return self._run_worker(bundle, index, child_end)

        pid = self._signals.fork(child)
        os.close(child_end)
        reader = ReportReader(descriptor)
        self._seats[pid] = _WorkerSeat(index, pid, reader, time.monotonic())
        self._selector.register(reader.descriptor, selectors.EVENT_READ)

    def _run_worker(self, bundle: Bundle, index: int, reports: int) -> int:
        # grpc must not be imported before the fork (doc/fork_support.md of grpc)
        from server.worker import Worker  # noqa: PLC0415

        Worker(
            bundle=bundle,
            settings=self._plan.settings,
            address=self._plan.address,
            index=index,
            parent=self._pid,
            metrics=WorkerMetrics(self._board.slot(self._plan.first_slot + index), self._places),
            samples=self._judge.samples,
            report=lambda report: send(reports, report),
        ).run()
        return exit_codes.FAILED

    def _keep_judge(self, bundle: Bundle) -> None:
        """Once the workers serve, since its start would only hold them up."""
        if self._announced:
            for report in self._judge.keep(bundle, self._signals, self._leave_to_parent):
                self._report(report)

    def _leave_to_parent(self) -> None:
        """Close, in a forked process, the ends of pipes that belong to the generation."""
        self._selector.close()
        os.close(self._plan.reports)
        for seat in self._seats.values():
            seat.reader.close()

    def _handle_signals(self) -> None:
        for number in self._signals.take():
            if number in (signal.SIGTERM, signal.SIGUSR2) and self._end is None:
                self._end = number
            self._hurried |= number == HURRY

    def _read_reports(self, bundle: Bundle) -> None:
        for seat in self._seats.values():
            reports, closed = seat.reader.read()
            if closed and seat.reader.descriptor in self._selector.get_map():
                self._selector.unregister(seat.reader.descriptor)
            for report in reports:
                self._handle_report(seat, report, bundle)

    def _handle_report(self, seat: _WorkerSeat, report: Report, bundle: Bundle) -> None:
        if isinstance(report, Ready):
            seat.ready = True
            self._boot_failures = 0
            self._report_workers()
            if not self._announced and self._ready_count() == self._plan.settings.worker_count:
                self._announced = True
                self._report(_ready(bundle))
        elif isinstance(report, Refused):
            self._report(report)
            self._exit_code = exit_codes.BUNDLE_REFUSED
        elif isinstance(report, Failed):
            seat.fault = report.message

    def _check_boot_timeout(self) -> None:
        """End a worker that hangs before it serves; the master watches over the first ones only as a whole."""
        limit_s = self._plan.settings.start_timeout_s
        for seat in self._seats.values():
            if not seat.ready and time.monotonic() - seat.started_s >= limit_s:
                seat.fault = f"not ready within start_timeout_s = {limit_s:g} s"
                os.kill(seat.pid, signal.SIGKILL)

    def _reap(self, bundle: Bundle) -> None:
        """Collect dead workers and put new ones in their seats."""
        for pid in list(self._seats):
            done, raw_status = os.waitpid(pid, os.WNOHANG)
            if done:
                self._handle_exit(bundle, self._seats[pid], os.waitstatus_to_exitcode(raw_status))

    def _handle_exit(self, bundle: Bundle, seat: _WorkerSeat, status: int) -> None:
        # a worker's last words may have come after the reports were read
        for report in seat.reader.read()[0]:
            self._handle_report(seat, report, bundle)
        self._forget(seat)
        if self._exit_code is not None:
            return
        reason = describe_exit(status) + (f": {seat.fault}" if seat.fault else "")
        _LOG.warning("worker %d (pid %d) ended: %s", seat.index, seat.pid, reason)
        if not seat.ready:
            self._boot_failures += 1
            if self._boot_failures > _MAX_BOOT_FAILURES:
                self._report(Failed(f"workers ended before they served, {self._boot_failures} in a row: {reason}"))
                self._exit_code = exit_codes.WORKER_BOOT
                return
        self._report_workers()
        self._report(WorkerLost(seat.index, seat.pid, reason))
        self._fork(bundle, seat.index)

    def _forget(self, seat: _WorkerSeat) -> None:
        if seat.reader.descriptor in self._selector.get_map():
            self._selector.unregister(seat.reader.descriptor)
        seat.reader.close()
        del self._seats[seat.pid]

    def _stop_workers(self) -> None:
        """Pass the signal on and wait; a worker has its own watchdog, SIGKILL is for one without a loop.

        `HURRY` means that nobody wants to wait.
        """
        self._judge.end()
        for pid in self._seats:
            os.kill(pid, self._end or signal.SIGTERM)
        settings = self._plan.settings
        deadline = time.monotonic() + settings.drain_delay_s + settings.grace_s + _STOP_MARGIN_S
        while self._seats:
            self._selector.select(max(0.0, min(_TICK_S, deadline - time.monotonic())))
            self._handle_signals()
            if self._hurried or time.monotonic() > deadline:
                for pid in self._seats:
                    os.kill(pid, signal.SIGKILL)
            self._collect_stopped()

    def _collect_stopped(self) -> None:
        for pid in list(self._seats):
            done, raw_status = os.waitpid(pid, os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(raw_status)
                if status not in (exit_codes.OK, -signal.SIGTERM, -signal.SIGUSR2):
                    _LOG.warning("worker pid %d ended while draining: %s", pid, describe_exit(status))
                self._forget(self._seats[pid])

    def _ready_count(self) -> int:
        return sum(seat.ready for seat in self._seats.values())

    def _report_workers(self) -> None:
        self._report(Workers(self._ready_count()))

    def _report(self, report: Report) -> None:
        send(self._plan.reports, report)


def _ready(bundle: Bundle) -> Ready:
    countries = tuple(_country_report(bundle, code) for code in sorted(bundle.countries))
    return Ready(
        bundle.name, bundle.version, bundle.format_version, bundle.load_ms, countries, created_ms=bundle.created_ms
    )


def _country_report(bundle: Bundle, code: str) -> CountryReport:
    indices = tuple(
        IndexReport(
            facts.source,
            facts.type,
            facts.engine,
            facts.recall,
            facts.recall_k,
            facts.recall_target,
            facts.space,
            facts.ef,
        )
        for facts in indices_of(bundle.manifest, code)
    )
    return CountryReport(code, bundle.countries[code].catalog.size, indices)


def main() -> None:
    """Run the generation that the command line describes."""
    plan = decode_plan(sys.argv[1], GenerationPlan)
    set_up_logging("generation", plan.settings.log_level, plan.settings.log_format)
    sys.exit(Generation(plan).run())


if __name__ == "__main__":
    main()
