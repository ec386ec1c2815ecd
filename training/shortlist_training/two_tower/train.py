"""Trains a two-tower model or the softmax baseline by Adagrad, and keeps the epoch that validation likes best."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist_training.train import be_deterministic
from shortlist_training.two_tower.features import FeatureTable
from shortlist_training.two_tower.sampling import (
    expected_draws,
    in_batch_loss,
    power_distribution,
    shared_draws_loss,
)
from shortlist_training.two_tower.towers import SoftmaxMlp, TwoTower

ENCODE_BATCH = 1024

Retriever = TwoTower | SoftmaxMlp


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    batch: B. uniform: B', drawn uniformly from the whole catalogue per batch; 0 is batch negatives. draws: negatives
    per batch drawn by label count^power instead of both, for the softmax baseline; 0 is in-batch.
    learning_rate: of Adagrad, 0.01 in the paper. patience: epochs without a better validation score before it stops.
    """

    batch: int
    uniform: int = 0
    draws: int = 0
    power: float = 1.0
    learning_rate: float = 0.01
    epochs: int = 20
    patience: int = 3
    threads: int = 1

    @property
    def negatives(self) -> int:
        """The effective sample size of table 1: what is drawn apart from the batch, or B + B'."""
        return self.draws or self.batch + self.uniform


@dataclass(frozen=True)
class Pairs:
    """Training pairs {query, item}: places in the queries' feature table and in the catalogue, both (P,) int64."""

    queries: NDArray[np.int64]
    items: NDArray[np.int64]


@dataclass(frozen=True)
class Epoch:
    """One pass over the pairs: mean loss and validation score (higher is better)."""

    number: int
    loss: float
    score: float


@dataclass(frozen=True)
class Trained:
    """The best epoch's model, in evaluation mode, with every epoch that was tried."""

    model: Retriever
    best: int
    epochs: tuple[Epoch, ...]


class Sampler:
    """Draws batches and their negatives, and knows how often each item is expected among them.

    pairs: of training; items: I, the catalogue's size. index: the places that uniform negatives come from, the index
    data of section 3.3; the whole catalogue if None.
    """

    def __init__(
        self,
        pairs: Pairs,
        items: int,
        config: TrainConfig,
        rng: np.random.Generator,
        index: NDArray[np.int64] | None = None,
    ) -> None:
        self._pairs = pairs
        self._items = items
        self._index = np.arange(items, dtype=np.int64) if index is None else index
        self._config = config
        self._rng = rng
        counts = np.bincount(pairs.items, minlength=items)
        self._drawn = power_distribution(counts, config.power)
        expected = (
            config.draws * self._drawn
            if config.draws
            else expected_draws(counts, config.batch, config.uniform, self._index)
        )
        # an item that is never drawn has no finite logarithm and needs none; 1 keeps the array finite
        self.log_draws = torch.from_numpy(np.log(np.where(expected > 0, expected, 1.0))).float()

    def epoch(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield queries (B,), positives (B,) and drawn items (N,) over all pairs in random order.

        A last batch that is not full is left out: it would have other expected counts.
        """
        order = self._rng.permutation(len(self._pairs.items))
        for start in range(0, len(order) - self._config.batch + 1, self._config.batch):
            chosen = order[start : start + self._config.batch]
            queries, items = self._pairs.queries[chosen], self._pairs.items[chosen]
            yield torch.from_numpy(queries), torch.from_numpy(items), torch.from_numpy(self._draw())

    def _draw(self) -> NDArray[np.int64]:
        if self._config.draws:
            return self._rng.choice(self._items, size=self._config.draws, p=self._drawn).astype(np.int64)
        return self._index[self._rng.integers(len(self._index), size=self._config.uniform)]


def fit(
    model: Retriever,
    queries: FeatureTable,
    sampler: Sampler,
    config: TrainConfig,
    validate: Callable[[Retriever], float],
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Train until `patience` epochs in a row were no better, or for `epochs`. The caller has seeded torch."""
    optimizer = torch.optim.Adagrad(model.parameters(), lr=config.learning_rate)
    epochs: list[Epoch] = []
    best, kept = -1.0, copy.deepcopy(model.state_dict())
    chosen = 0
    for number in range(1, config.epochs + 1):
        model.train()
        losses = [_step(model, optimizer, queries, batch, sampler.log_draws, config) for batch in sampler.epoch()]
        model.eval()
        epochs.append(Epoch(number, float(np.mean(losses)), validate(model)))
        on_epoch(epochs[-1])
        if epochs[-1].score > best:
            best, chosen, kept = epochs[-1].score, number, copy.deepcopy(model.state_dict())
        elif number - chosen >= config.patience:
            break
    model.load_state_dict(kept)
    return Trained(model.eval(), chosen, tuple(epochs))


def seed_everything(seed: int, threads: int) -> np.random.Generator:
    """Seed torch (initial weights, id dropout) and make the generator that draws batches and negatives."""
    be_deterministic(seed, threads)
    # filling fresh memory only shows bugs, and takes a tenth of the time; the stubs do not know the switch
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return np.random.default_rng(seed)


def encode_queries(model: Retriever, table: FeatureTable, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Encode some queries of a table: (N, K) float32."""
    with torch.no_grad():
        parts = [model.query_vectors(table.rows(part)).numpy() for part in _parts(torch.from_numpy(rows))]
    return np.concatenate(parts)


def encode_items(model: Retriever, items: int) -> NDArray[np.float32]:
    """Encode the whole catalogue: (I, K) float32."""
    with torch.no_grad():
        return np.concatenate([model.item_vectors(part).numpy() for part in _parts(torch.arange(items))])


def _parts(rows: Tensor) -> tuple[Tensor, ...]:
    return torch.split(rows, ENCODE_BATCH)


def batch_loss(
    model: Retriever,
    queries: FeatureTable,
    batch: tuple[Tensor, Tensor, Tensor],
    log_draws: Tensor,
    config: TrainConfig,
) -> Tensor:
    """Loss of one batch from `Sampler.epoch`, a scalar."""
    chosen, positives, drawn = batch
    vectors = model.query_vectors(queries.rows(chosen))
    rows = torch.cat([positives, drawn])
    # an item that several rows ask for goes through its tower once
    distinct, places = torch.unique(rows, return_inverse=True)
    items = model.item_vectors(distinct)[places]
    if not config.draws:
        return in_batch_loss(vectors, items, rows, log_draws)
    size = len(positives)
    return shared_draws_loss(vectors, items[:size], items[size:], (positives, drawn), log_draws)


def _step(
    model: Retriever,
    optimizer: torch.optim.Optimizer,
    queries: FeatureTable,
    batch: tuple[Tensor, Tensor, Tensor],
    log_draws: Tensor,
    config: TrainConfig,
) -> float:
    loss = batch_loss(model, queries, batch, log_draws, config)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs leave it untyped
    optimizer.step()
    return float(loss.item())
