"""Trains the served two towers with mixed negative sampling (sections 3.3 and 3.4) on training users' timelines."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features import FeatureTransform, Transforms
from models.two_tower import NO_SEED
from shortlist_training.config_sources import TwoTowerSettings
from shortlist_training.histories import HeldOut, Histories, History
from shortlist_training.metrics import SELECTION
from shortlist_training.sources.content import ItemContent
from shortlist_training.sources.examples import Cutting, Example, cut, label_weights, usable
from shortlist_training.sources.people import user_tensors
from shortlist_training.sources.ranking import UserScorer, measured
from shortlist_training.timelines import Rows, incidence
from shortlist_training.train import Epoch
from shortlist_training.two_tower.serving_model import ServedTwoTower
from shortlist_training.two_tower.train import seed_everything

ENCODE_BATCH = 4096


@dataclass(frozen=True)
class Batch:
    """B users with P targets and the columns they are scored against.

    rows, offsets, seeds, features: as `ServedTwoTower.query_vectors` takes them. pool (P + B',): the targets' rows,
    then uniform ones. owner (P,): whose target. own (B, P + B'): bool, where the column is one of the user's items.
    """

    rows: Tensor
    offsets: Tensor
    seeds: Tensor
    features: dict[str, Tensor]
    pool: Tensor
    owner: Tensor
    own: Tensor


def cutting(settings: TwoTowerSettings) -> Cutting:
    """Say how timelines are cut."""
    return Cutting(
        split_by=settings.split_by,
        input_share=settings.input_share,
        max_targets=settings.max_targets,
        max_history=settings.max_history,
        context_dropout=settings.users.context_dropout,
        empty_share=settings.empty_share,
    )


def train_two_tower(
    histories: Histories,
    content: ItemContent,
    transforms: Sequence[FeatureTransform],
    validation: HeldOut,
    settings: TwoTowerSettings,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> tuple[ServedTwoTower, list[Epoch]]:
    """Fit by Adagrad; keep the epoch with the best NDCG@100 on validation users."""
    rng = seed_everything(seed, settings.threads)
    model = ServedTwoTower(content, transforms, settings)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=settings.learning_rate)
    sampler = Sampler(usable(histories.training()), histories.items, transforms, settings)
    epochs: list[Epoch] = []
    best, kept = Epoch(0, 0.0, -1.0), copy.deepcopy(model.state_dict())
    for number in range(1, settings.epochs + 1):
        model.train()
        losses = [_step(model, optimizer, batch, sampler) for batch in sampler.epoch(rng)]
        model.eval()
        ndcg = measured(user_scorer(model, validation.known, transforms, settings), validation)
        epochs.append(Epoch(number, float(np.mean(losses)), float(ndcg[SELECTION].mean())))
        on_epoch(epochs[-1])
        if epochs[-1].ndcg > best.ndcg:
            best, kept = epochs[-1], copy.deepcopy(model.state_dict())
        elif number - best.number >= settings.patience:
            break
    model.load_state_dict(kept)
    return model.eval(), epochs


class Sampler:
    """Draws one epoch's batches, and knows how often each item is expected among a row's negatives."""

    def __init__(
        self,
        histories: Sequence[History],
        items: int,
        transforms: Sequence[FeatureTransform],
        settings: TwoTowerSettings,
    ) -> None:
        self._histories = histories
        self._items = items
        self._known: sp.csr_matrix = incidence([np.unique(history.rows) for history in histories], items)
        self._transforms = Transforms(transforms)
        self._settings = settings
        weights = label_weights(histories, items, cutting(settings))
        self._share = torch.from_numpy(weights / max(weights.sum(), 1.0)).float()

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield every training user once, in random order."""
        order = rng.permutation(len(self._histories))
        for start in range(0, len(order), self._settings.batch_users):
            users = order[start : start + self._settings.batch_users]
            cuts = [(user, cut(self._histories[user], cutting(self._settings), rng)) for user in users]
            found = [(int(user), example) for user, example in cuts if example is not None]
            if found:
                yield self._batch(found, rng)

    def log_draws(self, batch: Batch) -> Tensor:
        """Give log m_j of every column: expected draws from the batch's other targets and the uniform ones (eq. 5)."""
        targets = len(batch.owner)
        expected = max(targets - 1, 1) * self._share[batch.pool] + self._settings.uniform / self._items
        return torch.log(expected.clamp_min(torch.finfo(torch.float32).tiny))

    def _batch(self, found: Sequence[tuple[int, Example]], rng: np.random.Generator) -> Batch:
        examples = [example for _, example in found]
        seeded = rng.random(len(examples)) < self._settings.seed_share
        drawn = rng.integers(self._items, size=self._settings.uniform)
        pool = np.concatenate([*(example.targets for example in examples), drawn])
        owned = self._known[[user for user, _ in found]][:, pool].toarray() > 0
        lengths = [len(example.known) for example in examples]
        return Batch(
            rows=torch.from_numpy(np.concatenate([example.known.rows for example in examples])),
            offsets=torch.from_numpy(np.r_[0, np.cumsum(lengths)[:-1]].astype(np.int64)),
            seeds=torch.from_numpy(_seeds(examples, seeded)),
            features=user_tensors(self._transforms, [example.context for example in examples]),
            pool=torch.from_numpy(pool),
            owner=torch.from_numpy(np.repeat(np.arange(len(examples)), [len(each.targets) for each in examples])),
            own=torch.from_numpy(owned),
        )


def mixed_loss(queries: Tensor, items: Tensor, batch: Batch, log_draws: Tensor) -> Tensor:
    """Average -log(exp s_y / (exp s_y + sum_j exp(s_j - log m_j))) over P targets, a scalar (equation 5).

    queries (B, K), items (P + B', K): vectors of users and columns. A user's own items are no negatives, so that all of
    a user's targets share one sum: `sampling.corrected_loss` for every target gives the same in more time.
    """
    scores = queries @ items.T
    negatives = torch.logsumexp((scores - log_draws).masked_fill(batch.own, -torch.inf), dim=1)
    positives = scores[batch.owner, torch.arange(len(batch.owner))]
    return (torch.logaddexp(positives, negatives[batch.owner]) - positives).mean()


def user_scorer(
    model: ServedTwoTower, known: Sequence[History], transforms: Sequence[FeatureTransform], settings: TwoTowerSettings
) -> UserScorer:
    """Score all items for some of the users, without a seed, an hour after the newest interaction.

    Items and users are encoded once, all of them here.
    """
    users, items = encode_users(model, known, transforms, settings.max_history), encode_items(model)
    return lambda places: np.asarray(users[places] @ items.T)


def encode_items(model: ServedTwoTower) -> NDArray[np.float32]:
    """Encode all items: (I, K) float32."""
    return _of_all(model, model.item_vectors)


def input_vectors(model: ServedTwoTower) -> NDArray[np.float32]:
    """Give what the query tower reads of all items: (I, e) float32."""
    return _of_all(model, model.items)


def _of_all(model: ServedTwoTower, encode: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    """Encode some items after the others into one array; joining parts would take it twice."""
    rows = torch.arange(len(model.items.ids))
    with torch.no_grad():
        found = torch.empty(len(rows), encode(rows[:1]).shape[1])
        for part in torch.split(rows, ENCODE_BATCH):
            found[part[0] : part[-1] + 1] = encode(part)
    return found.numpy()


def encode_users(
    model: ServedTwoTower,
    known: Sequence[History],
    transforms: Sequence[FeatureTransform],
    max_history: int,
    seeds: Rows | None = None,
    time_ms: int | None = None,
) -> NDArray[np.float32]:
    """Encode users with the torch model: (U, K) float32. seeds: rows, -1 for none. time_ms: None asks an hour later."""
    recent = [history.recent(max_history) for history in known]
    offsets = np.r_[0, np.cumsum([len(history) for history in recent])[:-1]].astype(np.int64)
    wanted = np.full(len(known), NO_SEED, dtype=np.int64) if seeds is None else seeds
    features = user_tensors(Transforms(transforms), [history.asking(time_ms) for history in known])
    with torch.no_grad():
        vectors = model.query_vectors(
            torch.from_numpy(np.concatenate([history.rows for history in recent])),
            torch.from_numpy(offsets),
            torch.from_numpy(wanted),
            features,
        )
    return vectors.numpy()


def _seeds(examples: Sequence[Example], seeded: NDArray[np.bool_]) -> Rows:
    newest = [int(example.known.rows[-1]) if len(example.known) else NO_SEED for example in examples]
    return np.where(seeded, newest, NO_SEED).astype(np.int64)


def _step(model: ServedTwoTower, optimizer: torch.optim.Optimizer, batch: Batch, sampler: Sampler) -> float:
    queries = model.query_vectors(batch.rows, batch.offsets, batch.seeds, batch.features)
    distinct, places = torch.unique(batch.pool, return_inverse=True)
    items = model.item_vectors(distinct)[places]
    loss = mixed_loss(queries, items, batch, sampler.log_draws(batch))
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs leave it untyped
    optimizer.step()
    return float(loss.item())
