"""CPU time and memory of the server's processes by role, read from /proc when scraped. Linux only.

comm of each process (`name_process`): sl-master, sl-generation, sl-worker-3, … → role
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from server.process import COMM_PREFIX

ROLES: Final = ("master", "lobby", "generation", "worker", "judge", "inspector")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Usage:
    """Of all processes of one role: CPU seconds, ended ones included; resident bytes and number of the living."""

    cpu_s: float = 0.0
    resident_bytes: int = 0
    processes: int = 0


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    started: int
    role: str
    cpu_s: float
    resident_bytes: int


class ProcessMetrics:
    """Reads the tree below this process.

    Of a process that has ended, the CPU time that was last seen is kept, so that a role's sum never falls.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], _Process] = {}
        self._ended_s = dict.fromkeys(ROLES, 0.0)
        self._lock = Lock()

    def read(self) -> dict[str, Usage]:
        """Give the usage of every role. Scrapes that overlap wait for each other."""
        with self._lock:
            living = {(one.pid, one.started): one for one in _tree(os.getpid())}
            for key, one in self._seen.items():
                if key not in living:
                    self._ended_s[one.role] += one.cpu_s
            self._seen = living
            usages = {role: Usage(ended_s) for role, ended_s in self._ended_s.items()}
            for one in living.values():
                usage = usages[one.role]
                usage.cpu_s += one.cpu_s
                usage.resident_bytes += one.resident_bytes
                usage.processes += 1
            return usages


def _tree(root: int) -> Iterator[_Process]:
    """List a process and all below it; one that ends meanwhile is left out."""
    found = [one for one in map(_read, _pids()) if one is not None]
    family = {root}
    # parents are older than their children, but pids wrap around
    while grown := {one.pid for one in found if one.parent in family} - family:
        family |= grown
    return (one for one in found if one.pid in family)


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())


def _read(pid: int) -> _Process | None:
    """Read /proc/<pid>/stat (proc(5)); None for a process that has no role, not yet, or is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the name stands in parentheses and may hold anything
    name = text[text.index("(") + 1 : text.rindex(")")]
    rest = text[text.rindex(")") + 2 :].split()
    role = name.removeprefix(COMM_PREFIX).partition("-")[0]
    if not name.startswith(COMM_PREFIX) or role not in ROLES:
        return None
    parent, user, system, started, pages = (int(rest[place]) for place in (1, 11, 12, 19, 21))
    return _Process(pid, parent, started, role, (user + system) / _TICKS_PER_S, pages * _PAGE_BYTES)
