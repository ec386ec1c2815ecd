"""A process the master started: its reports, and the ways to end it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from server.board import Board
from server.plan import GenerationPlan, InspectorPlan, LobbyPlan, Plan, encode_plan
from server.reports import Report, ReportReader
from server.settings import Settings


class Child:
    """One running child. `reader` is None where it reports nothing."""

    def __init__(self, process: "subprocess.Popen[bytes]", reader: ReportReader | None) -> None:
        self._process = process
        self._reader = reader
        self.started_s = time.monotonic()

    @property
    def report_descriptor(self) -> int:
        """What becomes readable with a report; -1 where there are none."""
        return self._reader.descriptor if self._reader else -1

    def exit_status(self) -> int | None:
        """Give the exit code, a negative signal number, or None while it runs."""
        return self._process.poll()

    def reports(self) -> Sequence[Report]:
        """Give what it has reported since the last call."""
        return self._reader.read()[0] if self._reader else ()

    def end(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended already is left alone."""
        if self.exit_status() is None:
            self._process.send_signal(number)

    def close(self) -> None:
        """Give its pipe back."""
        if self._reader:
            self._reader.close()


def start_lobby(settings: Settings, address: str) -> Child:
    """Start `server.lobby` on `address`."""
    return Child(_spawn("server.lobby", LobbyPlan(settings, os.getpid(), address), ()), None)


def start_inspector(settings: Settings, address: str, listener: socket.socket, metrics_url: str) -> Child:
    """Start `server.inspector` on the socket `listener`, which stays open here, too."""
    plan = InspectorPlan(settings, os.getpid(), address, listener.fileno(), metrics_url)
    return Child(_spawn("server.inspector", plan, (listener.fileno(),)), None)


def start_generation(settings: Settings, address: str, path: Path, board: Board, first_slot: int) -> Child:
    """Start `server.generation` for the bundle at `path`; its workers write metrics from `first_slot` on."""
    reader, writer = os.pipe()
    plan = GenerationPlan(
        settings=settings,
        parent=os.getpid(),
        address=address,
        path=path,
        reports=writer,
        board=board.descriptor,
        slots=board.slots,
        first_slot=first_slot,
    )
    process = _spawn("server.generation", plan, (writer, board.descriptor))
    os.close(writer)
    return Child(process, ReportReader(reader))


def _spawn(module: str, plan: Plan, descriptors: Sequence[int]) -> "subprocess.Popen[bytes]":
    # a group of its own, so that Ctrl-C reaches the master only and the master decides
    command = [sys.executable, "-m", module, encode_plan(plan)]
    return subprocess.Popen(  # noqa: S603 - this interpreter, one of our modules
        command, pass_fds=descriptors, stdin=subprocess.DEVNULL, process_group=0
    )
