"""What a call waits for besides its own work, and how to rule it out: cores that sleep, other work that goes first.

A core without work is halted, and on a virtual machine given away: who wakes it finds it slow to come and its caches
cold. `awake` turns a process per core round and round at the priority of idle work, so that anybody else goes first;
`idle=poll` on the kernel's command line does the same for good.

The kernel shares a busy core in slices of milliseconds, and a thread that wakes up waits for the end of another's.
`ahead` gives threads real-time priority (`SCHED_RR`), as `chrt --rr 1 COMMAND` does, so that what woke first runs to
its end first, and nothing else comes between. The hypervisor still may.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.cpu import tasks

_SPIN = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)); print(flush=True)\nwhile True: pass"


@contextmanager
def awake() -> Iterator[None]:
    """Keep all cores awake."""
    command = [sys.executable, "-I", "-S", "-c", _SPIN]
    cores = len(os.sched_getaffinity(0))
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(cores)]  # noqa: S603 - our own words
    try:
        for process in processes:
            if process.stdout is not None:
                process.stdout.readline()  # it is idle work from here on
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def may_go_ahead() -> bool:
    """Whether this process may give real-time priority: as root, or with CAP_SYS_NICE."""
    own = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, *own)
    return True


@contextmanager
def ahead(pids: Iterable[int]) -> Iterator[None]:
    """Let this process and the trees of `pids` go before all others; threads of another priority stay what they are."""
    threads = [int(task.name) for task in (*Path("/proc/self/task").iterdir(), *tasks(pids))]
    moved = [thread for thread in threads if _schedule(thread, os.SCHED_OTHER, os.SCHED_RR, 1)]
    try:
        yield
    finally:
        for thread in moved:
            _schedule(thread, os.SCHED_RR, os.SCHED_OTHER, 0)


def _schedule(thread: int, before: int, policy: int, priority: int) -> bool:
    """Give a thread that has the policy `before` another one; whether it had it, and lives."""
    try:
        if os.sched_getscheduler(thread) != before:
            return False
        os.sched_setscheduler(thread, policy, os.sched_param(priority))
    except ProcessLookupError:
        return False
    return True
