"""Keeps the machine's cores from going to sleep while something is measured.

A core without work is halted, and on a virtual machine given away: who wakes it finds it slow to come and its caches
cold. Here a process per core turns round and round at the priority of idle work, so that anybody else goes first.
`idle=poll` on the kernel's command line does the same for good.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
