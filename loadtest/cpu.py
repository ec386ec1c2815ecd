"""CPU time of a process tree from /proc: what a call costs the server, whoever else uses the cores."""

import os
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def tree_cpu_s(pid: int) -> float:
    """User and system seconds of `pid` and all its living descendants."""
    return sum(_cpu_s(each) for each in [pid, *_descendants(pid)])


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def _cpu_s(pid: int) -> float:
    # the command's name stands in parentheses and may hold spaces
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S
