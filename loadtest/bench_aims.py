"""What the service is meant to show, beside what the bench found."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Results = Mapping[str, Mapping[str, Any]]
_LED_P50_MS, _LED_P99_MS = 0.45, 1.2


@dataclass(frozen=True)
class Aim:
    """One aim: what is wanted in words, what was found, and whether that is enough."""

    wanted: str
    found: str
    met: bool


def aims(results: Results) -> list[Aim]:
    """Judge all aims whose parts were measured, by medians."""
    judged: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Aim]]] = {
        "transports": _tax,
        "led95": lambda found: _led(found, "0.95", 430, 4_000),
        "led90": lambda found: _led(found, "0.90", 230, 7_000),
        "pdn": _pdn,
        "fused": _fused,
        "workers": _workers,
    }
    return [aim for name, judge in judged.items() if name in results for aim in judge(results[name]["found"])]


def _median(found: Mapping[str, Any], load: str, name: str) -> float:
    return float(found[load][name]["median"])


def _at_most(wanted: str, found: float, limit: float, unit: str) -> Aim:
    return Aim(f"{wanted} ≤ {limit:,g} {unit}", f"{found:,.3g}" if found < 100 else f"{found:,.0f}", found <= limit)  # noqa: PLR2004


def _at_least(wanted: str, found: float, limit: float, unit: str) -> Aim:
    return Aim(f"{wanted} ≥ {limit:,g} {unit}", f"{found:,.3g}" if found < 100 else f"{found:,.0f}", found >= limit)  # noqa: PLR2004


def _tax(found: Mapping[str, Any]) -> Iterator[Aim]:
    for kind, limit in (("native", 60), ("grpcio", 190)):
        yield _at_most(f"tax over {kind}", found[kind]["tax"]["median"], limit, "µs")


def _led(found: Mapping[str, Any], target: str, cpu_us: float, rate: float) -> Iterator[Aim]:
    name = f"LED at recall {target}:"
    yield _at_least(f"{name} recall", found["recall"], float(target), "")
    yield _at_most(f"{name} CPU per call", _median(found, "capacity", "server_cpu_us"), cpu_us, "µs")
    yield _at_least(f"{name} calls per second", _median(found, "capacity", "achieved_rate"), rate, "")
    yield _at_most(f"{name} p50 at half", _median(found, "half", "p50_ms"), _LED_P50_MS, "ms")
    yield _at_most(f"{name} p99 at half", _median(found, "half", "p99_ms"), _LED_P99_MS, "ms")
    tail = _median(found, "half", "p99_9_ms") / _median(found, "half", "p99_ms")
    yield _at_most(f"{name} p99.9 over p99 at half", tail, 3, "")
    yield _at_most(f"{name} start to ready", found["ready_s"], 5, "s")


def _pdn(found: Mapping[str, Any]) -> Iterator[Aim]:
    yield _at_most("PDN: p99 at half", _median(found, "half", "p99_ms"), 2, "ms")


def _fused(found: Mapping[str, Any]) -> Iterator[Aim]:
    """Take the highest rate of the ladder and of half load that was answered in time."""
    loads = [*found["ladder"], found["half"]]
    kept = [load["offered_rate"] for load in loads if load["p99_ms"]["median"] <= 5 and not load["errors"]]  # noqa: PLR2004
    yield _at_least("four sources: calls per second at p99 ≤ 5 ms", max(kept, default=0.0), 1_000, "")


def _workers(found: Mapping[str, Any]) -> Iterator[Aim]:
    one, two = found["1"], found["2"]
    per_call = _median(one, "capacity", "server_cpu_us") / _median(two, "capacity", "server_cpu_us")
    yield _at_least("two workers over one, the client's share discounted", 2 * per_call, 1.8, "times")
    yield _at_most("PSS with two workers over one", two["memory"]["pss"] / one["memory"]["pss"], 1.1, "times")
