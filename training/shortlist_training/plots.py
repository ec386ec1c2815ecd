"""Plots as plain data; `drawing` makes PNGs of them."""

import msgspec


class Curve(msgspec.Struct, frozen=True):
    """One line of a plot, with optional lower and upper bounds of each y."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


class Plot(msgspec.Struct, frozen=True):
    """Curves over one axis, or (with `matrix`) a heat map with `matrix_labels` on both sides. `name` is the file's.

    x_names: what the places 0, 1, ... of the x axis are called, where they are no numbers.
    """

    name: str
    title: str
    x_label: str = ""
    y_label: str = ""
    log_x: bool = False
    curves: tuple[Curve, ...] = ()
    matrix: tuple[tuple[float, ...], ...] | None = None
    matrix_labels: tuple[str, ...] = ()
    x_names: tuple[str, ...] = ()
