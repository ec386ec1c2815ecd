"""`python -m loadtest.bench`: every part of the bench, one after the other, and the page of what was found.

    PART = floor, a scenario, transports, connections, workers, pinned, sleep, sizes
    build/bench/results/PART.json → docs/performance.md, docs/performance-*.png

A part that was measured at this revision is not measured again unless `--again`, so an interrupted run goes on where it
was. Bundles are made first, once each; that takes minutes and is not part of the bench's time.
"""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from loadtest.bench_bundle import CACHE, BenchBundle, prepare
from loadtest.bench_report import write_report
from loadtest.bench_sleep import RATES, by_state, no_op_part
from loadtest.catalogue import REFERENCE
from loadtest.drive import Target
from loadtest.floor import floor
from loadtest.rig import Plan, at_rate, capacity, in_process, ladder, recall_of, stages, summary, target_of
from loadtest.scenario import Scenario, scenarios
from loadtest.served import ServedBundle, served

SCENARIOS = ("led95", "led90", "two_tower", "pdn", "fused")
RESULTS = CACHE / "results"
Result = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What all parts share."""

    items: int
    sizes: tuple[int, ...]
    plan: Plan
    glove: Path | None
    say: Callable[[str], None]

    def scenario(self, name: str, items: int | None = None) -> Scenario:
        """Find a scenario by name."""
        return scenarios(items or self.items, self.glove)[name]

    @contextmanager
    def serving(self, scenario: Scenario, **options: Any) -> Iterator[tuple[ServedBundle, BenchBundle]]:  # noqa: ANN401 - as `served`
        """Serve a scenario's bundle."""
        bundle = prepare(scenario.wanted)
        self.say(f"{scenario.name}: starting the server")
        with served(bundle.root, bundle.name, profiles=scenario.profiles, **options) as server:
            yield server, bundle


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


def scenario_part(bench: Bench, scenario: Scenario) -> Result:
    """All figures of one scenario over the transport that `auto` takes."""
    bench.say(f"{scenario.name}: encode and search alone")
    limit = in_process(scenario, bench.items, 4.0, exact=scenario.profile != "led")
    with bench.serving(scenario) as (server, bundle):
        target = target_of(server, scenario.payloads(bundle))
        recall = recall_of(server, scenario, bundle)
        bench.say(f"{scenario.name}: capacity")
        most = summary(capacity(target, bench.plan))
        rate = most["achieved_rate"]["median"]
        bench.say(f"{scenario.name}: {rate:,.0f}/s; at half of it")
        before = server.metrics()
        half = summary(at_rate(target, rate / 2, bench.plan))
        after = server.metrics()
        rungs = ladder(target, rate, bench.plan, lambda what: bench.say(f"{scenario.name}: {what}"))
        return {
            "title": scenario.title,
            "recall": recall,
            "limit": limit,
            "capacity": most,
            "half": half,
            "stages": stages(before, after),
            "ladder": rungs,
            "memory": server.memory_mib(),
            "ready_s": server.ready_s,
            "build_s": bundle.build_s,
        }


def _loaded(target: Target, plan: Plan) -> Result:
    """Capacity, and latency at half of it."""
    most = summary(capacity(target, plan))
    return {"capacity": most, "half": summary(at_rate(target, most["achieved_rate"]["median"] / 2, plan))}


def transports_part(bench: Bench) -> Result:
    """LED over both transports, taking turns between them so that both see the same machine."""
    scenario = bench.scenario("led95")
    limit = in_process(scenario, bench.items, 4.0, exact=False)
    found: Result = {"limit": limit}
    for kind in ("native", "grpcio"):
        with bench.serving(scenario, transport=kind) as (server, bundle):
            target = target_of(server, scenario.payloads(bundle))
            found[kind] = {**_loaded(target, bench.plan), "nothing": floor(kind, replace(bench.plan, runs=3))}
    return found


def connections_part(bench: Bench) -> Result:
    """What few connections cost: SO_REUSEPORT gives connections to workers, not calls."""
    scenario = bench.scenario("led95")
    found: Result = {}
    with bench.serving(scenario) as (server, bundle):
        target = target_of(server, scenario.payloads(bundle))
        for connections in (1, 2, 4, 16, 64):
            bench.say(f"connections: {connections}")
            plan = replace(bench.plan, runs=3, connections=connections)
            found[str(connections)] = _loaded(target, plan)
    return found


def workers_part(bench: Bench) -> Result:
    """One worker and two: throughput, CPU and memory."""
    scenario = bench.scenario("led95")
    found: Result = {}
    for workers in (1, 2):
        with bench.serving(scenario, workers=workers) as (server, bundle):
            target = target_of(server, scenario.payloads(bundle))
            most = summary(capacity(target, bench.plan))
            found[str(workers)] = {"capacity": most, "memory": server.memory_mib(), "ready_s": server.ready_s}
    return found


def pinned_part(bench: Bench) -> Result:
    """One worker on the first core, the client on the others: what a core does when nothing else is on it."""
    scenario = bench.scenario("led95")
    cores = sorted(os.sched_getaffinity(0))
    with bench.serving(scenario, workers=1, cpus=cores[:1]) as (server, bundle):
        target = target_of(server, scenario.payloads(bundle))
        os.sched_setaffinity(0, cores[1:] or cores)
        try:
            return {**_loaded(target, bench.plan), "cores": len(cores)}
        finally:
            os.sched_setaffinity(0, cores)


def asleep(bench: Bench) -> Result:
    """What the machine adds at the loads that the aims speak of."""
    found: Result = {}
    for name, rate in RATES.items():
        scenario = bench.scenario(name)
        with bench.serving(scenario, transport="native") as (server, bundle):
            bench.say(f"sleep: {scenario.title} at {rate:,}/s")
            found[scenario.title] = by_state(target_of(server, scenario.payloads(bundle)), bench.plan, rate)
    bench.say("sleep: the no-op")
    return found | no_op_part(bench.plan)


def sizes_part(bench: Bench) -> Result:
    """LED's cost against the catalogue's size, at equal recall. Sizes measured before are kept."""
    path = RESULTS / "sizes.json"
    found: Result = json.loads(path.read_text())["found"] if path.exists() else {}
    for size in bench.sizes:
        scenario = bench.scenario("led95", size)
        limit = in_process(scenario, size, 3.0, exact=False)
        with bench.serving(scenario) as (server, bundle):
            target = target_of(server, scenario.payloads(bundle))
            figures = {"recall": recall_of(server, scenario, bundle), **_loaded(target, bench.plan)}
            told = {"ready_s": server.ready_s, "memory": server.memory_mib(), "build_s": bundle.build_s}
            found[str(size)] = {**figures, **told, "limit": limit}
    return found


def revision() -> str:
    """The commit that is checked out; with a star if there are changes."""
    command = ["git", "describe", "--always", "--dirty=*", "--abbrev=10", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"  # noqa: S603


def measured(name: str) -> bool:
    """Whether a part was measured at this revision."""
    path = RESULTS / f"{name}.json"
    return path.exists() and json.loads(path.read_text())["revision"] == revision()


def _keep(name: str, found: Result, bench: Bench) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
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
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def machine() -> str:
    """Name the processor and count its cores."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}"


def read_results() -> dict[str, Result]:
    """All parts that were measured, and what `loadtest.fit` found, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


if __name__ == "__main__":
    typer.run(main)
