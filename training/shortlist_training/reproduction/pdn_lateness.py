"""Whether lateness, which is measured without times, knows the next item: MovieLens-100k has times to tell by.

Each user's history is cut at its newest item and at random items of its second half; what comes next is ranked by EASE
of other users. The triggers weigh alike, or lateness^power. Nothing of MovieLens-1M is looked at here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ibis
import msgspec
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist_training.baselines import ease, gram
from shortlist_training.leave_one_out import Cases, draw_unknown, history_scorer, hits, measured, ndcg, ranks
from shortlist_training.pdn.features import DAY_S, Behaviour
from shortlist_training.pdn.lateness import late_codes, lateness, weighed
from shortlist_training.reproduction.parts import Cell, Part, PartContext, PartResult, ResultTable
from shortlist_training.timelines import Rows, incidence

TIMED = "ml-100k/interactions.parquet"
TITLE = "EASE with triggers that weigh lateness^power"
GROUPS = ("first visit, next item", "first visit, newest item", "back, next item", "back, newest item")

Timeline = tuple[Rows, Rows]
"""A user's items, oldest first, and the second at which each was taken."""

PROTOCOL = (
    "MovieLens-100k, all users; mean over the cuts of each kind, whose number stands in brackets. All items: all that "
    "the history before the cut does not have. EASE (lambda {penalty:g}) and lateness are of the users outside of a "
    "user's fold, {folds} folds. Newest: the cut before the last item; next: up to {cuts} cuts of the second half. "
    "Back: the item was taken more than a day after the user's first. Bootstrap 95 % intervals over cuts."
)
REMARKS = (
    "It chooses that triggers of a first visit weigh by lateness, and those of users who are back do not.",
    "Items of one second are in random order.",
)


class Settings(msgspec.Struct, frozen=True):
    """EASE's penalty, powers of lateness, folds, and cuts of a history beside its newest item."""

    penalty: float = 200.0
    powers: tuple[float, ...] = (0.0, 0.3, 0.6, 1.0)
    folds: int = 5
    cuts: int = 8


@dataclass(frozen=True)
class Cuts:
    """Histories up to a cut. user, newest, back: (N,) whose it is, whether it is the last, more than a day in."""

    cases: Cases
    user: Rows
    newest: NDArray[np.bool_]
    back: NDArray[np.bool_]


def run_lateness(context: PartContext) -> PartResult:
    """Rank what comes next, with each power."""
    rng = np.random.default_rng(context.seed)
    whole, timelines = _read(context.data / TIMED, rng)
    cuts = cut(whole.shape[1], timelines, SETTINGS.cuts, rng)
    fold = rng.permutation(np.arange(whole.shape[0]) % SETTINGS.folds)
    groups = [back & newest for back in (~cuts.back, cuts.back) for newest in (~cuts.newest, cuts.newest)]
    tables: dict[str, list[tuple[str, tuple[Cell | None, ...]]]] = {"NDCG@10, all items": [], "HR@10, 99 negatives": []}
    for power in SETTINGS.powers:
        context.progress(f"triggers weigh lateness^{power:g}", 0, 0)
        for title, places, of in zip(tables, _places(whole, cuts, fold, power), (ndcg, hits), strict=True):
            tables[title].append((f"power {power:g}", _cells(places, of, groups, context.seed)))
    protocol = PROTOCOL.format(penalty=SETTINGS.penalty, folds=SETTINGS.folds, cuts=SETTINGS.cuts)
    columns = tuple(f"{name} ({group.sum()})" for name, group in zip(GROUPS, groups, strict=True))
    return PartResult(
        tuple(ResultTable(f"{TITLE}: {title}", protocol, columns, tuple(rows)) for title, rows in tables.items()),
        remarks=REMARKS,
    )


def cut(items: int, timelines: list[Timeline], wanted: int, rng: np.random.Generator) -> Cuts:
    """Cut each timeline before its newest item, and before up to `wanted` random ones of its second half."""
    places = [np.arange(len(taken) // 2, len(taken) - 1) for taken, _ in timelines]
    drawn = [[*rng.choice(own, min(wanted, len(own)), replace=False), -1] for own in places]
    user = np.repeat(np.arange(len(timelines)), [len(own) for own in drawn])
    pairs = [(*timelines[number], int(place)) for number, own in enumerate(drawn) for place in own]
    return Cuts(
        cases=Cases(
            history=incidence([taken[:place] for taken, _, place in pairs], items),
            targets=np.array([taken[place] for taken, _, place in pairs]),
            negatives=draw_unknown(incidence([taken for taken, _, _ in pairs], items), rng),
        ),
        user=user,
        newest=np.array([place == -1 for _, _, place in pairs]),
        back=np.array([time[place] - time[0] > DAY_S for _, time, place in pairs]),
    )


def _places(whole: sp.csr_matrix, cuts: Cuts, fold: Rows, power: float) -> tuple[Rows, Rows]:
    """Rank each cut's next item among all items and among negatives, by EASE of the other folds' users."""
    full, sampled = np.zeros_like(cuts.user), np.zeros_like(cuts.user)
    for number in range(SETTINGS.folds):
        others, asked = whole[fold != number], np.flatnonzero(fold[cuts.user] == number)
        one = Cases(cuts.cases.history[asked], cuts.cases.targets[asked], cuts.cases.negatives[asked])
        everyone = Behaviour(np.zeros(0, np.int64), np.zeros(len(asked), np.bool_), whole.shape[1])
        history = weighed(one.history, late_codes(lateness(others)), everyone, power)
        found = ranks(history_scorer(history, ease(gram(others), SETTINGS.penalty)), one)
        full[asked], sampled[asked] = found.all, found.sampled
    return full, sampled


def _read(path: Path, rng: np.random.Generator) -> tuple[sp.csr_matrix, list[Timeline]]:
    """Read the whole log as incidence, and each user's timeline."""
    log = ibis.duckdb.connect().read_parquet(path).select("user_id", "item_id", "timestamp").distinct()
    rows = log.order_by("user_id", "item_id").to_pyarrow()
    users, items = (np.unique(rows[name].to_numpy(), return_inverse=True)[1] for name in ("user_id", "item_id"))
    time = rows["timestamp"].to_numpy().astype(np.int64)
    whole = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)))
    order = np.lexsort((rng.random(len(users)), time, users))
    starts = np.flatnonzero(np.diff(users)) + 1
    return whole, list(zip(np.split(items[order], starts), np.split(time[order], starts), strict=True))


def _cells(
    places: Rows, of: Callable[[Rows, int], NDArray[np.float64]], groups: list[NDArray[np.bool_]], seed: int
) -> tuple[Cell | None, ...]:
    """Average each group of cuts; None for a group without any."""
    found = [measured(of(places[group], 10), seed) if group.any() else None for group in groups]
    return tuple(Cell(one.value, one.low, one.high) if one else None for one in found)


SETTINGS = Settings()
PART = Part(
    name="pdn/lateness",
    title="Whether lateness knows the next item: MovieLens-100k",
    inputs=(TIMED,),
    settings=msgspec.to_builtins(SETTINGS),
    run=run_lateness,
)
