"""Figures 2 and 3 of the LED paper on ML-1M: how many negatives, and how to fine-tune SVD vectors on little data."""

from collections.abc import Mapping
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from shortlist_training.config import LedConfig
from shortlist_training.metrics import NAMES
from shortlist_training.reproduction import ml1m
from shortlist_training.reproduction.intervals import (
    change_cell,
    change_over_draws_cell,
    curve,
    mean_over_draws_cell,
    percent,
)
from shortlist_training.reproduction.led_models import (
    LED_LOSSES,
    SVD_START,
    Measured,
    fit_led,
    measured,
)
from shortlist_training.reproduction.led_tables import protocol
from shortlist_training.reproduction.parts import Cell, Curve, PartContext, PartResult, Plot, ResultTable
from shortlist_training.timelines import Rows

NEGATIVES = (10, 50, 100, 500, 1000)
SHARES = (0.001, 0.01, 0.1, 1.0)
DRAWS = {0.001: 10, 0.01: 20}
"""A few users may happen to be good or bad ones: these shares are drawn so many times, the others once."""
RANDOM_DRAWS = 3
"""A random start takes several times as long as one from the SVD and is far behind: it has the first draws only."""
PASSES = 4096
"""A checkpoint of figure 3 passes over at least so many users: the few there are, again and again."""

MULT = LED_LOSSES["mult"]
TUNING = {
    "random": MULT,
    "SVD, train": msgspec.structs.replace(MULT, **SVD_START),
    "SVD, project": msgspec.structs.replace(MULT, tuning="project", **SVD_START),
}

ByShare = Mapping[str, Mapping[float, NDArray[np.float64]]]
"""Recall@50 of a model's draws at each share, (D, U): each test user's."""


def figure_2(context: PartContext) -> PartResult:
    """Measure how much BPR loses against the full multinomial loss, by number of negatives."""
    movies = ml1m.load(context.data, context.seed)

    def run(name: str, config: LedConfig) -> Measured:
        return measured(context, name, movies, lambda: fit_led(movies, config, context, f"LED {name}"))

    mult = run("mult", MULT)
    bpr = {n: run(f"bpr-{n}", msgspec.structs.replace(LED_LOSSES["bpr"], negatives=n)) for n in NEGATIVES}
    changes = {
        n: [change_cell(model.values[name], mult.values[name], context.seed) for name in NAMES]
        for n, model in bpr.items()
    }
    rows: list[tuple[str, tuple[Cell | str | None, ...]]] = [
        (f"BPR, N = {n}", (*changes[n], f"{model.cpu_s:.0f}", model.chosen)) for n, model in bpr.items()
    ]
    columns = (*(f"{name} change in %" for name in NAMES), "CPU s", "chosen on validation")
    note = f" Change to LED with the full multinomial loss ({mult.cpu_s:.0f} CPU s), paired by user."
    title = "BPR against the full loss by number of negatives (figure 2)"
    table = ResultTable(title, protocol(movies, context.seed) + note, columns, tuple(rows))
    curves = tuple(_drop(name, [changes[n][place] for n in NEGATIVES]) for place, name in enumerate(NAMES))
    plot = Plot("led-negatives", title, "negatives N", "drop in % (smaller is better)", log_x=True, curves=curves)
    return PartResult((table,), (plot,), _figure_2_remarks(changes))


def _drop(name: str, cells: list[Cell]) -> Curve:
    low, high = tuple(-(cell.high or 0.0) for cell in cells), tuple(-(cell.low or 0.0) for cell in cells)
    return Curve(name, tuple(float(n) for n in NEGATIVES), tuple(-cell.value for cell in cells), low, high)


def _figure_2_remarks(changes: Mapping[int, list[Cell]]) -> tuple[str, ...]:
    def worst(n: int) -> float:
        return min(cell.value for cell in changes[n])

    claim = "The paper: less than 5 % lost with 10 negatives, less than 1 % with 1000."
    ours = f"Here the worst metric changes by {worst(10):+.1f} % with 10 and by {worst(1000):+.1f} % with 1000."
    return (f"{claim} {ours}",)


def figure_3(context: PartContext) -> PartResult:
    """Train on a share of the training users from random or SVD vectors; the SVD has seen all training users."""
    movies = ml1m.load(context.data, context.seed)

    def run(name: str, share: float, draw: int) -> NDArray[np.float64]:
        histories = sample(movies.train, share, context.seed + draw)
        label = f"LED {name} on {share:.1%}, draw {draw + 1} of {draws_of(share, name)}"
        fit = partial(fit_led, movies, TUNING[name], context, label, histories)
        return measured(context, f"{name}-{share:g}-draw-{draw}", movies, fit).values["recall@50"]

    found = {
        name: {share: np.stack([run(name, share, draw) for draw in range(draws_of(share, name))]) for share in SHARES}
        for name in TUNING
    }
    return _figure_3_result(movies, found, context.seed)


def draws_of(share: float, name: str) -> int:
    """How many choices of users a point of figure 3 is the mean of."""
    draws = DRAWS.get(share, 1)
    return min(draws, RANDOM_DRAWS) if name == "random" else draws


def _figure_3_result(movies: ml1m.Movies, found: ByShare, seed: int) -> PartResult:
    cells = {
        name: [mean_over_draws_cell(by_share[share], seed) for share in SHARES] for name, by_share in found.items()
    }
    users = [max(1, round(share * len(movies.train))) for share in SHARES]
    columns = tuple(f"{share:.1%} ({count} users{_times(share)})" for share, count in zip(SHARES, users, strict=True))
    title = "Recall@50 by initial vectors, tuning and training data (figure 3)"
    note = (
        " Multinomial loss; the SVD vectors always come from all training users. Where several random choices of "
        "training users were drawn, a value is their mean, all models had the same ones (a "
        f"random start the first {RANDOM_DRAWS} only), and the bootstrap draws choices and test users."
    )
    rows = tuple((name, tuple(values)) for name, values in cells.items())
    table = ResultTable(title, protocol(movies, seed) + note, columns, rows)
    curves = tuple(curve(name, (100.0 * share for share in SHARES), values) for name, values in cells.items())
    plot = Plot("led-tuning", title, "% of the training users", "Recall@50", log_x=True, curves=curves)
    return PartResult((table,), (plot,), _figure_3_remarks(found, seed))


def _times(share: float) -> str:
    return f", {DRAWS[share]} draws" if share in DRAWS else ""


def _figure_3_remarks(found: ByShare, seed: int) -> tuple[str, ...]:
    remarks = [
        "The paper: project is ahead of train and of random at 0.1 % and 1 %; at 100 % training the vectors wins."
    ]
    for share in SHARES:
        project = found["SVD, project"][share]
        said = ", ".join(_against(project, found[name][share], name, seed) for name in ("SVD, train", "random"))
        means = {name: float(by_share[share].mean()) for name, by_share in found.items()}
        best = [name for name, mean in means.items() if mean == max(means.values())]
        remarks.append(f"At {share:.1%}: best is {' and '.join(best)}; project is {said}.")
    return tuple(remarks)


def _against(project: NDArray[np.float64], other: NDArray[np.float64], name: str, seed: int) -> str:
    """Compare on the draws that both had, (D, U) each; with several draws say in how many *project* is ahead."""
    shared = min(len(project), len(other))
    project, other = project[:shared], other[:shared]
    said = f"{percent(change_over_draws_cell(project, other, seed))} to {name}"
    if shared == 1:
        return said
    ahead = int((project.mean(axis=1) > other.mean(axis=1)).sum())
    return f"{said} (ahead in {ahead} of {shared} draws)"


def sample(histories: list[Rows], share: float, seed: int) -> list[Rows]:
    """Choose a share of the users, and repeat them until a pass is over `PASSES` users; larger shares hold smaller."""
    count = max(1, round(share * len(histories)))
    order = np.random.default_rng(seed).permutation(len(histories))
    chosen = [histories[user] for user in order[:count]]
    return chosen * max(1, -(-PASSES // count)) if count < PASSES else chosen
