"""What cores that sleep cost: LED and a call that does nothing, at the aim's load, as the machine is and kept awake."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from loadtest.awake import awake
from loadtest.drive import Target
from loadtest.floor import floor_server
from loadtest.outcome import Outcome
from loadtest.rig import Plan, at_rate, capacity, summary

RATE = 2_000
"""Half of the 4,000 calls a second that LED is meant to answer."""
STATES = ("as it is", "kept awake")


def by_state(target: Target, plan: Plan, rate: float = RATE) -> dict[str, Any]:
    """Open loops in turns, so that both states see the same machine; and a closed one, in which no core ever sleeps."""
    seen: dict[str, list[Outcome]] = {state: [] for state in STATES}
    most = summary(capacity(target, Plan(1, plan.seconds, connections=plan.connections)))
    for _ in range(plan.runs):
        for state in STATES:
            with awake() if state == STATES[1] else nullcontext():
                seen[state] += at_rate(target, rate, Plan(1, plan.seconds, connections=plan.connections))
    return {**{state: summary(outcomes) for state, outcomes in seen.items()}, "capacity": most}


def sleep_part(target: Target, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """LED's server as `target`, and the no-op over the same transport."""
    say("sleeping cores: LED")
    led = by_state(target, plan)
    say("sleeping cores: no-op")
    with floor_server("native") as nothing:
        return {"LED, recall@100 0.95": led, "no-op": by_state(nothing, plan)}


def sleep_table(
    results: Mapping[str, Mapping[str, Any]],
    table: Callable[[Sequence[str], Sequence[Sequence[str]]], list[str]],
    ranged: Callable[[Mapping[str, float]], str],
) -> list[str]:
    """A row for each state of each target."""
    if "sleep" not in results:
        return []
    rows = []
    for name, found in results["sleep"]["found"].items():
        busy = found["capacity"]
        rows.append(
            [name, "never idle", f"{busy['achieved_rate']['median']:,.0f}", "", "", "", ranged(busy["server_cpu_us"])]
        )
        for state in STATES:
            each = found[state]
            marks = [ranged(each[mark]) for mark in ("p50_ms", "p99_ms", "p99_9_ms", "server_cpu_us")]
            rows.append([name, state, f"{each['offered_rate']:,.0f}", *marks])
    return table(("", "cores", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs per call"), rows)
