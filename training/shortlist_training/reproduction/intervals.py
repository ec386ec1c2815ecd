"""Numbers with intervals for result tables: bootstrap over users, who are the independent units."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist_training.metrics import interval, ratio_interval
from shortlist_training.reproduction.parts import Cell, Curve
from shortlist_training.time_split import mean_over_runs

SAMPLES = 1000


def mean_cell(values: NDArray[np.float64], seed: int) -> Cell:
    """Average one value per user, (U,), with a 95 % interval."""
    return Cell(float(values.mean()), *interval(values, SAMPLES, seed))


def ratio_cell(numerators: NDArray[np.float64], denominators: NDArray[np.float64], seed: int) -> Cell:
    """Divide the sums of two per-user values, both (U,); the interval is `ratio_interval`'s."""
    ratio = float(numerators.sum() / denominators.sum())
    return Cell(ratio, *ratio_interval(numerators, denominators, SAMPLES, seed))


def change_cell(values: NDArray[np.float64], reference: NDArray[np.float64], seed: int) -> Cell:
    """Compare the means of two models on the same users, in percent of the reference: 0 is no change."""
    ratio = ratio_cell(values, reference, seed)
    low, high = (None if bound is None else 100.0 * (bound - 1.0) for bound in (ratio.low, ratio.high))
    return Cell(100.0 * (ratio.value - 1.0), low, high)


def mean_over_draws_cell(values: NDArray[np.float64], seed: int) -> Cell:
    """Average one value per draw and user, (D, U); the interval resamples draws and users."""
    found = mean_over_runs(values, np.arange(values.shape[1]), SAMPLES, seed)
    return Cell(float(values.mean()), found.low, found.high)


def change_over_draws_cell(values: NDArray[np.float64], reference: NDArray[np.float64], seed: int) -> Cell:
    """Compare two models on the same draws and users, (D, U) each, in percent of the reference.

    Each sample takes draws and users anew, both models with the same ones: so the interval holds what other draws and
    other users would change. It is rather too wide than too narrow: what one user makes of one draw is counted with
    each.
    """
    rng = np.random.default_rng(seed)
    draws, users = values.shape
    ratios = []
    for _ in range(SAMPLES):
        chosen = np.ix_(rng.integers(draws, size=draws), rng.integers(users, size=users))
        if reference[chosen].any():
            ratios.append(values[chosen].sum() / reference[chosen].sum())
    low, high = (100.0 * (float(end) - 1.0) for end in np.percentile(ratios, [2.5, 97.5]))
    return Cell(100.0 * (float(values.sum() / reference.sum()) - 1.0), low, high)


def percent(cell: Cell) -> str:
    """Write a change in percent with its interval, for a text cell."""
    return f"{cell.value:+.1f} % [{cell.low:+.1f}, {cell.high:+.1f}]"


def curve(name: str, x: Iterable[float], cells: Sequence[Cell]) -> Curve:
    """Draw cells over `x`, with their intervals."""
    low, high = (tuple(bound or 0.0 for bound in ends) for ends in zip(*((c.low, c.high) for c in cells), strict=True))
    return Curve(name, tuple(float(value) for value in x), tuple(cell.value for cell in cells), low, high)
