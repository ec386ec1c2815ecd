"""What validation stands for: a random own item, an own item as rare as newest ones are, and NCF's newest item itself.

NCF's test item is the user's newest, and people take what is popular first. A setting that is best for a random own
item need not be best for it. EASE, with its penalty and with a discount of popular items, shows by how much.
"""

from collections.abc import Iterator
from functools import partial
from typing import cast

import msgspec
import numpy as np

from shortlist_training.baselines import ease, gram
from shortlist_training.leave_one_out import Cases, Ranks, history_scorer, hold_out_one, ranks
from shortlist_training.neighbourhood import rarer_first
from shortlist_training.reproduction.kept_ranks import kept
from shortlist_training.reproduction.newest import newest_rarity
from shortlist_training.reproduction.parts import Cell, Part, PartContext, PartResult, ResultTable
from shortlist_training.reproduction.pdn_data import FILES, movielens
from shortlist_training.reproduction.pdn_tables import Row, per_user, row

TIMED = "ml-100k/interactions.parquet"
COLUMNS = ("validation, random item", "validation, rare item", "test, NDCG@10", "test, HR@10", "test, 99 negatives")
PROTOCOL = (
    "MovieLens-1M, NCF split, all 6040 users; NDCG@10 and, where said so, HR@10, among all items that the user's "
    "training log does not have; the last column is HR@10 with the split's 99 negatives. Validation: one more own item "
    "is held out of training, drawn from all alike, or by count^-{rarity:.2f}; test: the newest item, ranked by EASE "
    "of the whole log. Bootstrap 95 % intervals over users. Discount p: scores are divided by share of users^p."
)


class Settings(msgspec.Struct, frozen=True):
    """EASE's penalties, and the powers of the discount, 0 for none."""

    lambdas: tuple[float, ...] = (250.0, 500.0, 1000.0, 1500.0)
    discounts: tuple[float, ...] = (0.0, 0.15, 0.3)


def run_validation(context: PartContext) -> PartResult:
    """Rank each validation item and the test item by every EASE."""
    test, _, _ = movielens(context)
    rarity = newest_rarity(context.data / TIMED)
    asked = {
        "random": hold_out_one(test.history, context.seed),
        "rare": hold_out_one(test.history, context.seed, rarity=rarity),
        "test": test,
    }
    found = {name: kept(context.work, name, partial(_measured, cases, context)) for name, cases in asked.items()}
    rows = tuple(_row(name, {of: places[name] for of, places in found.items()}, context.seed) for name in found["test"])
    table = ResultTable(
        "EASE on two kinds of validation items and on test", PROTOCOL.format(rarity=rarity), COLUMNS, rows
    )
    return PartResult((table,), remarks=_remarks(found, rarity))


def _measured(cases: Cases, context: PartContext) -> dict[str, Ranks]:
    return dict(_every(cases, context))


def _every(cases: Cases, context: PartContext) -> Iterator[tuple[str, Ranks]]:
    known = gram(cases.history)
    for done, value in enumerate(SETTINGS.lambdas):
        context.progress("EASE", done, len(SETTINGS.lambdas))
        weights = ease(known, value)
        for power in SETTINGS.discounts:
            scorer = history_scorer(cases.history, weights * rarer_first(cases.history, power))
            yield f"lambda {value:g}, discount {power:g}", ranks(scorer, cases)


def _row(name: str, places: dict[str, Ranks], seed: int) -> Row:
    """Take NDCG@10 of the validation items, and three numbers of the test item."""
    cells = {of: row(name, found, seed)[1] for of, found in places.items()}
    sampled_hits, _, hits, ndcg = (cast("Cell", cell) for cell in cells["test"][:4])
    return name, (cells["random"][3], cells["rare"][3], ndcg, hits, sampled_hits)


def _remarks(found: dict[str, dict[str, Ranks]], rarity: float) -> tuple[str, ...]:
    best = {of: max(places, key=lambda name: _ndcg(places[name])) for of, places in found.items()}
    plain = {of: {name: p for name, p in places.items() if name.endswith("discount 0")} for of, places in found.items()}
    alone = {of: max(places, key=lambda name: _ndcg(places[name])) for of, places in plain.items()}
    return (
        f"In MovieLens-100k, which has times, the newest item is as rare as an own item drawn by count^-{rarity:.2f}.",
        *(
            f"Best of all by the {of} item: {best[of]}, test NDCG@10 {_ndcg(found['test'][best[of]]):.4f}; without a "
            f"discount: {alone[of]}, {_ndcg(found['test'][alone[of]]):.4f}."
            for of in ("random", "rare", "test")
        ),
    )


def _ndcg(places: Ranks) -> float:
    return float(np.mean(per_user(places)[3]))


SETTINGS = Settings()
PART = Part(
    name="pdn/validation",
    title="What a random validation item says of the newest one",
    inputs=(*FILES, TIMED),
    settings=msgspec.to_builtins(SETTINGS),
    run=run_validation,
)
