"""The train steps: one for LED and one for each other source, so that a finished one is not trained again."""

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import nn

from shortlist_training.cooccurrence import pair_counts
from shortlist_training.errors import DataError
from shortlist_training.item_interaction.serving import policy, train_pairs
from shortlist_training.pdn.serving_loss import Grid, greedy_report
from shortlist_training.pdn.serving_train import make_views, train_pdn
from shortlist_training.pmi import initial_vectors, pmi_matrix, svd_vectors
from shortlist_training.records import SourceReport, TrainReport
from shortlist_training.roles import roles_of
from shortlist_training.sources.content import item_content
from shortlist_training.sources.pdn import PdnSource
from shortlist_training.splits import of_split
from shortlist_training.steps.learning import Ingested, Progress, database
from shortlist_training.timelines import Rows, index_in
from shortlist_training.train import Epoch, Trained, Validation, train
from shortlist_training.two_tower.serving_train import train_two_tower
from shortlist_training.user_features import learn_transforms
from shortlist_training.workspace import LED, Workspace, needs


def train_step(step: str, work: Workspace, progress: Progress) -> TrainReport | SourceReport:
    """Do one of `TRAINERS` and mark it done."""
    for need in needs(step, work.loaded.project.sources()):
        work.require(need)
    work.begin(step)
    report = TRAINERS[step](Ingested(work), progress)
    work.save_json(f"{step.replace('.', '_')}.json" if step != LED else "train.json", report)
    work.finish(step)
    return report


def train_led(ingested: Ingested, progress: Progress) -> TrainReport:
    """Count pairs, factorize, train LED; write vectors, biases and PMI-SVD."""
    work = ingested.work
    project, histories = work.loaded.project, ingested.histories
    progress("counting pairs", 0, 0)
    pairs = _pairs(work)
    progress("factorizing PMI", 0, 0)
    count, svd = pairs.num_rows, _svd(work, pairs, ingested.vocabulary)
    del pairs  # a gigabyte for a million items
    initial = svd
    if project.led.init == "random":
        initial = np.random.default_rng(project.seed).standard_normal(svd.shape).astype(np.float32)
    initial = initial_vectors(initial, project.led.scale, normalize=project.led.normalize)
    folded = ingested.held_out("validation")
    homes = [histories.countries.index(history.country) for history in folded.known]
    users = [
        roles_of(histories.of_user(int(user)), int(histories.homes[user]), project.led)
        for user in histories.members("train")
    ]
    if not any(user.usable for user in users):
        message = "no training user has an input and a target; widen led.input_types or led.target_types"
        raise DataError(message)
    trained = train(
        users,
        initial,
        Validation(folded.inputs, folded.targets, np.array(homes, dtype=np.int64)),
        project.led,
        project.seed,
        _on_epoch("LED", project.led.epochs, progress),
        len(histories.countries),
    )
    return _save_led(ingested, trained, svd, count)


def train_two_tower_source(ingested: Ingested, progress: Progress) -> SourceReport:
    """Train the two towers; write weights and feature transforms."""
    work = ingested.work
    settings = work.loaded.project.two_tower
    assert settings is not None  # noqa: S101 - the step is one of the project's
    learning = ingested.learning()
    content = item_content(learning.catalogue, learning.histories.training_counts(), learning.svd, settings.items)
    transforms = learn_transforms(learning.histories, settings.users)
    model, epochs = train_two_tower(
        learning.histories,
        content,
        transforms,
        ingested.held_out("validation"),
        settings,
        work.loaded.project.seed,
        _on_epoch("two-tower", settings.epochs, progress),
    )
    work.save_json("two_tower_features.json", transforms)
    work.save_arrays("two_tower.npz", _weights(model))
    return _report(epochs)


def train_pdn_source(ingested: Ingested, progress: Progress) -> SourceReport:
    """Choose candidate pairs, train PDN, measure greedy retrieval; write weights and feature transforms."""
    work = ingested.work
    settings, seed = work.loaded.project.pdn, work.loaded.project.seed
    assert settings is not None  # noqa: S101 - the step is one of the project's
    learning, validation = ingested.learning(), ingested.held_out("validation")
    content = item_content(learning.catalogue, learning.histories.training_counts(), learning.svd, settings.items)
    transforms = learn_transforms(learning.histories, settings.users)
    views = make_views(
        learning.histories,
        content,
        settings,
        seed,
        lambda number: progress("PDN candidate pairs", number, settings.folds + 1),
    )
    on_epoch = _on_epoch("PDN", settings.epochs, progress)
    model, epochs = train_pdn(learning.histories, content, transforms, views, validation, settings, seed, on_epoch)
    progress("PDN greedy retrieval", 0, 0)
    work.save_json("pdn_features.json", transforms)
    work.save_arrays("pdn.npz", _weights(model))
    source = PdnSource.load(learning, transforms, settings, _weights(model), seed)
    samples = work.loaded.project.evaluate.bootstrap
    greedy = greedy_report(source.paths(validation.known), validation, Grid.of(settings), samples, seed)
    return msgspec.structs.replace(_report(epochs), greedy=greedy)


def train_item_interaction(ingested: Ingested, progress: Progress) -> SourceReport:
    """Train skip-gram over (item, type) pairs; write their unit vectors."""
    work = ingested.work
    project = work.loaded.project
    settings = project.item_interaction
    assert settings is not None  # noqa: S101 - the step is one of the project's
    progress("item-interaction sessions", 0, 0)
    pairs = train_pairs(
        ingested.training_interactions(),
        work.table("items.parquet")["item"].take(ingested.vocabulary),
        ingested.catalogue.take(ingested.vocabulary).categories,
        settings,
        project.session.gap_s,
        project.seed,
        lambda number: progress("item-interaction skip-gram", number, settings.epochs),
    )
    policy(pairs, settings)  # types that nobody uses are refused before anything is written
    work.save_arrays("item_interaction.npz", {"items": pairs.items, "types": pairs.types, "vectors": pairs.vectors})
    return SourceReport(0, [], {"pairs": float(len(pairs.items))})


TRAINERS: Mapping[str, Callable[[Ingested, Progress], TrainReport | SourceReport]] = {
    LED: train_led,
    "train.two_tower": train_two_tower_source,
    "train.pdn": train_pdn_source,
    "train.item_interaction": train_item_interaction,
}


def _on_epoch(name: str, epochs: int, progress: Progress) -> Callable[[Epoch], None]:
    def on_epoch(epoch: Epoch) -> None:
        loss = f"loss {epoch.loss:.4f}, " if epoch.number else ""
        progress(f"{name} {loss}validation NDCG@100 {epoch.ndcg:.4f}", epoch.number, epochs)

    return on_epoch


def _weights(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    return {name: values.numpy() for name, values in model.state_dict().items()}


def _report(epochs: list[Epoch]) -> SourceReport:
    best = max((epoch for epoch in epochs if epoch.number), key=lambda epoch: epoch.ndcg)
    return SourceReport(best.number, [(epoch.number, epoch.loss, epoch.ndcg) for epoch in epochs], {})


def _pairs(work: Workspace) -> pa.Table:
    connection = database(work)
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


def _svd(work: Workspace, pairs: pa.Table, vocabulary: Rows) -> NDArray[np.float32]:
    project = work.loaded.project
    keys = work.table("items.parquet")["item"].take(vocabulary)
    matrix = pmi_matrix(
        index_in(pairs["item_i"], keys),
        index_in(pairs["item_j"], keys),
        pairs["count"].to_numpy(),
        len(keys),
        context_power=project.svd.context_power,
        positive=project.svd.positive,
    )
    return svd_vectors(matrix, project.svd, project.seed)


def _save_led(ingested: Ingested, trained: Trained, svd: NDArray[np.float32], pairs: int) -> TrainReport:
    work = ingested.work
    work.save_array("svd_vectors.npy", svd)
    work.save_array("led_vectors.npy", trained.vectors)
    work.save_array("led_biases.npy", trained.biases)
    work.save_array("led_country_biases.npy", trained.country_biases)
    return TrainReport(
        users=len(ingested.log.members("train")),
        items=len(ingested.vocabulary),
        pairs=pairs,
        best_epoch=trained.best,
        epochs=[(epoch.number, epoch.loss, epoch.ndcg) for epoch in trained.epochs],
    )
