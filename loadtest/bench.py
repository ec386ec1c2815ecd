"""`python -m loadtest.bench`: every part of the bench, one after the other, and the page of what was found.

    PART = floor, a scenario, transports, connections, workers, pinned, sleep, sizes
    build/bench/results/PART.json → docs/performance.md, docs/performance-*.png

A part that was measured at this revision is not measured again unless `--again`, so an interrupted run goes on where it
was. Bundles are made first, once each; that takes minutes and is not part of the bench's time.
"""

import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loadtest.bench_bundle import prepare
from loadtest.bench_parts import (
    Bench,
    asleep,
    connections_part,
    pinned_part,
    scenario_part,
    sizes_part,
    transports_part,
    workers_part,
)
from loadtest.bench_report import write_report
from loadtest.bench_results import Result, keep, read_results
from loadtest.catalogue import REFERENCE
from loadtest.floor import floor
from loadtest.rig import Plan

SCENARIOS = ("led95", "led90", "two_tower", "pdn", "fused")


def main(
    only: Annotated[str, typer.Option(help="Parts, comma-separated.", show_default="all")] = "",
    items: Annotated[int, typer.Option(help="Catalogue size of the scenarios.")] = REFERENCE.items,
    sizes: Annotated[str, typer.Option(help="Catalogue sizes of the part `sizes`.")] = "10000,100000,1000000",
    runs: Annotated[int, typer.Option(help="Runs of each figure; medians and ranges are over them.")] = 5,
    seconds: Annotated[float, typer.Option(help="How long one run holds.")] = 4.0,
    glove: Annotated[
        Path | None, typer.Option(help="GloVe vectors, .npy: one more scenario.", show_default=False)
    ] = None,
    page: Annotated[Path, typer.Option(help="The page whose tables are made again.")] = Path("docs/performance.md"),
    *,
    again: Annotated[bool, typer.Option(help="Measure parts again that were measured at this revision.")] = False,
    report: Annotated[bool, typer.Option(help="Make the page's tables and plots again.")] = True,
    prepare_only: Annotated[bool, typer.Option("--prepare", help="Only make the bundles.")] = False,
) -> None:
    """Measure what is not measured yet, and write the page."""
    console = Console(stderr=True)
    bench = Bench(items, tuple(int(size) for size in sizes.split(",")), Plan(runs, seconds), glove, console.log)
    parts = _parts(bench)
    wanted = only.split(",") if only else list(parts)
    if unknown := [name for name in wanted if name not in parts]:
        message = f"no part {', '.join(unknown)}; there are {', '.join(parts)}"
        raise typer.BadParameter(message)
    if prepare_only:
        _prepare(bench, wanted)
        return
    for name in wanted:
        if again or not measured(name):
            started = time.monotonic()
            _keep(name, parts[name](), bench)
            console.log(f"{name}: measured in {time.monotonic() - started:.0f} s")
    if report:
        write_report(read_results(), page)
        console.log(f"{page} is written")


def _parts(bench: Bench) -> Mapping[str, Callable[[], Result]]:
    names = (*SCENARIOS, "glove95") if bench.glove else SCENARIOS
    return {
        "floor": lambda: {kind: floor(kind, bench.plan) for kind in ("native", "grpcio")},
        **{name: lambda name=name: scenario_part(bench, bench.scenario(name)) for name in names},  # type: ignore[misc]
        "transports": lambda: transports_part(bench),
        "connections": lambda: connections_part(bench),
        "workers": lambda: workers_part(bench),
        "pinned": lambda: pinned_part(bench),
        "sleep": lambda: asleep(bench),
        "sizes": lambda: sizes_part(bench),
    }


def _prepare(bench: Bench, wanted: list[str]) -> None:
    for name in wanted:
        if name == "sizes":
            for size in bench.sizes:
                prepare(bench.scenario("led95", size).wanted)
        elif name != "floor":
            prepare(bench.scenario(name if name in SCENARIOS or name == "glove95" else "led95").wanted)


def revision() -> str:
    """The commit that is checked out; with a star if there are changes."""
    command = ["git", "describe", "--always", "--dirty=*", "--abbrev=10", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"  # noqa: S603


def measured(name: str) -> bool:
    """Whether a part was measured at this revision."""
    kept = read_results().get(name)
    return kept is not None and kept["revision"] == revision()


def _keep(name: str, found: Result, bench: Bench) -> None:
    kept = {
        "revision": revision(),
        "at": time.strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "items": bench.items,
        "runs": bench.plan.runs,
        "seconds": bench.plan.seconds,
        "load_average": os.getloadavg()[0],
        "found": found,
    }
    keep(name, kept)


def machine() -> str:
    """Name the processor and count its cores."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}"


if __name__ == "__main__":
    typer.run(main)
