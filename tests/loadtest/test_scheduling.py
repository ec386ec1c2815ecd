"""Who goes first on the cores, and what the machine takes away."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest

from loadtest.bench_sleep import STATES, sleep_table
from loadtest.cpu import tree
from loadtest.scheduling import ahead, may_go_ahead
from loadtest.stalls import stalls

_STALL_S = 0.1
_STARTED_S = 0.1  # an interpreter has started after that much work
_WAIT = "import os, sys; os.sched_setscheduler(0, int(sys.argv[1]), os.sched_param(0)); print(flush=True); input()"


def test_usual_work_goes_ahead_for_a_while_and_idle_work_stays_idle() -> None:
    """Where the process may do that; it is told where it may not."""
    commands = [[sys.executable, "-I", "-c", _WAIT, str(policy)] for policy in (os.SCHED_OTHER, os.SCHED_IDLE)]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(commands[0], stdin=pipe, stdout=pipe) as usual,
        subprocess.Popen(commands[1], stdin=pipe, stdout=pipe) as idle,
    ):
        pids = [usual.pid, idle.pid]
        for process in (usual, idle):
            assert process.stdout is not None
            process.stdout.readline()
        before = [os.sched_getscheduler(pid) for pid in pids]
        if may_go_ahead():
            with ahead(pids):
                assert [os.sched_getscheduler(pid) for pid in (0, *pids)] == [
                    os.SCHED_RR,
                    os.SCHED_RR,
                    os.SCHED_IDLE,
                ]
        else:
            with pytest.raises(PermissionError), ahead(pids):
                pass
        assert [os.sched_getscheduler(pid) for pid in pids] == before == [os.SCHED_OTHER, os.SCHED_IDLE]
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        for process in (usual, idle):
            process.communicate(b"\n")


def test_a_process_that_is_stopped_sees_a_gap_of_that_length() -> None:
    """On every core."""
    before = set(tree(os.getpid()))
    stop = threading.Thread(target=_stop_a_while, args=(before,))
    stop.start()
    seen = stalls(2.0)
    stop.join()
    assert len(seen) == len(os.sched_getaffinity(0))
    for each in seen:
        assert each.longest_ms >= _STALL_S * 1e3
        assert each.per_second[0] >= each.per_second[1] >= each.per_second[2] > 0.0
        assert each.share >= _STALL_S / 2.0


def _stop_a_while(before: AbstractSet[int]) -> None:
    """Stop all processes that there were not before, once they have looked at the clock for a while."""
    deadline = time.monotonic() + 10.0
    new: set[int] = set()
    while len(new) < len(os.sched_getaffinity(0)) or any(_worked_s(pid) < _STARTED_S for pid in new):
        assert time.monotonic() < deadline
        new = set(tree(os.getpid())) - before
    for child in new:
        os.kill(child, signal.SIGSTOP)
    time.sleep(_STALL_S)
    for child in new:
        os.kill(child, signal.SIGCONT)


def _worked_s(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) * 1e-9


def test_a_state_that_was_not_to_be_had_has_no_row() -> None:
    """The others have; what the cores lost stands below."""
    each = {
        "offered_rate": 2000.0,
        "split": {"transport": 0.25, "answering": 0.5, "live recall": 0.25},
        **{name: {"median": 4.0} for name in ("p50_ms", "p99_ms", "p99_9_ms", "server_cpu_us", "achieved_rate")},
    }
    core = {"per_second": [3.0, 1.0, 0.0], "longest_ms": 2.0, "share": 0.01}
    found: dict[str, Any] = {"LED": {"capacity": each, **dict.fromkeys(STATES[:2], each)}, "stalls": [core, core]}
    lines = sleep_table({"sleep": {"found": found}}, lambda _, rows: [" ".join(row) for row in rows], _only)
    assert lines[:3] == [
        "LED never idle 4    4 1 2 1",
        "LED as it is 2,000 4 4 4 4 1 2 1",
        "LED kept awake 2,000 4 4 4 4 1 2 1",
    ]
    assert "3.0 and 3.0 of 0.1 ms or more" in lines[-1]
    assert "1.00% and 1.00% of the time" in lines[-1]


def _only(figure: Any) -> str:  # noqa: ANN401 - one of JSON
    return f"{figure['median']:g}"
