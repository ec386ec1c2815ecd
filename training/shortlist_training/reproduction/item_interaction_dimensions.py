"""Table 3 of the item-interaction paper: what fewer dimensions than 100 cost in hit rate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from ibis import ir
from numpy.typing import NDArray

from shortlist_training.hit_rate import ItemScorer
from shortlist_training.reproduction.item_interaction_models import VIEW, Choices, EmbeddingChoice, learn, typed_scorer
from shortlist_training.reproduction.item_interaction_targets import rate_cell, rate_change
from shortlist_training.reproduction.parts import Cell, Progress, ResultTable

VARIANTS = ("as equation 3", "other items")
PAPER = {
    "view-interaction": {25: -7.51, 50: -1.31, 75: -1.85},
    "no-interaction": {25: -12.95, 50: -0.19, 75: -0.16},
}
"""Percent change of the hit rate against d = 100."""

Hits = Callable[[ItemScorer, str, str], NDArray[np.float64]]
"""Measures a scorer, named as its model, in a variant: (P,) hit rates, NaN where nothing was wanted."""

Rates = Mapping[tuple[int, str], NDArray[np.float64]]
"""(P,) hit rates by dimension and variant, means over seeds."""


class DimensionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared with the models' own dimension, and with how many seeds each is trained."""

    dims: tuple[int, ...] = (25, 50, 75)
    seeds: int = 1


@dataclass(frozen=True)
class Task:
    """What to train on, with which settings, and how to measure it. users (P,): whose each query is."""

    log: ir.Table
    items: NDArray[np.generic]
    choices: Choices
    hits: Hits
    users: NDArray[np.int64]
    protocol: str
    seed: int
    progress: Progress


def table_3(task: Task, settings: DimensionSettings) -> ResultTable:
    """Train view-interaction and no-interaction with every dimension; changes in percent of the own dimension."""
    models = {"view-interaction": task.choices.typed.choice, "no-interaction": task.choices.untyped.choice}
    columns, rows = tuple[str, ...](), []
    for name, choice in models.items():
        full = choice.skipgram.dim
        rates = _rates(task, name, choice, settings)
        cells: dict[str, Cell | None] = {
            f"d = {full}, {variant}": rate_cell(rates[full, variant], task.users, task.seed) for variant in VARIANTS
        }
        for variant in VARIANTS:
            for dim in settings.dims:
                cells[f"d = {dim} in %, {variant}"] = rate_change(
                    rates[dim, variant], rates[full, variant], task.users, task.seed
                )
        for dim in settings.dims:
            cells[f"paper: d = {dim} in %"] = Cell(PAPER[name][dim]) if dim in PAPER[name] else None
        columns = tuple(cells)
        rows.append((name, tuple(cells.values())))
    note = (
        f" Candidate sets of 200; settings as chosen for the first column's dimension; mean over {settings.seeds} "
        f"training(s), seeds from {task.seed} on; changes against that dimension, paired by query."
    )
    return ResultTable("Hit rate of purchases by dimension (table 3)", task.protocol + note, columns, tuple(rows))


def _rates(task: Task, name: str, choice: EmbeddingChoice, settings: DimensionSettings) -> Rates:
    found = {}
    for dim in (choice.skipgram.dim, *settings.dims):
        task.progress(f"{name}, d = {dim}", 0, 0)
        sized = msgspec.structs.replace(choice, skipgram=msgspec.structs.replace(choice.skipgram, dim=dim))
        scorers = [
            typed_scorer(learn(task.log, sized, task.seed + number), task.items, VIEW, sized)
            for number in range(settings.seeds)
        ]
        for variant in VARIANTS:
            found[dim, variant] = np.mean([task.hits(scorer, name, variant) for scorer in scorers], axis=0)
    return found
