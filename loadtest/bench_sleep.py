"""What cores that sleep cost: LED and a call that does nothing, at the aim's load, as the machine is and kept awake."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Self

from loadtest.awake import awake
from loadtest.cpu import thread_cpu_s
from loadtest.drive import Target
from loadtest.floor import floor_server
from loadtest.outcome import Outcome
from loadtest.rig import Plan, at_rate, capacity, summary

RATE = 2_000
"""Half of the 4,000 calls a second that LED is meant to answer."""
STATES = ("as it is", "kept awake")
PARTS = ("transport", "answering", "live recall")
_PART_OF = {"grpc-native-io": "transport", "sl-judge": "live recall"}
"""By how a thread's name begins; the others answer."""


def by_state(target: Target, plan: Plan, rate: float = RATE) -> dict[str, Any]:
    """Open loops in turns, so that both states see the same machine; and a closed one, in which no core ever sleeps."""
    seen: dict[str, list[Outcome]] = {state: [] for state in STATES}
    once = Plan(1, plan.seconds, connections=plan.connections)
    with _Split(target) as busy:
        most = summary(capacity(target, once))
    splits = {state: _Split(target) for state in STATES}
    for _ in range(plan.runs):
        for state in STATES:
            with awake() if state == STATES[1] else nullcontext(), splits[state]:
                seen[state] += at_rate(target, rate, once)
    states = {state: {**summary(outcomes), "split": splits[state].shares} for state, outcomes in seen.items()}
    return {**states, "capacity": {**most, "split": busy.shares}}


class _Split:
    """Which of the server's threads the CPU goes to, over all times that it is entered, warm-ups and all."""

    def __init__(self, target: Target) -> None:
        self._pids = target.server_pids
        self._spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)

    def __enter__(self) -> Self:
        self._before = thread_cpu_s(self._pids)
        return self

    def __exit__(self, *_: object) -> None:
        for name, spent_s in thread_cpu_s(self._pids).items():
            part = next((part for begin, part in _PART_OF.items() if name.startswith(begin)), "answering")
            self._spent[part] += spent_s - self._before.get(name, 0.0)

    @property
    def shares(self) -> Mapping[str, float]:
        """Shares of the whole by part."""
        return {part: spent_s / sum(self._spent.values()) for part, spent_s in self._spent.items()}


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
        rate = f"{busy['achieved_rate']['median']:,.0f}"
        rows.append([name, "never idle", rate, "", "", "", *_spent(busy, ranged)])
        for state in STATES:
            each = found[state]
            marks = [ranged(each[mark]) for mark in ("p50_ms", "p99_ms", "p99_9_ms")]
            rows.append([name, state, f"{each['offered_rate']:,.0f}", *marks, *_spent(each, ranged)])
    return table(("", "cores", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs per call", *PARTS), rows)


def _spent(found: Mapping[str, Any], ranged: Callable[[Mapping[str, float]], str]) -> list[str]:
    """CPU of a call, and each part's of it."""
    cpu_us = found["server_cpu_us"]
    return [ranged(cpu_us), *[f"{found['split'][part] * cpu_us['median']:.0f}" for part in PARTS]]
