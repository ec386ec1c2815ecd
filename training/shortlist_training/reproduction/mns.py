"""Mixed negative sampling (Yang et al. 2020, tables 1 and 2) on Online Retail with a split by time.

Why Online Retail: it has time, item content (titles, prices), a long tail, and a season: what the shop lists in autumn
is cold to a model trained before, and makes a ninth of October's first purchases. MovieLens-100k has time and genres
too, but two users in three rate on one day only: after a cut by time there are few known users to predict for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import ibis
import msgspec
import numpy as np
from numpy.typing import NDArray

from shortlist_training.ingest import ingest
from shortlist_training.reproduction.mns_groups import decile_table, history_table
from shortlist_training.reproduction.mns_runs import Measured, Told, measure, popularity, told_lengths
from shortlist_training.reproduction.mns_tables import (
    BATCH_NEGATIVES,
    DIFFERENCES,
    MNS,
    MNS_OF_THE_DAY,
    OURS,
    SOFTMAX,
    batches_remark,
    cold_remark,
    comparison_table,
    difference_table,
    group_remarks,
    group_table,
    order_remarks,
    sweep_plot,
    sweep_remarks,
    sweep_table,
)
from shortlist_training.reproduction.mns_view import ONLINE_RETAIL, View, Words
from shortlist_training.reproduction.parts import Part, PartContext, PartResult
from shortlist_training.time_split import TimeSplit, popularity_groups
from shortlist_training.two_tower.dataset import DataConfig, RetrievalData, build
from shortlist_training.two_tower.experiment import Index, ModelConfig, Run
from shortlist_training.two_tower.features import PADDING, FeatureTable
from shortlist_training.two_tower.online_retail import TABLE, project
from shortlist_training.two_tower.train import TrainConfig

FOLDER = "online-retail"
INPUT = f"{FOLDER}/{TABLE}"
SPLIT = TimeSplit(datetime(2011, 9, 16), datetime(2011, 10, 1), datetime(2011, 11, 1))  # noqa: DTZ001 - local times
HEAD_SHARE = 0.2
BATCH = 128
NEGATIVES = 2 * BATCH
POWERS = (1.0, 0.5, 0.0)
LENGTHS = (0, 1, 2, 5, 10)
SWEEP_INDEX: Index = "training day"
"""Where the sweep's uniform negatives come from: the whole catalogue of the training day, as in the paper. What the
shop lists later would be drawn as negatives only, and with growing B' that alone would decide the curve."""
SWEEP = (0, *(times * BATCH for times in (1, 2, 4, 8, 16)))


@dataclass(frozen=True)
class Settings:
    """Everything that decides the parts' results apart from seed and data. seeds: with how many each model trains."""

    split: TimeSplit = SPLIT
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    head_share: float = HEAD_SHARE
    epochs: int = 10
    patience: int = 3
    seeds: int = 1


def run_comparison(context: PartContext) -> PartResult:
    """Table 1: sampled softmax, batch negatives and MNS with the same number of negatives, each with all seeds."""
    data = load(context, COMPARISON)
    told = told_lengths(data, LENGTHS, lambda length: _shortened(context, length))
    measured = compared(context, data, COMPARISON, told)
    view = view_of(data, COMPARISON, context.seed)
    histories, by_history = history_table(
        measured, view, COMPARISON.data.history, history_lengths(data.queries, data.of("test")), context.seed
    )
    deciles, by_decile = decile_table(measured, view, data.counts, context.seed)
    return PartResult(
        tables=(
            comparison_table(measured, view, context.seed),
            difference_table(measured, view, (*DIFFERENCES, *OURS), context.seed),
            group_table(measured, view, context.seed),
            histories,
            deciles,
        ),
        plots=(by_history, by_decile),
        remarks=(
            *order_remarks(measured, view, context.seed),
            *group_remarks(measured, view, context.seed),
            cold_remark(measured, view, context.seed),
            softmax_remark(measured[SOFTMAX], powers_tried(context, data, COMPARISON, told), context.seed),
        ),
    )


def compared(context: PartContext, data: RetrievalData, settings: Settings, told: Told) -> dict[str, Measured]:
    """Train table 1's models on some data, each with all seeds."""
    base = TrainConfig(NEGATIVES, epochs=settings.epochs, patience=settings.patience, threads=context.threads)
    mixed, model = replace(base, batch=BATCH, uniform=NEGATIVES - BATCH), settings.model
    tried = powers_tried(context, data, settings, told)
    power = max(tried, key=lambda power: tried[power])
    runs = {
        SOFTMAX: (_softmax_name(power), _softmax(context, settings, power)),
        BATCH_NEGATIVES: ("batch", Run("two-tower", base, model=model)),
        MNS: ("mns", Run("two-tower", mixed, model=model)),
        MNS_OF_THE_DAY: ("mns-training-day", Run("two-tower", mixed, "training day", model)),
    }
    seeds = seeds_of(settings, context.seed)
    found = {name: measure(context, data, short, run, seeds, told) for name, (short, run) in runs.items()}
    return {"popularity": popularity(data, told), **found}


def run_sweep(context: PartContext) -> PartResult:
    """Table 2: MNS with a fixed B and growing B'."""
    data = load(context, SWEEP_SETTINGS)
    measured = swept(context, data, SWEEP_SETTINGS, SWEEP)
    view = view_of(data, SWEEP_SETTINGS, context.seed)
    return PartResult(
        tables=(sweep_table(measured, view, BATCH, context.seed),),
        plots=(sweep_plot(measured, view, BATCH, context.seed),),
        remarks=(
            *sweep_remarks(measured, view, BATCH, context.seed),
            batches_remark(data.training_pairs().items, BATCH, view.words),
        ),
    )


def swept(
    context: PartContext,
    data: RetrievalData,
    settings: Settings,
    sizes: Sequence[int],
    *,
    batch: int = BATCH,
    index: Index = SWEEP_INDEX,
) -> dict[int, Measured]:
    """Train MNS with each B' and all seeds."""
    base = TrainConfig(batch, epochs=settings.epochs, patience=settings.patience, threads=context.threads)
    runs = {size: Run("two-tower", replace(base, uniform=size), index, settings.model) for size in sizes}
    seeds = seeds_of(settings, context.seed)
    return {size: measure(context, data, f"uniform-{size}", run, seeds) for size, run in runs.items()}


def load(context: PartContext, settings: Settings) -> RetrievalData:
    """Clean Online Retail and build queries, labels and features."""
    context.progress("cleaning Online Retail", 0, 0)
    connection = ibis.duckdb.connect()
    ingested = ingest(connection, project(context.data / FOLDER))
    interactions = connection.create_table("canonical", ingested.interactions, temp=True)
    return build(interactions, ingested.items, settings.split, settings.data)


def _softmax(context: PartContext, settings: Settings, power: float) -> Run:
    config = TrainConfig(
        NEGATIVES,
        draws=NEGATIVES,
        power=power,
        epochs=settings.epochs,
        patience=settings.patience,
        threads=context.threads,
    )
    return Run("softmax", config, model=settings.model)


def _softmax_name(power: float) -> str:
    return f"softmax, power {power:g}"


def powers_tried(context: PartContext, data: RetrievalData, settings: Settings, told: Told) -> dict[float, float]:
    """Train the baseline with each sampling distribution and the first seed: validation Recall@50."""
    found = {}
    for power in POWERS:
        run = measure(context, data, _softmax_name(power), _softmax(context, settings, power), [context.seed], told)
        found[power] = float(run.validation[0])
    return found


def softmax_remark(chosen: Measured, tried: Mapping[float, float], seed: int) -> str:
    """Say what the baseline draws by."""
    assert chosen.train is not None  # noqa: S101 - the baseline is trained
    found = ", ".join(f"{score:.4f} at power {power:g}" for power, score in tried.items())
    return (
        f"The softmax baseline draws by label count to the power {chosen.train.power:g}: validation Recall@50 with "
        f"seed {seed} was {found}."
    )


def _shortened(context: PartContext, length: int) -> RetrievalData:
    return load(context, replace(COMPARISON, data=replace(COMPARISON.data, history=length)))


def history_lengths(queries: FeatureTable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the products that the histories of some queries have, as many as a query keeps: (rows,)."""
    kept = queries.columns["history"][rows] != PADDING
    return np.asarray(kept.sum(dim=1).numpy(), dtype=np.int64)


def seeds_of(settings: Settings, first: int) -> tuple[int, ...]:
    """List the seeds that each model trains with."""
    return tuple(range(first, first + settings.seeds))


def view_of(data: RetrievalData, settings: Settings, seed: int, words: Words = ONLINE_RETAIL) -> View:
    """Say whose the test labels are, and of which items."""
    rows = data.of("test")
    wanted = data.labels[rows].tocoo()
    groups = popularity_groups(data.counts, settings.head_share)
    owners, items = data.users[rows][wanted.row], wanted.col.astype(np.int64)
    return View(owners, items, groups, len(rows), seeds_of(settings, seed), words)


def _settings(settings: Settings, **more: object) -> dict[str, object]:
    return {**msgspec.to_builtins(asdict(settings)), "batch": BATCH, **more}


COMPARISON = Settings(epochs=30, patience=6, seeds=3)
SWEEP_SETTINGS = Settings(epochs=15, seeds=3)

PARTS = [
    Part(
        name="mns/comparison",
        title="Mixed negative sampling against batch negatives and sampled softmax (table 1)",
        inputs=(INPUT,),
        settings=_settings(COMPARISON, negatives=NEGATIVES, powers=POWERS, lengths=LENGTHS),
        run=run_comparison,
        revision=2,
    ),
    Part(
        name="mns/sweep",
        title="How many uniform negatives: B' from 0 to 16 B (table 2)",
        inputs=(INPUT,),
        settings=_settings(SWEEP_SETTINGS, sweep=SWEEP, index=SWEEP_INDEX),
        run=run_sweep,
    ),
]
