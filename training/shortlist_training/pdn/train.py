"""Trains PDN end to end with the cross-entropy of section 4.6 and keeps the epoch that ranks validation items best."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist_training.leave_one_out import Cases, ndcg, sampled_ranks
from shortlist_training.pdn.features import Profiles, activity_codes
from shortlist_training.pdn.inference import serve
from shortlist_training.pdn.model import Pdn, PdnConfig, cross_entropy, path_weights, to_tensor
from shortlist_training.pdn.views import View, Views
from shortlist_training.pdn.warm_start import start_from_ease
from shortlist_training.timelines import Rows


class TrainConfig(msgspec.Struct, frozen=True):
    """How PDN is fitted.

    A step takes `batch_users` of one fold and `pool` items drawn without replacement: all pairs of the two are
    samples. Negatives are thus uniform and shared; a user's weigh together as `negatives` per positive of the user,
    which is what drawing that many for each positive would come to. A user's pairs together weigh items^-user_power
    of that, 1 being the same for all users. Of longer histories `max_triggers` random triggers are taken, and their
    sum is scaled up accordingly. The learning rate falls to a twentieth along a cosine over `epochs`. patience: epochs
    without a better validation NDCG@10 among sampled negatives.
    """

    negatives: float = 1.0
    user_power: float = 0.5
    epochs: int = 6
    patience: int = 4
    batch_users: int = 64
    pool: int = 256
    max_triggers: int = 200
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2


@dataclass(frozen=True)
class Batch:
    """One step's samples.

    users, activity: (B,). triggers, owner: (L,) trigger items of all users and whose they are (0..B-1).
    scale: (B,) triggers a user has / triggers taken. pool: (P,) target items. label: (B, P) 0 or 1.
    weight: (B, P), 0 where not asked.
    """

    users: Tensor
    activity: Tensor
    triggers: Tensor
    owner: Tensor
    scale: Tensor
    pool: Tensor
    label: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Epoch:
    """Mean training loss, and validation NDCG@10 among sampled negatives."""

    number: int
    loss: float
    ndcg: float


def train(
    cases: Cases,
    views: Views,
    profiles: Profiles,
    sizes: PdnConfig,
    config: TrainConfig,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> tuple[Pdn, list[Epoch]]:
    """Fit PDN to the histories of `cases`; their targets choose the epoch and are never a sample of the training."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Pdn(profiles, sizes)
    if sizes.ease_offset is not None:
        start_from_ease(model, views.edges, sizes.ease_offset)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    epochs = [Epoch(0, 0.0, _validate(model, cases, views))]
    best = copy.deepcopy(model)
    on_epoch(epochs[0])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs, config.learning_rate / 20)
    for number in range(1, config.epochs + 1):
        losses = []
        for fold, batch in epoch_batches(cases, views.fold, config, rng):
            loss = cross_entropy(scores(model, batch, views.held_out[fold]), batch.label, batch.weight)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs leave it untyped
            optimizer.step()
            losses.append(float(loss.item()))
        schedule.step()
        epochs.append(Epoch(number, float(np.mean(losses)), _validate(model, cases, views)))
        on_epoch(epochs[-1])
        leader = max(epochs[1:], key=lambda epoch: epoch.ndcg)  # the warm start itself is EASE, not PDN
        if leader.number == number:
            best = copy.deepcopy(model)
        elif number - leader.number >= config.patience:
            break
    return best, epochs


def scores(model: Pdn, batch: Batch, view: View) -> Tensor:
    """Compute y of eq. 12 for all users and pool items of a batch: (B, P). A target is never its own trigger."""
    popularity = to_tensor(view.popularity)
    unique, place = torch.unique(batch.triggers, return_inverse=True)
    buckets = torch.from_numpy(pair_buckets(view, unique.numpy(), batch.pool.numpy()))
    similarity = model.similarity(unique, batch.pool, buckets, popularity)
    weight = model.triggers(batch.users, batch.activity, batch.owner, batch.triggers, popularity)
    paths = path_weights(similarity.index_select(0, place), weight)
    paths = paths * (batch.triggers[:, None] != batch.pool)
    total = torch.zeros(len(batch.users), len(batch.pool)).index_add(0, batch.owner, paths) * batch.scale[:, None]
    people = model.direct_user(batch.users, batch.activity)
    direct = model.direct_weight(people, model.direct_item(batch.pool, popularity))
    return total + direct + model.bias_weight(batch.activity, popularity[batch.pool])


def pair_buckets(view: View, triggers: Rows, targets: Rows) -> NDArray[np.int64]:
    """Take the buckets of (T,) x (P,) pairs: (T, P, S) int64."""
    block = view.buckets[:, triggers][:, :, targets]
    return np.ascontiguousarray(block.transpose(1, 2, 0), dtype=np.int64)


def epoch_batches(
    cases: Cases, fold: Rows, config: TrainConfig, rng: np.random.Generator
) -> Iterator[tuple[int, Batch]]:
    """Yield every user once, in batches of one fold in random order, with the fold's number."""
    activity = activity_codes(cases.history)
    groups = []
    for number in range(int(fold.max()) + 1):
        members = rng.permutation(np.flatnonzero(fold == number))
        groups += [(number, members[at : at + config.batch_users]) for at in range(0, len(members), config.batch_users)]
    for place in rng.permutation(len(groups)):
        number, users = groups[place]
        pool = rng.choice(cases.history.shape[1], size=min(config.pool, cases.history.shape[1]), replace=False)
        yield number, sample(cases, activity, users, np.sort(pool), config, rng)


def sample(
    cases: Cases, activity: Rows, users: Rows, pool: Rows, config: TrainConfig, rng: np.random.Generator
) -> Batch:
    """Take triggers and labels of (B,) users for (P,) pool items; a validation target in the pool is not asked."""
    history: sp.csr_matrix = cases.history
    taken, scale = [], []
    for user in users:
        known = history.indices[history.indptr[user] : history.indptr[user + 1]].astype(np.int64)
        kept = rng.permutation(known)[: config.max_triggers] if len(known) > config.max_triggers else known
        taken.append(kept)
        scale.append(len(known) / max(len(kept), 1))
    label = history[users][:, pool].toarray()
    weight = pair_weights(label, np.diff(history.indptr)[users], history.shape[1], config)
    weight[cases.targets[users][:, None] == pool] = 0.0
    return Batch(
        users=to_tensor(users),
        activity=to_tensor(activity[users]),
        triggers=to_tensor(np.concatenate(taken)),
        owner=to_tensor(np.repeat(np.arange(len(users)), [len(one) for one in taken])),
        scale=torch.tensor(scale, dtype=torch.float32),
        pool=to_tensor(pool),
        label=torch.from_numpy(label),
        weight=torch.from_numpy(weight),
    )


def pair_weights(label: NDArray[np.float32], known: Rows, items: int, config: TrainConfig) -> NDArray[np.float32]:
    """Weigh (B, P) pairs: positives n_u^-user_power, negatives so that all of a user's come to `negatives` as much."""
    positive = known.astype(np.float32)[:, None] ** -config.user_power
    negative = config.negatives * known[:, None] / (items - known[:, None])
    return np.asarray(positive * np.where(label > 0, 1.0, negative), dtype=np.float32)


def _validate(model: Pdn, cases: Cases, views: Views) -> float:
    served = serve(model, cases.history, views.everybody)
    return float(ndcg(sampled_ranks(served.score_pairs, cases), 10).mean())
