"""Draws plots as PNG. Apart from `plots`, since matplotlib takes a second to import."""

from pathlib import Path

import matplotlib as mpl

from shortlist_training.plots import Plot

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw(plot: Plot, path: Path) -> None:
    """Draw one plot as PNG."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    if plot.matrix is not None:
        image = axes.imshow(plot.matrix, cmap="viridis")
        axes.set_xticks(range(len(plot.matrix_labels)), plot.matrix_labels, rotation=90)
        axes.set_yticks(range(len(plot.matrix_labels)), plot.matrix_labels)
        figure.colorbar(image)
    for curve in plot.curves:
        (line,) = axes.plot(curve.x, curve.y, marker="o", label=curve.label)
        if curve.low and curve.high:
            axes.fill_between(curve.x, curve.low, curve.high, color=line.get_color(), alpha=0.15)
    if plot.curves:
        axes.legend()
        axes.grid(visible=True, alpha=0.3)
    if plot.log_x:
        axes.set_xscale("log")
    if plot.x_names:
        axes.set_xticks(range(len(plot.x_names)), plot.x_names)
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    figure.savefig(path, dpi=150)
    plt.close(figure)
