"""How much memory a part took at most: the kernel's high-water mark, set back before each part where it can be."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_PEAK_ONLY = "5"
"""What proc(5) says to write to set back the high-water mark of the resident set."""


def reset_peak() -> None:
    """Begin to measure anew; without Linux's /proc, or the right to, the peak stays that of the whole process."""
    with suppress(FileNotFoundError, PermissionError):
        _RESET.write_text(_PEAK_ONLY, encoding="ascii")


def peak_mb() -> float:
    """Largest resident set since `reset_peak`, in MB of 2^20 bytes."""
    if _STATUS.exists():
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit / (1 << 20)
