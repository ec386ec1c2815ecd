"""What a step costs: wall time, CPU time of this process, and the most memory it held."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from shortlist_training.records import Cost

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_KIB, _MIB = 1024, 1024 * 1024


@dataclass
class Meter:
    """Filled when the measured block ends."""

    cost: Cost | None = None


@contextmanager
def measured() -> Iterator[Meter]:
    """Measure a block. Peak memory is the block's own on Linux; elsewhere it is the process's so far."""
    meter = Meter()
    _reset_peak()
    wall, cpu = perf_counter(), process_time()
    yield meter
    meter.cost = Cost(
        wall_s=round(perf_counter() - wall, 2), cpu_s=round(process_time() - cpu, 2), peak_mib=round(_peak() / _MIB, 1)
    )


def _reset_peak() -> None:
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:  # not Linux, or /proc is read-only: the peak is then that of the process
        return


def _peak() -> int:
    """Read the most resident memory since the reset, in bytes."""
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * _KIB
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * _KIB
