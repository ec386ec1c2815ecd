"""One held-out purchase per RetailRocket user, from the user's last interactions of each type."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import ir
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.hit_rate import ItemScorer, Wanted, hit_rates, ranks, rows_in
from shortlist_training.reproduction.intervals import mean_cell
from shortlist_training.reproduction.item_interaction_data import (
    EVENTS,
    PURCHASES,
    hold_out,
    in_memory,
    item_keys,
    read_events,
    user_questions,
)
from shortlist_training.reproduction.item_interaction_groups import Held, decile_table, history_table
from shortlist_training.reproduction.item_interaction_models import (
    SELECTION_SIZE,
    Choices,
    Grids,
    Question,
    choose,
    fit,
)
from shortlist_training.reproduction.parts import Cell, Curve, PartContext, PartResult, Plot, ResultTable

Row = tuple[str, tuple[Cell, ...]]


class UserSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the part's result. lasts: how many last interactions validation may choose to start from.

    lengths: of the histories that models are told, to measure what users with short ones get.
    """

    sizes: tuple[int, ...]
    lasts: tuple[int, ...]
    grids: Grids
    lengths: tuple[int, ...] = (0, 1, 2, 5, 10, 20)


def run(context: PartContext, settings: UserSettings) -> PartResult:
    """Choose settings by a second held-out purchase of training users, then find the data set's test purchases."""
    events = in_memory(read_events(context.data / EVENTS))
    log, held = hold_out(events, events.select("user").distinct().to_pyarrow()["user"].to_numpy())
    validation = _question(in_memory(log), held)
    choices = choose(validation, settings.grids, context.seed, settings.lasts, context.progress)
    test = pq.read_table(context.data / PURCHASES).sort_by("user")
    items = item_keys(events)
    rows_apart, rows_with, curves, found = [], [], [], {}
    models = fit(events, items, choices, context.seed)
    for name, (scorer, kinds) in models.items():
        context.progress(f"measuring {name}", 0, 0)
        last = _last_of(name, choices)
        apart, found[name], cells = _measure(
            scorer, events, test, items, kinds, last, settings.sizes, context.seed, keep_seen=False
        )
        *_, with_seen = _measure(scorer, events, test, items, kinds, last, settings.sizes, context.seed, keep_seen=True)
        started = float(np.mean([bool(scorer.covered[rows].any()) for rows in apart.sources]))
        rows_apart.append((name, (Cell(started), *cells)))
        rows_with.append((name, (Cell(started), *with_seen)))
        curves.append(_curve(name, cells, settings.sizes))
    columns = ("users with candidates", *(str(size) for size in settings.sizes))
    protocol = _protocol(test, held, context.seed)
    plot = Plot(
        "item-interaction-users", "Held-out purchases found", "candidates", "hit rate", log_x=True, curves=tuple(curves)
    )
    context.progress("measuring short histories", 0, 0)
    held_out = Held(events, test, items, protocol, context.seed)
    histories, by_history = history_table(models, held_out, settings.lengths)
    popular, by_decile = decile_table(found, held_out)
    tables = (*_tables(rows_apart, rows_with, columns, protocol), histories, popular)
    remarks = (_verdict(dict(rows_apart), settings.sizes), *_remarks(events, items, test), *choices.remarks())
    return PartResult(tables, (plot, by_history, by_decile), remarks)


def _tables(
    apart: Sequence[Row], with_seen: Sequence[Row], columns: tuple[str, ...], protocol: str
) -> tuple[ResultTable, ...]:
    title = "Hit rate of held-out purchases, {} items that the user interacted with"
    note = " These items stay among the candidates, though none of them is ever the one held out."
    return (
        ResultTable(title.format("without"), protocol, columns, tuple(apart)),
        ResultTable(title.format("with"), protocol + note, columns, tuple(with_seen)),
    )


def _question(log: ir.Table, held: pa.Table) -> Question:
    items = item_keys(log)
    asked: dict[tuple[tuple[InteractionType, ...], int], Wanted] = {}

    def wanted(kinds: Sequence[InteractionType], last: int) -> Wanted:
        key = (tuple(kinds), last)
        if key not in asked:
            asked[key] = user_questions(log, held, items, kinds, last, keep_seen=False)
        return asked[key]

    return Question(log, items, wanted)


def _last_of(name: str, choices: Choices) -> int:
    if name == "co-purchase":
        return choices.copurchase_last
    if name in {"no-interaction", "popularity"}:
        return choices.untyped.last
    return choices.plain_negatives.last if "random" in name else choices.typed.last


def _measure(
    scorer: ItemScorer,
    log: ir.Table,
    held: pa.Table,
    items: NDArray[np.generic],
    kinds: Sequence[InteractionType],
    last: int,
    sizes: Sequence[int],
    seed: int,
    *,
    keep_seen: bool,
) -> tuple[Wanted, NDArray[np.int64], tuple[Cell, ...]]:
    wanted = user_questions(log, held, items, kinds, last, keep_seen=keep_seen)
    rank = ranks(scorer, wanted)
    values = [hit_rates(rank, wanted, size) for size in sizes]
    return wanted, rank, tuple(mean_cell(found, seed) for found in values)


def _curve(name: str, cells: Sequence[Cell], sizes: Sequence[int]) -> Curve:
    return Curve(
        name,
        tuple(float(size) for size in sizes),
        tuple(cell.value for cell in cells),
        tuple(cell.low or 0.0 for cell in cells),
        tuple(cell.high or 0.0 for cell in cells),
    )


def _protocol(test: pa.Table, held: pa.Table, seed: int) -> str:
    return (
        f"{test.num_rows} RetailRocket buyers, one held-out purchase each; the log lacks every event of that user and "
        "item, so no view or cart of it leaks. Candidates of the user's last interactions of the model's kind, merged "
        "by best score. Models are trained on the whole remaining log; settings chosen on a second purchase held out "
        f"alike from {held.num_rows} users who have one. Users without candidates count as misses. Seed {seed}."
    )


def _verdict(rows: Mapping[str, Sequence[Cell]], sizes: Sequence[int]) -> str:
    at = min(range(len(sizes)), key=lambda place: abs(sizes[place] - SELECTION_SIZE))
    view, untyped, copurchase = (
        rows[name][at + 1].value for name in ("view-interaction", "no-interaction", "co-purchase")
    )
    return (
        f"At {sizes[at]} candidates view-interaction finds {view:.1%} of these purchases, no-interaction {untyped:.1%} "
        f"and co-purchase {copurchase:.1%}. They are purchases of items that the user never touched before."
    )


def _remarks(log: ir.Table, items: NDArray[np.generic], test: pa.Table) -> tuple[str, ...]:
    known = float((rows_in(items, test["item"]) >= 0).mean())
    bought = item_keys(log.filter(log["type"] == int(InteractionType.PURCHASE)))
    with_purchase = float((rows_in(bought, test["item"]) >= 0).mean())
    ceiling = (
        f"{known:.1%} of the held-out items occur in the log at all and {with_purchase:.1%} with a purchase: ceilings "
        "of candidates by any token and by purchase tokens."
    )
    return ceiling, "The held-out purchases have no time: a user's last interactions may be later than the purchase."
