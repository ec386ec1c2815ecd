"""`python -m loadtest.stalls`: what the machine takes away from who needs it all the time.

A process per core looks at the clock and does nothing else. Where two looks are further apart than they can be, the
core was elsewhere: with the kernel, other processes, or, on a virtual machine, other machines. No service on these
cores can be steadier than that.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

GAPS_MS = (0.1, 1.0, 5.0)
_SPIN = """
import json, os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
now, gaps = time.perf_counter_ns, []
last = now()
end = last + int(float(sys.argv[2]) * 1e9)
while last < end:
    looked = now()
    if looked - last > 100_000:
        gaps.append((looked - last) / 1e6)
    last = looked
print(json.dumps(gaps))
"""


@dataclass(frozen=True)
class Stalls:
    """What one core's process saw: gaps of at least `GAPS_MS` a second, the longest, the share of time in them all."""

    per_second: tuple[float, ...]
    longest_ms: float
    share: float


def stalls(seconds: float) -> list[Stalls]:
    """Look for so long on every core at once."""
    cores = sorted(os.sched_getaffinity(0))
    watching = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", _SPIN, str(core), str(seconds)], stdout=subprocess.PIPE)  # noqa: S603 - our own words
        for core in cores
    ]
    return [_seen(msgspec.json.decode(process.communicate()[0], type=list[float]), seconds) for process in watching]


def _seen(gaps_ms: list[float], seconds: float) -> Stalls:
    per_second = tuple(sum(gap >= least for gap in gaps_ms) / seconds for least in GAPS_MS)
    return Stalls(per_second, max(gaps_ms, default=0.0), sum(gaps_ms) / 1e3 / seconds)


def main(seconds: Annotated[float, typer.Option(help="How long to look.")] = 5.0) -> None:
    """Print what each core's process saw."""
    table = Table(
        "core", *[f"≥ {least:g} ms" for least in GAPS_MS], "longest, ms", "of the time", title="gaps a second"
    )
    for core, seen in zip(sorted(os.sched_getaffinity(0)), stalls(seconds), strict=True):
        rates = [f"{rate:.1f}" for rate in seen.per_second]
        table.add_row(str(core), *rates, f"{seen.longest_ms:.1f}", f"{seen.share:.2%}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
