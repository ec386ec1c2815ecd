"""Draws what the bench found. matplotlib comes with the training package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

Results = Mapping[str, Mapping[str, Any]]
_SCENARIOS = ("led95", "led90", "two_tower", "pdn", "fused", "glove95")


def draw(results: Results, folder: Path) -> None:
    """Write `performance-{latency,cpu,sizes}.png`, those of them whose parts were measured."""
    scenarios = {name: results[name]["found"] for name in _SCENARIOS if name in results}
    if scenarios:
        _latency(scenarios, folder / "performance-latency.png")
        _cpu(scenarios, folder / "performance-cpu.png")
    if "sizes" in results:
        _sizes(results["sizes"]["found"], folder / "performance-sizes.png")


def _latency(scenarios: Mapping[str, Any], path: Path) -> None:
    """Plot p50, p99 and p99.9 by rate, a panel per scenario."""
    figure, panels = plt.subplots(
        1, len(scenarios), figsize=(3.4 * len(scenarios), 3.4), layout="constrained", squeeze=False, sharey=True
    )
    for panel, found in zip(panels[0], scenarios.values(), strict=True):
        rates = [rung["offered_rate"] for rung in found["ladder"]]
        for name, label in (("p50_ms", "p50"), ("p99_ms", "p99"), ("p99_9_ms", "p99.9")):
            panel.plot(rates, [rung[name]["median"] for rung in found["ladder"]], marker="o", label=label)
        panel.axvline(found["capacity"]["achieved_rate"]["median"], color="grey", linestyle="--", linewidth=0.8)
        panel.set(title=found["title"], xlabel="calls per second", yscale="log")
        panel.title.set_fontsize(8)
    panels[0][0].set_ylabel("ms from the planned send time")
    panels[0][0].legend(fontsize=8)
    _save(figure, path)


def _cpu(scenarios: Mapping[str, Any], path: Path) -> None:
    """Plot encode, search and tax of every scenario, stacked."""
    figure, panel = plt.subplots(figsize=(8, 0.6 * len(scenarios) + 1.2), layout="constrained")
    names = [found["title"] for found in scenarios.values()]
    left = [0.0] * len(names)
    limits = [found["limit"] for found in scenarios.values()]
    cpu = [found["capacity"]["server_cpu_us"]["median"] for found in scenarios.values()]
    parts = {
        "encode": [each["encode_us"] for each in limits],
        "search": [each["search_us"] for each in limits],
        "tax": [max(0.0, spent - each["limit_us"]) for spent, each in zip(cpu, limits, strict=True)],
    }
    for label, values in parts.items():
        panel.barh(names, values, left=left, label=label)
        left = [start + value for start, value in zip(left, values, strict=True)]
    panel.invert_yaxis()
    panel.set(xlabel="server CPU per call, µs")
    panel.legend(fontsize=8)
    _save(figure, path)


def _sizes(found: Mapping[str, Any], path: Path) -> None:
    """Plot CPU and latency by the catalogue's size."""
    figure, (cost, latency) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    sizes = sorted(int(size) for size in found)
    each = [found[str(size)] for size in sizes]
    cost.plot(sizes, [one["capacity"]["server_cpu_us"]["median"] for one in each], marker="o", label="server, per call")
    cost.plot(sizes, [one["limit"]["search_us"] for one in each], marker="o", label="search alone")
    for name, label in (("p50_ms", "p50"), ("p99_ms", "p99")):
        latency.plot(sizes, [one["half"][name]["median"] for one in each], marker="o", label=label)
    cost.set(xscale="log", yscale="log", xlabel="items", ylabel="CPU, µs")
    latency.set(xscale="log", yscale="log", xlabel="items", ylabel="ms at half of capacity")
    for panel in (cost, latency):
        panel.legend(fontsize=8)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - matplotlib's
    figure.savefig(path, dpi=110)
    plt.close(figure)
