"""Draws the sweep of `loadtest.bench_sources`. matplotlib comes with the training package."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt


def draw_sweep(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG: CPU and recall@100 by the share of the catalogue that is eligible, a line per number excluded."""
    figure, (cost, recall) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault(str(row["excluded"]), []).append(row)
    for label, line in lines.items():
        shares = [100 * float(row["share"]) for row in line]
        cost.plot(shares, [row["cpu_us"] for row in line], marker="o", label=f"{label} excluded")
        recall.plot(shares, [row["recall"] for row in line], marker="o")
    cost.set(xscale="log", yscale="log", xlabel="eligible, % of the catalogue", ylabel="CPU, µs")
    recall.set(xscale="log", xlabel="eligible, % of the catalogue", ylabel="recall@100", ylim=(0.8, 1.01))
    recall.axhline(0.95, color="grey", linewidth=0.8, linestyle="--")
    cost.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
