"""Whom and what the item-interaction models serve well: held-out purchases by told history and by item popularity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pyarrow as pa
from ibis import ir
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.hit_rate import ItemScorer, Wanted, ranks, rows_in
from shortlist_training.metrics import DECILES, deciles
from shortlist_training.reproduction.intervals import mean_cell
from shortlist_training.reproduction.item_interaction_data import user_questions
from shortlist_training.reproduction.item_interaction_models import SELECTION_SIZE
from shortlist_training.reproduction.parts import Cell, Curve, Plot, ResultTable

EVERYTHING = 1 << 30
POPULARITY = "popularity"
SHOWN = ("view-interaction", "cart-interaction", "no-interaction", POPULARITY)

Models = Mapping[str, tuple[ItemScorer, Sequence[InteractionType]]]
"""A model's scorer, and the interactions that it starts from."""


@dataclass(frozen=True)
class Held:
    """Purchases to be found, one per user (columns user, item), in a log with items (ascending keys)."""

    log: ir.Table
    purchases: pa.Table
    items: NDArray[np.generic]
    protocol: str
    seed: int

    def ranks(self, scorer: ItemScorer, kinds: Sequence[InteractionType], last: int) -> NDArray[np.int64]:
        """Rank each user's purchase among items that are new to the user, from the last items of some kinds: (U,)."""
        return ranks(scorer, self._wanted(kinds, last))

    def popular(self, scorer: ItemScorer) -> NDArray[np.int64]:
        """Rank with a scorer that asks for no history, which every user has candidates of: (U,)."""
        asked = self._wanted((), 0)
        return ranks(scorer, replace(asked, sources=[np.zeros(1, dtype=np.int64)] * len(asked.sources)))

    def seen(self) -> NDArray[np.int64]:
        """Count the distinct items of each user in the log, by any interaction: (U,)."""
        return np.array([len(rows) for rows in self._wanted((), 0).seen], dtype=np.int64)

    def _wanted(self, kinds: Sequence[InteractionType], last: int) -> Wanted:
        return user_questions(self.log, self.purchases, self.items, kinds, last, keep_seen=False)


def history_table(models: Models, held: Held, lengths: Sequence[int]) -> tuple[ResultTable, Plot]:
    """Hit rate at `SELECTION_SIZE` when models are told fewer of the user's last items than there are."""
    seen = held.seen()
    columns = (*(str(length) for length in lengths), f"{lengths[-1]}+ (all, median {np.median(seen):g})")
    rows = [(name, _by_length(name, *models[name], held, lengths)) for name in SHOWN]
    enough = ", ".join(f"{(seen >= length).sum()} have {length}" for length in lengths if length)
    title = f"Hit rate of {SELECTION_SIZE} candidates by length of the history"
    note = (
        " Columns: how many of the user's last items, of the model's kind of interaction, the model is told; the last "
        "column tells all. Whom and what is ranked stays the same: items that the user interacted with are never "
        f"candidates. Of the {len(seen)} users {enough} or more distinct items in the log. Told none, an embedding has "
        "nothing to start from and finds nothing; popularity, which asks for no history, is what a new user gets."
    )
    x = tuple(float(place) for place in range(len(columns)))
    table = ResultTable(title, held.protocol + note, columns, tuple(rows))
    curves = [(name, x, cells) for name, cells in rows]
    plot = _plot("item-interaction-history-length", title, "items told", curves)
    return table, msgspec.structs.replace(plot, x_names=columns)


def decile_table(found: Mapping[str, NDArray[np.int64]], held: Held) -> tuple[ResultTable, Plot]:
    """Hit rate at `SELECTION_SIZE` by decile of the log's items in events; 1 is the least popular tenth.

    found: each model's ranks of the purchases, (U,).
    """
    counts = _events_of(held)
    row = rows_in(held.items, held.purchases["item"])
    decile = np.where(row >= 0, deciles(counts)[np.maximum(row, 0)], -1)
    known = [number for number in range(DECILES) if (decile == number).any()]
    rows = []
    for name in SHOWN:
        hits = (found[name] < SELECTION_SIZE).astype(np.float64)
        rows.append((name, tuple(mean_cell(hits[decile == number], held.seed) for number in known)))
    title = f"Hit rate of {SELECTION_SIZE} candidates by popularity of the item"
    purchases = ", ".join(str((decile == number).sum()) for number in known)
    note = (
        f" Deciles of the log's {len(counts)} items by events, 1 the least popular tenth; events per item: "
        f"{_ranges(counts, known)}. Items with equally many are told apart by their keys only. Purchases per decile: "
        f"{purchases}; {(decile < 0).sum()} more are of items that the log lacks, which no model finds."
    )
    table = ResultTable(title, held.protocol + note, tuple(str(number + 1) for number in known), tuple(rows))
    x = tuple(number + 1.0 for number in known)
    curves = [(name, x, cells) for name, cells in rows]
    return table, _plot("item-interaction-popularity", title, "popularity decile", curves)


def _by_length(
    name: str, scorer: ItemScorer, kinds: Sequence[InteractionType], held: Held, lengths: Sequence[int]
) -> tuple[Cell, ...]:
    if name == POPULARITY:
        return (_cell(held.popular(scorer), held.seed),) * (len(lengths) + 1)
    return tuple(_cell(held.ranks(scorer, kinds, last), held.seed) for last in (*lengths, EVERYTHING))


def _cell(found: NDArray[np.int64], seed: int) -> Cell:
    return mean_cell((found < SELECTION_SIZE).astype(np.float64), seed)


def _events_of(held: Held) -> NDArray[np.int64]:
    """Count each item's events in the log: (I,)."""
    counted = held.log.group_by("item").agg(events=lambda t: t.count()).to_pyarrow()
    counts = np.zeros(len(held.items), dtype=np.int64)
    counts[rows_in(held.items, counted["item"])] = counted["events"].to_numpy()
    return counts


def _ranges(counts: NDArray[np.int64], known: Sequence[int]) -> str:
    decile = deciles(counts)
    ends = [(counts[decile == number].min(), counts[decile == number].max()) for number in known]
    return ", ".join(f"{low}" if low == high else f"{low} to {high}" for low, high in ends)


def _plot(name: str, title: str, x_label: str, rows: list[tuple[str, tuple[float, ...], tuple[Cell, ...]]]) -> Plot:
    curves = tuple(
        Curve(
            model,
            x,
            tuple(cell.value for cell in cells),
            tuple(cell.low or 0.0 for cell in cells),
            tuple(cell.high or 0.0 for cell in cells),
        )
        for model, x, cells in rows
    )
    return Plot(name, title, x_label, f"hit rate at {SELECTION_SIZE}", curves=curves)
