"""The bench of one scenario on a running server: capacity, latency at half of it, a rate ladder, recall, CPU, memory.

Every figure is a median of several runs with their least and most. CPU per call is the kernel's account of all server
processes divided by calls; the client shares the cores, and its share is stated.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.bench_bundle import CACHE, JUDGED, USUAL, BenchBundle
from loadtest.bench_content import COUNTRY
from loadtest.drive import Target, ask_each, closed_loop, open_loop
from loadtest.in_process import EXACT_ANSWERS, exact_path
from loadtest.outcome import Outcome
from loadtest.scenario import METHOD, Scenario
from loadtest.served import ServedBundle
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.process import use_huge_pages

_TIE = 1e-5
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How thoroughly: runs of each figure, seconds of a run, the ladder as shares of capacity."""

    runs: int = 5
    seconds: float = 4.0
    warm_up_s: float = 1.0
    connections: int = 16
    concurrency: int = 32
    ladder: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)


def target_of(server: ServedBundle, payloads: Sequence[bytes]) -> Target:
    """Ask `payloads` of a server, and count its CPU."""
    return Target(server.address, METHOD, payloads, [server.pid])


def capacity(target: Target, plan: Plan) -> list[Outcome]:
    """Hold the closed loop `runs` times."""
    return [
        closed_loop(
            target,
            seconds=plan.seconds,
            concurrency=max(plan.concurrency, plan.connections),
            connections=plan.connections,
            warm_up_s=plan.warm_up_s if run == 0 else 0.2,
        )
        for run in range(plan.runs)
    ]


def capacity_in_turns(targets: Mapping[str, Target], plan: Plan) -> Iterator[Mapping[str, Outcome]]:
    """Hold the closed loop on each target in turns, so that all see the same machine; gives the outcomes of a turn."""
    once = replace(plan, runs=1)
    for run in range(plan.runs):
        order = list(targets) if run % 2 == 0 else list(targets)[::-1]
        yield {name: capacity(targets[name], once)[0] for name in order}


def at_rate(target: Target, rate: float, plan: Plan) -> list[Outcome]:
    """Hold an open loop at `rate`, `runs` times with other arrivals; new connections each time."""
    return [
        open_loop(target, rate=rate, seconds=plan.seconds, connections=plan.connections, warm_up_s=0.5, seed=run)
        for run in range(plan.runs)
    ]


def spread(outcomes: Sequence[Outcome], name: str) -> dict[str, float]:
    """Median, least and most of a field over runs."""
    return spread_of([float(getattr(each, name)) for each in outcomes])


def spread_of(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": float(np.median(values)), "least": min(values), "most": max(values)}


_CLOSED = ("achieved_rate", "server_cpu_us", "server_cores", "client_cpu_us", "client_share")
_OPEN = ("p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "achieved_rate", "server_cpu_us", "late_p99_ms", "client_share")


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Sum up runs of one kind."""
    names = _CLOSED if outcomes[0].offered_rate is None else _OPEN
    return {
        "runs": len(outcomes),
        "offered_rate": outcomes[0].offered_rate,
        "calls": sum(each.calls for each in outcomes),
        "errors": sum(each.errors for each in outcomes),
        **{name: spread(outcomes, name) for name in names},
    }


def ladder(target: Target, capacity_rate: float, plan: Plan, say: Say) -> list[dict[str, Any]]:
    """One open loop per share of capacity."""
    rungs = []
    for share in plan.ladder:
        say(f"{share:.0%} of capacity")
        one = Plan(runs=1, seconds=plan.seconds, connections=plan.connections)
        rungs.append({"share": share, **summary(at_rate(target, share * capacity_rate, one))})
    return rungs


def stages(before: Mapping[tuple[str, ...], float], after: Mapping[tuple[str, ...], float]) -> dict[str, float]:
    """Mean microseconds of every stage between two scrapes, by "stage" or "source stage"."""
    found = {}
    for key, count in after.items():
        if key[0] == "shortlist_stage_seconds_count" and count > before.get(key, 0):
            total = ("shortlist_stage_seconds_sum", *key[1:])
            spent_s = after[total] - before.get(total, 0)
            found[" ".join(part for part in key[1:] if part)] = spent_s / (count - before.get(key, 0)) * 1e6
    return found


def recall_of(server: ServedBundle, scenario: Scenario, bundle: BenchBundle, cache: Path = CACHE) -> float:
    """Recall@k of what the server answers against exact search; RuntimeError if a call fails."""
    count = JUDGED if scenario.profile == "led" else EXACT_ANSWERS
    replies = ask_each(target_of(server, scenario.payloads(bundle)[:count]))
    failed = [status for status, _ in replies if status != "OK"]
    if failed:
        message = f"{len(failed)} of {count} calls for recall failed: {failed[0]}"
        raise RuntimeError(message)
    found = [_ids(reply) for _, reply in replies]
    if scenario.profile == "led":
        return _recall_by_score(found, bundle)
    exact = np.load(exact_path(bundle, scenario, cache))
    return float(np.mean([np.isin(ids, best).mean() for ids, best in zip(found, exact, strict=True)]))


def _ids(reply: bytes) -> np.ndarray[Any, np.dtype[np.uint64]]:
    candidates = pb.RetrieveResponse.FromString(reply).candidates
    return np.array([each.item_id for each in candidates], dtype=np.uint64)


def _recall_by_score(found: Sequence[np.ndarray[Any, np.dtype[np.uint64]]], bundle: BenchBundle) -> float:
    """Share of answers that score as high as the exact k-th; scores are computed here, whatever the reply says."""
    where = bundle.directory / "countries" / COUNTRY
    ids, vectors = np.load(where / "catalog" / "item_ids.npy"), np.load(where / "led" / "vectors.npy", mmap_mode="r")
    order = np.argsort(ids)
    hits = 0
    for answer, history, best in zip(found, bundle.histories, bundle.best, strict=False):
        user = vectors[order[np.searchsorted(ids, history[-USUAL:], sorter=order)]].mean(axis=0)
        user[-1] = 1.0
        scores = vectors[order[np.searchsorted(ids, answer, sorter=order)]] @ user
        hits += int((scores >= best[-1] - _TIE * max(1.0, abs(float(best[-1])))).sum())
    return hits / bundle.best[: len(found)].size


def in_process(
    scenario: Scenario, items: int, seconds: float, *, exact: bool, code: Path | None = None
) -> dict[str, float]:
    """Run `loadtest.in_process` on one thread in a process of its own, by the code of `code`."""
    command = [sys.executable, "-m", "loadtest.in_process", scenario.name, "--items", str(items)]
    command += ["--seconds", str(seconds), "--cache", str(CACHE.resolve())]
    if exact:
        command.append("--exact")
    if scenario.wanted.vectors:
        command += ["--glove", str(scenario.wanted.vectors.resolve())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str((code or Path()).resolve())}
    use_huge_pages(environment)  # as the server has them
    result = subprocess.run(  # noqa: S603 - our own module
        command, capture_output=True, text=True, check=False, cwd=code, env=environment
    )
    if result.returncode:
        message = f"{' '.join(command)} ended with {result.returncode}:\n{result.stderr}"
        raise RuntimeError(message)
    found: dict[str, float] = json.loads(result.stdout)
    return found
