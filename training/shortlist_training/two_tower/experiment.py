"""One run: a model of a kind, trained with early stopping on validation, and its labels' ranks on a split."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shortlist_training.time_split import label_ranks
from shortlist_training.two_tower.dataset import RetrievalData, item_specs, query_specs
from shortlist_training.two_tower.towers import SoftmaxMlp, Tower, TwoTower, embedding_tables
from shortlist_training.two_tower.train import (
    Epoch,
    Retriever,
    Sampler,
    TrainConfig,
    Trained,
    encode_items,
    encode_queries,
    fit,
    seed_everything,
)

Kind = Literal["softmax", "two-tower"]
Index = Literal["catalogue", "training day"]
SELECTION_K = 50
"""Validation Recall@50 chooses epochs and settings: the middle one of the three that are reported."""


@dataclass(frozen=True)
class ModelConfig:
    """Widths. hidden: of each tower; softmax_hidden: of the baseline, whose one tower has about the size of two."""

    hidden: tuple[int, ...] = (512, 128)
    softmax_hidden: tuple[int, ...] = (1024, 128)
    item_dim: int = 32
    word_dim: int = 32
    small_dim: int = 8
    id_dropout: float = 0.1


@dataclass(frozen=True)
class Run:
    """What is trained. All of it together with data and seed decides the result.

    index: uniform negatives come from the whole catalogue, products of tomorrow included, or from what had been sold
    before the end of training, as an index of that day would hold.
    """

    kind: Kind
    train: TrainConfig
    index: Index = "catalogue"
    model: ModelConfig = field(default_factory=ModelConfig)


def make_model(data: RetrievalData, run: Run) -> Retriever:
    """Build an untrained model; the caller has seeded torch."""
    dims = (run.model.item_dim, run.model.word_dim, run.model.small_dim)
    queries = query_specs(*dims, content=run.kind == "two-tower", context=data.context)
    if run.kind == "softmax":
        tower = Tower(queries, embedding_tables(data.sizes, queries), run.model.softmax_hidden)
        return SoftmaxMlp(tower, len(data.counts), run.model.softmax_hidden[-1])
    items = item_specs(*dims, data.context)
    tables = embedding_tables(data.sizes, [*queries, *items])
    query, item = (Tower(specs, tables, run.model.hidden) for specs in (queries, items))
    return TwoTower(query, item, data.catalogue, id_feature="item", id_dropout=run.model.id_dropout)


def train_run(data: RetrievalData, run: Run, seed: int, on_epoch: Callable[[Epoch], None]) -> Trained:
    """Train on the training split, choosing the epoch by validation Recall@50."""
    rng = seed_everything(seed, run.train.threads)
    model = make_model(data, run)
    index = np.flatnonzero(data.counts > 0) if run.index == "training day" else None
    sampler = Sampler(data.training_pairs(), len(data.counts), run.train, rng, index)
    return fit(model, data.queries, sampler, run.train, lambda trained: selection(data, trained), on_epoch)


def selection(data: RetrievalData, model: Retriever) -> float:
    """Measure validation Recall@50 over all pairs."""
    return float((ranks(data, model, "validation") < SELECTION_K).mean())


def ranks(
    data: RetrievalData, model: Retriever, split: str, among: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Rank a split's labels among all items the user has not had: (P,) int64, in the order of `labels`.

    among (I,): rank only these items, for labels that are among them. Items without training interactions have no class
    of the softmax baseline, which can not retrieve them.
    """
    rows = data.of(split)
    vectors = encode_queries(model, data.queries, rows)
    items = encode_items(model, len(data.counts)).T
    reachable = np.ones(len(data.counts), dtype=np.bool_) if among is None else among.copy()
    if isinstance(model, SoftmaxMlp):
        reachable &= data.counts > 0

    def score(chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.where(reachable, vectors[chosen] @ items, np.float32(-np.inf))

    return label_ranks(score, data.excluded[rows], data.labels[rows])


def popularity_ranks(data: RetrievalData, split: str) -> NDArray[np.int64]:
    """Rank a split's labels by training interactions, the same for every query."""
    rows = data.of(split)
    counts = data.counts.astype(np.float32)
    return label_ranks(lambda chosen: np.tile(counts, (len(chosen), 1)), data.excluded[rows], data.labels[rows])
