"""The four steps of a run, each reading and writing the run directory: ingest, train, evaluate, publish.

The one module that knows the order of things; every function it calls is pure apart from the tables it is given.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_store.errors import BundleError, VersionExists
from index_store.manifest import NAME_PATTERN
from index_store.publish import publish
from shortlist_training.assemble import Catalogue, Provenance, TrainedItems, assemble
from shortlist_training.cooccurrence import pair_counts
from shortlist_training.errors import ConfigError, DataError, TrainingError
from shortlist_training.evaluate import Learned, evaluate, held_out
from shortlist_training.ingest import ingest
from shortlist_training.pmi import initial_vectors, pmi_matrix, svd_vectors
from shortlist_training.records import Evaluation, IngestReport, TrainReport
from shortlist_training.report import evaluation_markdown
from shortlist_training.splits import distinct_items, of_split, split_users
from shortlist_training.timelines import Log, Rows, distinct_histories, incidence, index_in, vocabulary
from shortlist_training.train import Epoch, Trained, train
from shortlist_training.workspace import Workspace

Progress = Callable[[str, int, int], None]
"""Hears (what is being done, how much is done, of how much; 0 where that is not known)."""


@dataclass(frozen=True)
class _Learning:
    """What train and evaluate both derive from the ingested tables."""

    log: Log
    vocabulary: Rows

    @classmethod
    def load(cls, work: Workspace) -> "_Learning":
        log = Log.of(
            work.table("interactions.parquet"), work.table("items.parquet")["item"], work.table("splits.parquet")
        )
        return cls(log, vocabulary(log))

    def histories(self, split: str) -> list[Rows]:
        return distinct_histories(self.log, self.log.members(split), self.vocabulary)


def ingest_step(work: Workspace, progress: Progress) -> IngestReport:
    """Write the canonical tables, the user split and ingest.json."""
    project = work.loaded.project
    work.begin("ingest")
    connection = ibis.duckdb.connect()
    progress("reading and judging the log", 0, 3)
    ingested = ingest(connection, work.loaded)
    progress("writing tables", 1, 3)
    work.save_table("interactions.parquet", ingested.interactions.to_pyarrow())
    work.save_table("items.parquet", ingested.items)
    if ingested.users is not None:
        work.save_table("users.parquet", ingested.users.to_pyarrow())
    progress("splitting users", 2, 3)
    users = distinct_items(connection.read_parquet(work.path("interactions.parquet"))).to_pyarrow()
    splits = split_users(users["user"].to_pylist(), users["items"].to_pylist(), project.split, project.seed)
    _check_splits(splits, project.split.min_items)
    work.save_table("splits.parquet", splits)
    work.save_json("ingest.json", ingested.report)
    work.save_json("config.json", work.loaded.source)
    work.finish("ingest")
    progress("done", 3, 3)
    return ingested.report


def train_step(work: Workspace, progress: Progress) -> TrainReport:
    """Count pairs, factorize, train LED; write vectors, biases and train.json."""
    project = work.loaded.project
    work.require("ingest")
    work.begin("train")
    learning = _Learning.load(work)
    progress("counting pairs", 0, 0)
    pairs = _pairs(work)
    size = len(learning.vocabulary)
    progress("factorizing PMI", 0, 0)
    svd = _svd(work, pairs, learning)
    initial = svd
    if project.led.init == "random":
        initial = np.random.default_rng(project.seed).standard_normal(svd.shape).astype(np.float32)
    initial = initial_vectors(initial, project.led.scale, normalize=project.led.normalize)
    validation = held_out(learning.histories("validation"), size, project.evaluate.input_share, project.seed)

    def on_epoch(epoch: Epoch) -> None:
        loss = f"loss {epoch.loss:.4f}, " if epoch.number else ""
        progress(f"LED {loss}validation NDCG@100 {epoch.ndcg:.4f}", epoch.number, project.led.epochs)

    trained = train(learning.histories("train"), initial, validation, project.led, project.seed, on_epoch)
    return _save_training(work, learning, trained, svd, pairs.num_rows)


def evaluate_step(work: Workspace, progress: Progress) -> Evaluation:
    """Measure on test users; write metrics.json and report.md."""
    project = work.loaded.project
    work.require("train")
    work.begin("evaluate")
    learning = _Learning.load(work)
    size = len(learning.vocabulary)
    share, seed = project.evaluate.input_share, project.seed
    done = iter(range(1_000))
    steps = len(project.evaluate.ease_lambdas) + 4
    evaluation = evaluate(
        incidence(learning.histories("train"), size),
        held_out(learning.histories("validation"), size, share, seed),
        held_out(learning.histories("test"), size, share, seed),
        Learned(work.array("led_vectors.npy"), work.array("led_biases.npy"), work.array("svd_vectors.npy")),
        project.evaluate,
        seed,
        lambda label: progress(label, next(done), steps),
    )
    work.save_json("metrics.json", evaluation)
    report = evaluation_markdown(evaluation, work.json("train.json", TrainReport).best_epoch, project.name)
    work.path("report.md").write_text(report, encoding="utf-8")
    work.finish("evaluate")
    return evaluation


def bundle_version(wanted: str | None) -> str:
    """Check a version name, or make one of the UTC time; `ConfigError` if it cannot name a directory of the format."""
    name = wanted or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if not re.fullmatch(NAME_PATTERN, name):
        message = (
            f"--version {name[:40]!r}: use 1 to 128 letters, digits, '.', '_' and '-', not beginning with '.' or '-'"
        )
        raise ConfigError(message)
    return name


def publish_step(work: Workspace, bundles: Path, version: str | None, progress: Progress) -> Path:
    """Assemble the bundle's content and publish it; `TrainingError` if the publisher refuses it."""
    project = work.loaded.project
    name = bundle_version(version)
    work.require("evaluate")
    learning = _Learning.load(work)
    evaluation = work.json("metrics.json", Evaluation)
    ingested = work.json("ingest.json", IngestReport)
    progress("assembling", 0, 0)
    content = assemble(
        learning.log,
        read_catalogue(work.table("items.parquet")),
        TrainedItems(learning.vocabulary, work.array("led_vectors.npy"), work.array("led_biases.npy")),
        project.publish,
        Provenance(
            data_fingerprint=ingested.fingerprint,
            seed=project.seed,
            metrics={model: {k: s.mean for k, s in scores.items()} for model, scores in evaluation.models.items()},
            config=work.loaded.source,
        ),
    )
    try:
        return publish(
            content, root=bundles, name=project.name, version=name, policy=project.index_policy(), progress=progress
        )
    except BundleError as error:
        message = f"the bundle was refused: {error}"
        raise TrainingError(message) from error
    except VersionExists as error:
        raise TrainingError(str(error)) from error


def read_catalogue(items: pa.Table) -> Catalogue:
    """Read items.parquet; attributes that the project does not name are None, unknown values are empty strings."""
    columns: dict[str, list[str]] = {
        name: ["" if value is None else value for value in items[name].to_pylist()]
        for name in ("title", "merchant", "category")
        if name in items.column_names
    }
    is_key = not pa.types.is_integer(items.schema.field("item").type)
    return Catalogue(
        item_ids=items["item_id"].to_numpy(),
        keys=items["item"].to_pylist() if is_key else None,
        titles=columns.get("title"),
        merchants=columns.get("merchant"),
        categories=columns.get("category"),
    )


def _check_splits(splits: pa.Table, min_items: int) -> None:
    present = set(splits["split"].to_pylist())
    for split in ("train", "validation", "test"):
        if split not in present:
            message = (
                f"no {split} users: too few of the {splits.num_rows} users have {min_items} distinct items. "
                "Lower split.min_items or raise its shares"
            )
            raise DataError(message)


def _pairs(work: Workspace) -> pa.Table:
    connection = ibis.duckdb.connect()
    interactions = connection.read_parquet(work.path("interactions.parquet"))
    splits = connection.read_parquet(work.path("splits.parquet"))
    project = work.loaded.project
    counted = pair_counts(of_split(interactions, splits, "train"), project.cooccurrence, project.session.gap_s)
    pairs: pa.Table = counted.to_pyarrow()
    if not pairs.num_rows:
        message = "no two items occur together often enough; lower cooccurrence.min_count"
        raise DataError(message)
    work.save_table("pairs.parquet", pairs)
    return pairs


def _svd(work: Workspace, pairs: pa.Table, learning: _Learning) -> NDArray[np.float32]:
    project = work.loaded.project
    keys = work.table("items.parquet")["item"].take(learning.vocabulary)
    matrix = pmi_matrix(
        index_in(pairs["item_i"], keys),
        index_in(pairs["item_j"], keys),
        pairs["count"].to_numpy(),
        len(keys),
        context_power=project.svd.context_power,
        positive=project.svd.positive,
    )
    return svd_vectors(matrix, project.svd, project.seed)


def _save_training(
    work: Workspace, learning: _Learning, trained: Trained, svd: NDArray[np.float32], pairs: int
) -> TrainReport:
    work.save_array("svd_vectors.npy", svd)
    work.save_array("led_vectors.npy", trained.vectors)
    work.save_array("led_biases.npy", trained.biases)
    report = TrainReport(
        users=len(learning.log.members("train")),
        items=len(learning.vocabulary),
        pairs=pairs,
        best_epoch=trained.best,
        epochs=[(epoch.number, epoch.loss, epoch.ndcg) for epoch in trained.epochs],
    )
    work.save_json("train.json", report)
    work.finish("train")
    return report
