"""Mixed negative sampling on MovieLens-100k: item features and a real tail, but hardly a cold item.

On Online Retail the order of the samplers turns on products that training has never seen. Here each user's own ratings
are cut by time, and nearly all that is asked for was on offer before: what is left is what negatives do to the tail.
"""

from dataclasses import asdict, replace

import msgspec

from shortlist_training.reproduction.mns import (
    BATCH,
    COMPARISON,
    NEGATIVES,
    POWERS,
    SWEEP,
    SWEEP_INDEX,
    SWEEP_SETTINGS,
    Settings,
    compared,
    powers_tried,
    softmax_remark,
    swept,
    view_of,
)
from shortlist_training.reproduction.mns_tables import (
    DIFFERENCES,
    SOFTMAX,
    batches_remark,
    comparison_table,
    difference_table,
    group_remarks,
    group_table,
    order_remarks,
    sweep_plot,
    sweep_remarks,
    sweep_table,
)
from shortlist_training.reproduction.mns_view import Words
from shortlist_training.reproduction.parts import Part, PartContext, PartResult
from shortlist_training.two_tower.dataset import DataConfig
from shortlist_training.two_tower.movielens import BLOCK, FILES, TRAIN_SHARE, VALIDATION_SHARE, build_movielens

WORDS = Words(
    split="MovieLens-100k, each user's ratings by time: the oldest 60 % are for training, epochs are chosen by "
    "Recall@50 on the next 20 %, the newest 20 % are the test labels; {queries} queries of {users} users, {labels} "
    "movies, ranked among all {items} movies less those that the user has rated.",
    people="users",
    items="movies",
    name="MovieLens-100k",
)
DATA = DataConfig(history_words=120, title_words=12)
SETTINGS = replace(COMPARISON, data=DATA, epochs=15, patience=3)
SWEPT = replace(SWEEP_SETTINGS, data=DATA)


def run_movielens(context: PartContext) -> PartResult:
    """Table 1: sampled softmax, batch negatives and MNS with the same number of negatives, each with all seeds."""
    data, seed = build_movielens(context.data, SETTINGS.data), context.seed
    measured = compared(context, data, SETTINGS, {})
    view = view_of(data, SETTINGS, seed, WORDS)
    return PartResult(
        tables=(
            comparison_table(measured, view, seed),
            difference_table(measured, view, DIFFERENCES, seed),
            group_table(measured, view, seed),
        ),
        remarks=(
            *order_remarks(measured, view, seed),
            *group_remarks(measured, view, seed),
            softmax_remark(measured[SOFTMAX], powers_tried(context, data, SETTINGS, {}), seed),
        ),
    )


def run_movielens_sweep(context: PartContext) -> PartResult:
    """Table 2: MNS with a fixed B and growing B'."""
    data, seed = build_movielens(context.data, SWEPT.data), context.seed
    measured = swept(context, data, SWEPT, SWEEP)
    view = view_of(data, SWEPT, seed, WORDS)
    return PartResult(
        tables=(sweep_table(measured, view, BATCH, seed),),
        plots=(sweep_plot(measured, view, BATCH, seed),),
        remarks=(
            *sweep_remarks(measured, view, BATCH, seed),
            batches_remark(data.training_pairs().items, BATCH, view.words),
        ),
    )


def _keyed(settings: Settings, **more: object) -> dict[str, object]:
    """Name what decides the result: the settings but for Online Retail's dates."""
    used = {name: value for name, value in asdict(settings).items() if name != "split"}
    shares = {"train": TRAIN_SHARE, "validation": VALIDATION_SHARE, "block": BLOCK}
    return {"models": msgspec.to_builtins(used), "shares": shares, "batch": BATCH, **more}


PARTS = [
    Part(
        name="mns/movielens",
        title="Mixed negative sampling on MovieLens-100k (table 1)",
        inputs=FILES,
        settings=_keyed(SETTINGS, negatives=NEGATIVES, powers=POWERS),
        run=run_movielens,
    ),
    Part(
        name="mns/movielens-sweep",
        title="How many uniform negatives on MovieLens-100k (table 2)",
        inputs=FILES,
        settings=_keyed(SWEPT, sweep=SWEEP, index=SWEEP_INDEX),
        run=run_movielens_sweep,
    ),
]
