"""What greedy path retrieval (eq. 14) loses against scoring all items with the whole model, over m and k."""

from collections.abc import Sequence

import msgspec

from shortlist_training.leave_one_out import Cases, Scorer, hits, measured, ndcg, ranks
from shortlist_training.pdn.features import Profiles
from shortlist_training.pdn.greedy import greedy_scorer
from shortlist_training.pdn.inference import Served
from shortlist_training.pdn.model import Pdn
from shortlist_training.pdn.pairs import build_index
from shortlist_training.pdn.views import View
from shortlist_training.reproduction.parts import Cell, Curve, PartContext, Plot, ResultTable

COLUMNS = ("HR@10, all items", "NDCG@10, all items", "HR@10 lost, %")
PROTOCOL = (
    "The same users and protocol 'all items'. Items that are no candidate rank after all others, ties against the "
    "target. Index: SimNet ranks the union of the {by_log} items with most common users and of the {by_profile} with "
    "the nearest profile. A path outside of the index weighs its trigger's mean there."
)


class GreedySettings(msgspec.Struct, frozen=True):
    """m, triggers that are asked, and k, items of each, to measure; the defaults are among them. Sizes of candidates.

    A user's history has 165 items on average, so the largest m is all of them for most users.
    """

    default: tuple[int, int] = (500, 1000)
    triggers: tuple[int, ...] = (10, 30, 100, 200, 500)
    items: tuple[int, ...] = (200, 500, 1000)
    by_log: int = 1500
    by_profile: int = 1000


def greedy_loss(
    served: Served,
    model: Pdn,
    view: View,
    profiles: Profiles,
    test: Cases,
    settings: GreedySettings,
    context: PartContext,
) -> tuple[ResultTable, Plot]:
    """Measure every m with every k on all users."""
    rows = [_row("all triggers, all items", served.score_all, test, context.seed)]
    for k in settings.items:
        context.progress(f"item index, k {k}", 0, 0)
        index = build_index(model, view, profiles, k, settings.by_log, settings.by_profile)
        for m in settings.triggers:
            context.progress(f"greedy retrieval, m {m}, k {k}", 0, 0)
            name = f"m {m}, k {k}{' (default)' if (m, k) == settings.default else ''}"
            rows.append(_row(name, greedy_scorer(served, index, m), test, context.seed))
    protocol = PROTOCOL.format(by_log=settings.by_log, by_profile=settings.by_profile)
    shown = _with_loss(rows)
    title = "Greedy path retrieval (eq. 14) against the whole model"
    return ResultTable(title, protocol, COLUMNS, tuple(shown)), _plot(shown[1:], settings)


Row = tuple[str, tuple[Cell, ...]]


def _row(name: str, scorer: Scorer, test: Cases, seed: int) -> Row:
    """HR@10 and NDCG@10 among all items."""
    places = ranks(scorer, test).all
    numbers = [measured(of(places, 10), seed) for of in (hits, ndcg)]
    return name, tuple(Cell(one.value, one.low, one.high) for one in numbers)


def _with_loss(rows: Sequence[Row]) -> list[Row]:
    """Add how much of the first row's HR@10 each row lacks, in per cent."""
    whole = max(rows[0][1][0].value, 1e-9)
    return [(name, (*cells, Cell(100.0 * (1.0 - cells[0].value / whole)))) for name, cells in rows]


def _plot(rows: Sequence[Row], settings: GreedySettings) -> Plot:
    lost = [cells[-1].value for _, cells in rows]
    number = len(settings.triggers)
    curves = tuple(
        Curve(f"k {k}", tuple(map(float, settings.triggers)), tuple(lost[at * number : (at + 1) * number]))
        for at, k in enumerate(settings.items)
    )
    return Plot(
        name="pdn-greedy-loss",
        title="HR@10 that greedy retrieval loses against the whole model",
        x_label="m, triggers that are asked",
        y_label="lost, %",
        log_x=True,
        curves=curves,
    )
