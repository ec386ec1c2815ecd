"""What the machine adds to a call at the aims' loads: as it is, with its cores kept awake, and ahead of other work."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any, Self

from loadtest.cpu import thread_cpu_s
from loadtest.drive import Target
from loadtest.floor import floor_server
from loadtest.outcome import Outcome
from loadtest.rig import Plan, at_rate, capacity, summary
from loadtest.scheduling import ahead, awake, may_go_ahead
from loadtest.stalls import GAPS_MS, stalls

RATES = {"led95": 2_000, "led90": 3_500}
"""Half of the 4,000 and 7,000 calls a second that LED is meant to answer; the no-op gets the first."""
STATES = ("as it is", "kept awake", "goes first")
PARTS = ("transport", "answering", "live recall")
_PART_OF = {"grpc-native-io": "transport", "sl-judge": "live recall"}
"""By how a thread's name begins; the others answer."""
_LOOK_S = 5.0


def by_state(target: Target, plan: Plan, rate: float) -> dict[str, Any]:
    """Open loops in turns, so that all states see the same machine; and a closed one, in which no core ever sleeps."""
    within: dict[str, Callable[[], AbstractContextManager[None]]] = {STATES[0]: nullcontext, STATES[1]: awake}
    if may_go_ahead():
        within[STATES[2]] = lambda: ahead(target.server_pids)
    seen: dict[str, list[Outcome]] = {state: [] for state in within}
    once = Plan(1, plan.seconds, connections=plan.connections)
    with _Split(target) as busy:
        most = summary(capacity(target, once))
    splits = {state: _Split(target) for state in within}
    for _ in range(plan.runs):
        for state, entered in within.items():
            with entered(), splits[state]:
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


def no_op_part(plan: Plan) -> dict[str, Any]:
    """The no-op over the native transport, and what the cores do when nothing is asked of them."""
    with floor_server("native") as nothing:
        found = by_state(nothing, plan, RATES["led95"])
    return {"no-op": found, "stalls": [asdict(each) for each in stalls(_LOOK_S)]}


def sleep_table(
    results: Mapping[str, Mapping[str, Any]],
    table: Callable[[Sequence[str], Sequence[Sequence[str]]], list[str]],
    ranged: Callable[[Mapping[str, float]], str],
) -> list[str]:
    """A row for each state of each target, and a sentence on the cores themselves."""
    if "sleep" not in results:
        return []
    rows, found = [], dict(results["sleep"]["found"])
    seen = found.pop("stalls")
    for name, each in found.items():
        busy = each["capacity"]
        rate = f"{busy['achieved_rate']['median']:,.0f}"
        rows.append([name, "never idle", rate, "", "", "", *_spent(busy, ranged)])
        for state in [state for state in STATES if state in each]:
            marks = [ranged(each[state][mark]) for mark in ("p50_ms", "p99_ms", "p99_9_ms")]
            rows.append([name, state, f"{each[state]['offered_rate']:,.0f}", *marks, *_spent(each[state], ranged)])
    return [
        *table(("", "cores", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs per call", *PARTS), rows),
        "",
        _stalled(seen),
    ]


def _stalled(seen: Sequence[Mapping[str, Any]]) -> str:
    """Say what a process per core saw that only looked at the clock."""
    rates = [_both([f"{each['per_second'][place]:.1f}" for each in seen]) for place in range(len(GAPS_MS))]
    often = ", ".join(f"{rate} of {least:g} ms or more" for rate, least in zip(rates, GAPS_MS, strict=True))
    shares = _both([f"{each['share']:.2%}" for each in seen])
    longest = max(each["longest_ms"] for each in seen)
    return (
        "A process on each core that only looks at the clock (`python -m loadtest.stalls`, right after) saw gaps, a "
        f"second: {often}; the longest {longest:.1f} ms, {shares} of the time."
    )


def _both(words: Sequence[str]) -> str:
    return " and ".join(words)


def _spent(found: Mapping[str, Any], ranged: Callable[[Mapping[str, float]], str]) -> list[str]:
    """CPU of a call, and each part's of it."""
    cpu_us = found["server_cpu_us"]
    return [ranged(cpu_us), *[f"{found['split'][part] * cpu_us['median']:.0f}" for part in PARTS]]
