"""Mixed negative sampling (Yang et al. 2020, tables 1 and 2) on Online Retail with a split by time.

Why Online Retail: it has time, item content (titles, prices), a long tail, and a season: what the shop lists in autumn
is cold to a model trained before, and makes a ninth of October's first purchases. MovieLens-100k has time and genres
too, but two users in three rate on one day only: after a cut by time there are few known users to predict for.
"""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import ibis
import msgspec
import numpy as np

from shortlist_training.ingest import ingest
from shortlist_training.reproduction.mns_tables import (
    BATCH_NEGATIVES,
    DIFFERENCES,
    MNS,
    MNS_OF_THE_DAY,
    OURS,
    SOFTMAX,
    Measured,
    View,
    cold_remark,
    comparison_table,
    difference_table,
    group_table,
    order_remarks,
    sweep_plot,
    sweep_remarks,
    sweep_table,
)
from shortlist_training.reproduction.parts import Part, PartContext, PartResult
from shortlist_training.time_split import TimeSplit, popularity_groups
from shortlist_training.two_tower.dataset import DataConfig, RetrievalData, build
from shortlist_training.two_tower.experiment import ModelConfig, Run, popularity_ranks, ranks, train_run
from shortlist_training.two_tower.online_retail import TABLE, project
from shortlist_training.two_tower.train import Epoch, TrainConfig

FOLDER = "online-retail"
INPUT = f"{FOLDER}/{TABLE}"
SPLIT = TimeSplit(datetime(2011, 9, 16), datetime(2011, 10, 1), datetime(2011, 11, 1))  # noqa: DTZ001 - local times
HEAD_SHARE = 0.2
BATCH = 128
NEGATIVES = 2 * BATCH
POWERS = (1.0, 0.5, 0.0)
SWEEP = (0, BATCH // 2, BATCH, 2 * BATCH, 4 * BATCH, 8 * BATCH, 16 * BATCH)


@dataclass(frozen=True)
class Settings:
    """Everything that decides the parts' results apart from seed and data."""

    split: TimeSplit = SPLIT
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    head_share: float = HEAD_SHARE
    epochs: int = 10
    patience: int = 3


def run_comparison(context: PartContext) -> PartResult:
    """Table 1: sampled softmax, batch negatives and MNS with the same number of negatives."""
    data = load(context, COMPARISON)
    base = TrainConfig(NEGATIVES, epochs=COMPARISON.epochs, patience=COMPARISON.patience, threads=context.threads)
    softmax, choice = _best_softmax(context, data, base)
    mixed, model = replace(base, batch=BATCH, uniform=NEGATIVES - BATCH), COMPARISON.model
    of_the_day = Run("two-tower", mixed, "training day", model)
    measured = {
        "popularity": _popularity(data),
        SOFTMAX: softmax,
        BATCH_NEGATIVES: measure(context, data, "batch", Run("two-tower", base, model=model)),
        MNS: measure(context, data, "mns", Run("two-tower", mixed, model=model)),
        MNS_OF_THE_DAY: measure(context, data, "mns-training-day", of_the_day),
    }
    view = _view(data, COMPARISON)
    return PartResult(
        tables=(
            comparison_table(measured, view, context.seed),
            difference_table(measured, view, (*DIFFERENCES, *OURS), context.seed),
            group_table(measured, view, context.seed),
        ),
        remarks=(*order_remarks(measured, view, context.seed), cold_remark(measured, view, context.seed), choice),
    )


def run_sweep(context: PartContext) -> PartResult:
    """Table 2: MNS with a fixed B and growing B'."""
    data = load(context, SWEEP_SETTINGS)
    base = TrainConfig(BATCH, epochs=SWEEP_SETTINGS.epochs, patience=SWEEP_SETTINGS.patience, threads=context.threads)
    measured = {
        uniform: measure(
            context,
            data,
            f"uniform-{uniform}",
            Run("two-tower", replace(base, uniform=uniform), model=SWEEP_SETTINGS.model),
        )
        for uniform in SWEEP
    }
    view = _view(data, SWEEP_SETTINGS)
    return PartResult(
        tables=(sweep_table(measured, view, BATCH, context.seed),),
        plots=(sweep_plot(measured, view, BATCH, context.seed),),
        remarks=sweep_remarks(measured, view, BATCH, context.seed),
    )


def load(context: PartContext, settings: Settings) -> RetrievalData:
    """Clean Online Retail and build queries, labels and features."""
    context.progress("cleaning Online Retail", 0, 0)
    connection = ibis.duckdb.connect()
    ingested = ingest(connection, project(context.data / FOLDER))
    interactions = connection.create_table("canonical", ingested.interactions, temp=True)
    return build(interactions, ingested.items, settings.split, settings.data)


def measure(context: PartContext, data: RetrievalData, name: str, run: Run) -> Measured:
    """Train one run and rank the test labels; a run that `context.work` has is not trained again."""
    path = context.work / f"{name.replace(' ', '-')}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            return Measured(run.train, kept["test"], kept["cold"], float(kept["validation"]), int(kept["best"]))

    def on_epoch(epoch: Epoch) -> None:
        label = f"{name}: loss {epoch.loss:.4f}, validation Recall@50 {epoch.score:.4f}"
        context.progress(label, epoch.number, run.train.epochs)

    trained = train_run(data, run, context.seed, on_epoch)
    found = Measured(
        train=run.train,
        test=ranks(data, trained.model, "test"),
        cold=ranks(data, trained.model, "test", data.counts == 0),
        validation=trained.epochs[trained.best - 1].score,
        best=trained.best,
    )
    np.savez(path, test=found.test, cold=found.cold, validation=found.validation, best=found.best)
    return found


def _best_softmax(context: PartContext, data: RetrievalData, base: TrainConfig) -> tuple[Measured, str]:
    """Train the baseline with each sampling distribution; validation chooses, and a remark says how."""
    tried = {
        power: measure(
            context,
            data,
            f"softmax, power {power:g}",
            Run("softmax", replace(base, draws=NEGATIVES, power=power), model=COMPARISON.model),
        )
        for power in POWERS
    }
    chosen = max(tried, key=lambda power: tried[power].validation)
    found = ", ".join(f"{run.validation:.4f} at power {power:g}" for power, run in tried.items())
    remark = f"The softmax baseline draws by label count to the power {chosen:g}: validation Recall@50 was {found}."
    return tried[chosen], remark


def _popularity(data: RetrievalData) -> Measured:
    found = popularity_ranks(data, "test")
    return Measured(None, found, np.full_like(found, len(data.counts)), 0.0, 0)


def _view(data: RetrievalData, settings: Settings) -> View:
    rows = data.of("test")
    wanted = data.labels[rows].tocoo()
    groups = popularity_groups(data.counts, settings.head_share)
    return View(data.users[rows][wanted.row], wanted.col.astype(np.int64), groups, len(rows))


def _settings(settings: Settings, **more: object) -> dict[str, object]:
    return {**msgspec.to_builtins(asdict(settings)), "batch": BATCH, **more}


COMPARISON = Settings(epochs=30)
SWEEP_SETTINGS = Settings(epochs=15)

PARTS = [
    Part(
        name="mns/comparison",
        title="Mixed negative sampling against batch negatives and sampled softmax (table 1)",
        inputs=(INPUT,),
        settings=_settings(COMPARISON, negatives=NEGATIVES, powers=POWERS),
        run=run_comparison,
    ),
    Part(
        name="mns/sweep",
        title="How many uniform negatives: B' from 0 to 16 B (table 2)",
        inputs=(INPUT,),
        settings=_settings(SWEEP_SETTINGS, sweep=SWEEP),
        run=run_sweep,
    ),
]
