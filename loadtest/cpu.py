"""CPU time and memory of process trees from /proc: what a call costs the server, whoever else uses the cores."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def tree_cpu_s(pids: int | Iterable[int]) -> float:
    """User and system seconds of processes and all their living descendants; of those that end meanwhile, nothing."""
    return sum(_cpu_s(each) for each in tree(pids))


def thread_cpu_s(pids: int | Iterable[int]) -> Mapping[str, float]:
    """Seconds on a core of the same processes, added up by the threads' names, to the nanosecond."""
    found: defaultdict[str, float] = defaultdict(float)
    for task in tasks(pids):
        try:
            name = (task / "comm").read_text().strip()
            found[name] += int((task / "schedstat").read_text().split()[0]) * 1e-9
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
    return found


def tasks(pids: int | Iterable[int]) -> Iterator[Path]:
    """Give the directories in /proc of all threads of the same processes, named by their ids."""
    for pid in tree(pids):
        try:
            yield from list(Path(f"/proc/{pid}/task").iterdir())
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue


def tree(pids: int | Iterable[int]) -> Sequence[int]:
    """Give the processes and all their living descendants, each once."""
    found: dict[int, None] = {}
    for pid in [pids] if isinstance(pids, int) else pids:
        found[pid] = None
        found |= dict.fromkeys(tree(_children(pid)))
    return list(found)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return found
    return found


def _cpu_s(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # as above
        return 0.0
    # the command's name stands in parentheses and may hold spaces
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S
