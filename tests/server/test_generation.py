"""A generation by itself: what it tells the master of workers that die, hang or cannot start, and of a bad bundle."""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from running_server import eventually

from server.board import Board
from server.child import start_generation
from server.generation import Generation, _WorkerSeat
from server.master import Master
from server.plan import GenerationPlan
from server.process import SignalQueue, describe_exit
from server.reports import Failed, Refused, Report, ReportReader, WorkerLost, Workers, send
from server.settings import Settings
from server.supervised import Purpose, Supervised


class _Alone:
    """A generation that nobody started, and what it reports."""

    def __init__(self, path: Path) -> None:
        descriptor, writer = os.pipe()
        self.reader = ReportReader(descriptor)
        board = Board.create(2)
        plan = GenerationPlan(Settings(start_timeout_s=1.0), os.getpid(), "", path, writer, board.descriptor, 2, 0)
        self.generation = Generation(plan)

    def reports(self) -> list[Report]:
        return self.reader.read()[0]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[_Alone]:
    """One whose bundle's directory is empty."""
    made = _Alone(tmp_path)
    yield made
    made.reader.close()
    os.close(made.generation._plan.reports)
    made.generation._selector.close()
    _close(made.generation._signals)


def _close(queue: SignalQueue) -> None:
    queue._reader.close()
    queue._writer.close()


def _die(path: Path) -> None:
    message = f"of {path.name}"
    raise ZeroDivisionError(message)


def test_any_fault_of_loading_is_a_refusal(
    alone: _Alone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that the format does not name is reported as a refusal, with its traceback in the log."""
    monkeypatch.setattr("server.generation.load_bundle", _die)
    with caplog.at_level(logging.ERROR):
        assert alone.generation._load() is None
    (refused,) = alone.reports()
    assert isinstance(refused, Refused)
    assert refused.message.startswith("cannot be loaded: ZeroDivisionError: of ")
    assert "Traceback" in caplog.text


def test_a_worker_that_hangs_while_booting_is_ended(alone: _Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over start_timeout_s it is killed and counted as a failed boot; one in time is left alone."""
    generation = alone.generation
    forked: list[int] = []
    monkeypatch.setattr(generation, "_fork", lambda _, index: forked.append(index))
    for index, started_s in enumerate((0.0, float("inf"))):
        descriptor, writer = os.pipe()
        pid = os.posix_spawnp("sleep", ["sleep", "600"], os.environ)
        os.close(writer)
        generation._seats[pid] = _WorkerSeat(index, pid, ReportReader(descriptor), started_s)
    hanging, booting = generation._seats

    def ended() -> bool:
        generation._check_boot_timeout()
        generation._reap(SimpleNamespace())  # type: ignore[arg-type] # only passed on
        return hanging not in generation._seats

    eventually(ended)
    reason = "killed by SIGKILL: not ready within start_timeout_s = 1 s"
    assert alone.reports() == [Workers(0), WorkerLost(0, hanging, reason)]
    assert (forked, generation._boot_failures, list(generation._seats)) == ([0], 1, [booting])
    os.kill(booting, signal.SIGTERM)

    def collected() -> bool:
        generation._collect_stopped()
        return not generation._seats

    eventually(collected)


def test_the_reason_of_a_failed_boot_reaches_the_operator(shared_root: Path) -> None:
    """What a worker says before it ends is in the reports, not only its exit code."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        settings = Settings(workers=1, port=0)
        child = start_generation(settings, address, shared_root / "tiny" / "v1", Board.create(2), 0)
        eventually(lambda: child.exit_status() is not None, within_s=60)
        reports = list(child.reports())
        child.close()
    (failed,) = [one for one in reports if isinstance(one, Failed)]
    lost = [one for one in reports if isinstance(one, WorkerLost)]
    assert len(lost) == 3
    for text in (failed.message, *(one.reason for one in lost)):
        assert "exit code 6 (could not start serving): worker 0 cannot start: " in text


def test_only_workers_that_served_count_as_restarts() -> None:
    """A new generation that fails to boot has replaced nobody."""
    settings = Settings(workers=1)
    master = Master(settings)
    child = SimpleNamespace()
    starting, serving = (Supervised(child, Path(), settings, Purpose.RELOAD) for _ in range(2))  # type: ignore[arg-type] # not used
    master._starting, master._serving = starting, serving
    for generation in (starting, serving, starting):
        master._handle_report(generation, WorkerLost(0, 1, "no matter"))
    _close(master._signals)
    master._selector.close()
    assert master._metrics.worker_restarts == 1


def test_a_report_with_a_file_name_that_is_not_utf8_arrives() -> None:
    """Such a name has lone surrogates in Python; the report shows them as escapes."""
    read_end, write_end = os.pipe()
    name = os.fsdecode(b"caf\xe9")
    send(write_end, Refused(f"{name} is listed"))
    send(write_end, WorkerLost(1, 2, name))
    os.close(write_end)
    reader = ReportReader(read_end)
    assert reader.read() == ([Refused("caf\\udce9 is listed"), WorkerLost(1, 2, "caf\\udce9")], True)
    reader.close()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-9, "killed by SIGKILL"),
        (-40, "killed by signal 40"),
        (3, "exit code 3 (refused the bundle)"),
        (77, "exit code 77"),
    ],
)
def test_every_exit_status_has_words(status: int, words: str) -> None:
    """Signals without a name and codes without a meaning included."""
    assert describe_exit(status) == words
