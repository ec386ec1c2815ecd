"""What a process tree's CPU time is split into."""

import subprocess
import sys
import time

from loadtest.cpu import thread_cpu_s, tree_cpu_s

_BUSY = """
import ctypes, threading
def spin(name):
    ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
    while True: pass
threading.Thread(target=spin, args=(b"worker-bee",), daemon=True).start()
threading.Event().wait()
"""
_WITHIN_S = 30.0
_ENOUGH_S = 0.3
_TICKS_S = 0.1


def test_cpu_is_split_by_the_names_of_threads_and_adds_up_to_the_tree_s() -> None:
    """A thread that turns round and round has the CPU under its own name."""
    with subprocess.Popen([sys.executable, "-c", _BUSY]) as process:
        try:
            deadline = time.monotonic() + _WITHIN_S
            while (spent := thread_cpu_s(process.pid)).get("worker-bee", 0.0) < _ENOUGH_S:
                assert time.monotonic() < deadline, spent
            whole = tree_cpu_s(process.pid)
        finally:
            process.kill()
    others = sum(seconds for name, seconds in spent.items() if name != "worker-bee")
    assert whole - others - _TICKS_S <= spent["worker-bee"] <= whole + _TICKS_S
