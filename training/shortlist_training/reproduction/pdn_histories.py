"""Whom and what PDN serves well on MovieLens-1M: by how much of a history it is told, and by popularity of a movie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
import torch

from shortlist_training.baselines import ease, gram
from shortlist_training.leave_one_out import Cases, Ranks, history_scorer, ranks
from shortlist_training.metrics import DECILES, deciles
from shortlist_training.pdn.comparison import ease_lambdas, popular
from shortlist_training.pdn.inference import Float, serve, similarity_matrix
from shortlist_training.pdn.model import Pdn
from shortlist_training.pdn.strangers import as_strangers
from shortlist_training.reproduction.intervals import curve, mean_cell, ratio_cell
from shortlist_training.reproduction.kept_ranks import kept
from shortlist_training.reproduction.led_tables import LENGTHS, shortened
from shortlist_training.reproduction.parts import Cell, Part, PartContext, PartResult, Plot, ResultTable
from shortlist_training.reproduction.pdn_data import FILES, REQUESTS, Data, Settings, everything, fit
from shortlist_training.reproduction.pdn_tables import COLUMNS, PROTOCOL, per_user

KNOWN = "PDN, known by id"
PLOTTED = COLUMNS.index("HR@10, all items")
TOLD = (
    " Columns: how many of the user's training items, drawn at random, a method is told, as in LED's table; every user "
    "has {least} or more. Whom and what is ranked stays the same, and so do the models: statistics of pairs and "
    "popularity are those of the whole training log. PDN is told the profile, the time of the request and the items, "
    "and not who it is: ids of users are the mean of all, factors are folded in. '{known}' is the row of table 2."
)
BY_DECILE = (
    " The users whose item is in this tenth of the {items} items by training popularity, 1 the least popular. Users "
    "per tenth: {wanted}. PDN knows its users by id and is told all, as in table 2."
)
AHEAD = "The same users: mean of PDN's value less EASE's, user by user; an interval that holds 0 is no difference."
REMARKS = (
    "Told nothing, PDN has no path, and factors of 0 weigh all items alike: all are level, as they are for EASE.",
    "Equal scores count as ranked before the target, so that level items are no answer at all.",
    "The service answers a user of whom it knows no item by popularity: popularity's row is what a new user gets.",
    "A direct net of factors takes nothing from profiles, so that they tell nothing of a user without triggers.",
    "Training has nobody with 10 items or fewer: for who is told so few, TrigNet's embedding of activity is untrained.",
)

Measured = tuple[Cell | None, ...]
Cells = Mapping[str, Sequence[Measured]]
"""Of each method a row for each of `COLUMNS`."""

Shown = tuple[tuple[ResultTable, ResultTable], Plot]


@dataclass(frozen=True)
class Fitted:
    """PDN with its s_ji of the whole log, and EASE, both to be asked about users of whom little is told."""

    data: Data
    model: Pdn
    similarity: Float
    penalty: float
    weights: Float

    def known(self) -> dict[str, Ranks]:
        """Rank by PDN as it was trained, with what it knows of each user's id."""
        test = self.data.test
        return {KNOWN: ranks(serve(self.model, test.history, self.data.now, self.similarity).score_all, test)}

    def told(self, length: int, seed: int) -> dict[str, Ranks]:
        """Rank the same items for the same users, of whom no more than `length` items are told."""
        test = self.data.test
        told = shortened(test.history, length, seed)
        strangers = as_strangers(self.model, told, self.data.factors_now, SETTINGS.factors)
        scorers = {
            "PDN": serve(strangers, told, self.data.now, self.similarity).score_all,
            f"EASE (lambda {self.penalty:g})": history_scorer(told, self.weights),
            "popularity": popular(test).scorer,
        }
        return {name: ranks(scorer, test) for name, scorer in scorers.items()}


def run_histories(context: PartContext) -> PartResult:
    """Measure PDN, EASE and popularity for users of whom little is told, and by popularity of the target."""
    torch.set_num_threads(context.threads)
    fitted = _fitted(context)
    test, seed = fitted.data.test, context.seed
    known = kept(context.work, "known", fitted.known)
    told: dict[str, dict[str, Ranks]] = {}
    for label, length in _lengths(test).items():
        context.progress(f"told {label}", len(told), len(LENGTHS) + 1)
        told[label] = kept(context.work, f"told-{length}", partial(fitted.told, length, seed))
    *_, everything_told = told.values()
    shown = _by_length(told, known, test, seed), _by_decile(everything_told | {"PDN": known[KNOWN]}, test, seed)
    return PartResult(
        tuple(table for tables, _ in shown for table in tables), tuple(plot for _, plot in shown), REMARKS
    )


def _fitted(context: PartContext) -> Fitted:
    data, validation = everything(SETTINGS, context)
    model, _ = fit(data, SETTINGS.pdn, SETTINGS.fitting, "PDN", context)
    penalty, *_ = ease_lambdas(validation, SETTINGS.baselines, context.progress)
    return Fitted(data, model, similarity_matrix(model, data.now), penalty, ease(gram(data.test.history), penalty))


def _lengths(test: Cases) -> dict[str, int]:
    """How many items are told, by the column's label; the last is all of them."""
    length = np.diff(test.history.indptr)
    return {str(told): told for told in LENGTHS} | {f"all (median {np.median(length):.0f})": int(length.max())}


def _by_length(told: Mapping[str, Mapping[str, Ranks]], known: Mapping[str, Ranks], test: Cases, seed: int) -> Shown:
    values = {label: {name: per_user(found) for name, found in one.items()} for label, one in told.items()}
    ours, theirs, *_ = names = list(next(iter(values.values())))

    def measured(name: str, less: str | None = None) -> list[Measured]:
        return [
            tuple(mean_cell(one[name][at] - (one[less][at] if less else 0.0), seed) for one in values.values())
            for at in range(len(COLUMNS))
        ]

    nothing = (None,) * (len(told) - 1)
    by_id = {name: [(*nothing, mean_cell(one, seed)) for one in per_user(found)] for name, found in known.items()}
    cells = {name: measured(name) for name in names} | by_id
    note = PROTOCOL + TOLD.format(least=int(np.diff(test.history.indptr).min()), known=KNOWN)
    tables = _tables("By length of the history", note, tuple(told), cells, measured(ours, theirs))
    plot = _plot("pdn-history-length", "by length of the history", "items told", cells)
    return tables, msgspec.structs.replace(plot, x_names=tuple(told))


def _by_decile(whole: Mapping[str, Ranks], test: Cases, seed: int) -> Shown:
    counts = np.asarray(test.history.sum(axis=0)).ravel()
    of_target = deciles(counts)[test.targets]
    wanted = [(of_target == group).astype(np.float64) for group in range(DECILES)]
    values = {name: per_user(found) for name, found in whole.items()}
    ours, theirs, *_ = values

    def measured(name: str, less: str | None = None) -> list[Measured]:
        lead = [one - (values[less][at] if less else 0.0) for at, one in enumerate(values[name])]
        return [
            tuple(ratio_cell(one * group, group, seed) if group.any() else None for group in wanted) for one in lead
        ]

    cells = {name: measured(name) for name in values}
    sizes = ", ".join(f"{group.sum():.0f}" for group in wanted)
    note = PROTOCOL + BY_DECILE.format(items=len(counts), wanted=sizes)
    columns = tuple(str(group + 1) for group in range(DECILES))
    tables = _tables("By popularity of the movie", note, columns, cells, measured(ours, theirs))
    return tables, _plot("pdn-popularity", "by popularity of the movie", "popularity decile", cells, first=1)


def _tables(
    title: str, note: str, columns: tuple[str, ...], cells: Cells, lead: Sequence[Measured]
) -> tuple[ResultTable, ResultTable]:
    """Put each measure's rows together; PDN's lead over EASE is a table of its own."""
    rows = tuple((f"{measure}: {name}", cells[name][at]) for at, measure in enumerate(COLUMNS) for name in cells)
    ahead = tuple(zip(COLUMNS, lead, strict=True))
    return ResultTable(title, note, columns, rows), ResultTable(f"{title}: PDN minus EASE", AHEAD, columns, ahead)


def _plot(name: str, title: str, x_label: str, cells: Cells, first: int = 0) -> Plot:
    curves = []
    for method, measures in cells.items():
        shown = {at: cell for at, cell in enumerate(measures[PLOTTED], first) if cell is not None}
        curves.append(curve(method, shown, list(shown.values())))
    measure = COLUMNS[PLOTTED]
    return Plot(name, f"{measure}, {title}", x_label, measure, curves=tuple(curves))


SETTINGS = Settings()
PART = Part(
    name="pdn/histories",
    title="PDN on MovieLens-1M for short histories and rare movies",
    inputs=(*FILES, REQUESTS),
    settings={"experiment": msgspec.to_builtins(SETTINGS), "lengths": LENGTHS},
    run=run_histories,
)
