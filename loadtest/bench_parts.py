"""What `loadtest.bench` measures, part by part; each gives what belongs into a JSON file.

What is compared is measured in turns, because a minute of this machine may be half as fast as the next one.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.bench_bundle import CACHE, BenchBundle, prepare
from loadtest.bench_results import Result, read_results
from loadtest.bench_sleep import RATES, by_state, no_op_part
from loadtest.drive import Target
from loadtest.floor import floor
from loadtest.outcome import Outcome
from loadtest.rig import (
    Plan,
    at_rate,
    capacity,
    capacity_in_turns,
    in_process,
    ladder,
    recall_of,
    spread_of,
    stages,
    summary,
    target_of,
)
from loadtest.scenario import Scenario, scenarios
from loadtest.served import ServedBundle, served


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


def scenario_part(bench: Bench, scenario: Scenario) -> Result:
    """All figures of one scenario over the transport that `auto` takes."""
    bench.say(f"{scenario.name}: exact answers, and its files into memory, so that starts are alike")
    in_process(scenario, bench.items, 0.0, exact=scenario.profile != "led")
    with bench.serving(scenario) as (server, bundle):
        target = target_of(server, scenario.payloads(bundle))
        bench.say(f"{scenario.name}: capacity, and encode and search alone, in turns")
        outcomes, limits = [], []
        for turn in capacity_in_turns({scenario.name: target}, bench.plan):
            outcomes.append(turn[scenario.name])
            limits.append(in_process(scenario, bench.items, bench.plan.seconds, exact=False))
        recall = recall_of(server, scenario, bundle)
        most = summary(outcomes)
        rate = most["achieved_rate"]["median"]
        bench.say(f"{scenario.name}: {rate:,.0f}/s; at half of it")
        before = server.metrics()
        half = summary(at_rate(target, rate / 2, bench.plan))
        after = server.metrics()
        rungs = ladder(target, rate, bench.plan, lambda what: bench.say(f"{scenario.name}: {what}"))
        return {
            "title": scenario.title,
            "recall": recall,
            "limit": {name: float(np.median([each[name] for each in limits])) for name in limits[0]},
            "tax": _taxes(outcomes, [each["limit_us"] for each in limits]),
            "capacity": most,
            "half": half,
            "stages": stages(before, after),
            "ladder": rungs,
            "memory": server.memory_mib(),
            "ready_s": server.ready_s,
            "build_s": bundle.build_s,
        }


def _taxes(outcomes: Sequence[Outcome], limits_us: Sequence[float]) -> Result:
    """What each turn's server took beyond its limit."""
    return spread_of([(each.server_cpu_us or 0.0) - limit for each, limit in zip(outcomes, limits_us, strict=True)])


def _loaded(target: Target, plan: Plan) -> Result:
    """Capacity, and latency at half of it."""
    most = summary(capacity(target, plan))
    return {"capacity": most, "half": summary(at_rate(target, most["achieved_rate"]["median"] / 2, plan))}


def transports_part(bench: Bench) -> Result:
    """LED over both transports and in process, in turns: a turn's tax is its server's CPU less its limit."""
    scenario, plan = bench.scenario("led95"), bench.plan
    limits: list[float] = []
    with ExitStack() as serving:
        targets = {}
        for kind in ("native", "grpcio"):
            server, bundle = serving.enter_context(bench.serving(scenario, transport=kind, folder=CACHE / "run" / kind))
            targets[kind] = target_of(server, scenario.payloads(bundle))
        seen: dict[str, list[Outcome]] = {kind: [] for kind in targets}
        for turn in capacity_in_turns(targets, plan):
            limits.append(in_process(scenario, bench.items, plan.seconds, exact=False)["limit_us"])
            for kind, outcome in turn.items():
                seen[kind].append(outcome)
        found: Result = {"limit": {"limit_us": spread_of(limits)}}
        for kind, outcomes in seen.items():
            most = summary(outcomes)
            half = summary(at_rate(targets[kind], most["achieved_rate"]["median"] / 2, plan))
            found[kind] = {"capacity": most, "half": half, "tax": _taxes(outcomes, limits)}
    for kind in targets:
        found[kind]["nothing"] = floor(kind, replace(plan, runs=3))
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
    """One worker and two: memory and start of each alone, then throughput and CPU in turns."""
    scenario, counts = bench.scenario("led95"), (1, 2)
    found: Result = {}
    for workers in counts:  # two servers at once would share the pages of their files
        with bench.serving(scenario, workers=workers) as (server, bundle):
            capacity(target_of(server, scenario.payloads(bundle)), replace(bench.plan, runs=1))
            found[str(workers)] = {"memory": server.memory_mib(), "ready_s": server.ready_s}
    with ExitStack() as serving:
        targets = {}
        for workers in counts:
            server, bundle = serving.enter_context(
                bench.serving(scenario, workers=workers, folder=CACHE / "run" / str(workers))
            )
            targets[str(workers)] = target_of(server, scenario.payloads(bundle))
        turns = list(capacity_in_turns(targets, bench.plan))
    for name, each in found.items():
        each["capacity"] = summary([turn[name] for turn in turns])
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
    found: Result = read_results().get("sizes", {}).get("found", {})
    for size in bench.sizes:
        scenario = bench.scenario("led95", size)
        limit = in_process(scenario, size, 3.0, exact=False)
        with bench.serving(scenario) as (server, bundle):
            target = target_of(server, scenario.payloads(bundle))
            figures = {"recall": recall_of(server, scenario, bundle), **_loaded(target, bench.plan)}
            told = {"ready_s": server.ready_s, "memory": server.memory_mib(), "build_s": bundle.build_s}
            found[str(size)] = {**figures, **told, "limit": limit}
    return found
