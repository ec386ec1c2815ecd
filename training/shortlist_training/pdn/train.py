"""Trains PDN listwise, or with the cross-entropy of section 4.6, and keeps the epoch that ranks validation best."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist_training.leave_one_out import Cases, ndcg, ranks
from shortlist_training.pdn.cooccurrence import Edges
from shortlist_training.pdn.features import Profiles, activity_codes
from shortlist_training.pdn.inference import serve
from shortlist_training.pdn.model import Pdn, PdnConfig, cross_entropy, listwise, path_weights, to_tensor
from shortlist_training.pdn.views import View, Views
from shortlist_training.pdn.warm_start import Factors, start_from_factors, start_from_lateness, start_from_linear
from shortlist_training.timelines import Rows

LARGEST_GRADIENT = 1.0
LEAST_RATE = 0.05


class TrainConfig(msgspec.Struct, frozen=True):
    """How PDN is fitted.

    A step takes `batch_users` of one fold and `pool` items drawn without replacement: all pairs of the two are
    samples. Negatives are thus uniform and shared; a user's weigh together as `negatives` per positive of the user,
    which is what drawing that many for each positive would come to. A user's pairs together weigh items^-user_power
    of that, 1 being the same for all users. Of longer histories `max_triggers` random triggers are taken, and their
    sum is scaled up accordingly. The learning rate rises over `warm_up` steps and falls to a twentieth along a cosine
    over `epochs`. patience: epochs without a better validation NDCG@10 among all items, of the first `judged` users
    only if it is not None. behaviour_rate: the behaviour field's own learning rate. loss: "listwise"
    (`model.listwise`) or the paper's "cross_entropy".
    """

    loss: Literal["listwise", "cross_entropy"] = "listwise"
    negatives: float = 1.0
    user_power: float = 1.0
    epochs: int = 2
    patience: int = 4
    judged: int | None = None
    warm_up: int = 100
    batch_users: int = 64
    pool: int = 256
    max_triggers: int = 200
    learning_rate: float = 1e-4
    slope_rate: float = 2e-2
    behaviour_rate: float = 5e-3
    weight_decay: float = 1e-2


@dataclass(frozen=True)
class Batch:
    """One step's samples.

    users, activity: (B,). triggers, owner: (L,) trigger items of all users and whose they are (0..B-1).
    known: (B,) how many triggers each has. pool: (P,) target items. label: (B, P) 0 or 1. weight: (B, P), 0 where
    not asked.
    """

    users: Tensor
    activity: Tensor
    triggers: Tensor
    owner: Tensor
    known: Tensor
    pool: Tensor
    label: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Epoch:
    """Mean training loss, and validation NDCG@10 among all items and among sampled negatives."""

    number: int
    loss: float
    ndcg: float
    sampled_ndcg: float


def train(
    cases: Cases,
    views: Views,
    factors: Factors | None,
    profiles: Profiles,
    sizes: PdnConfig,
    config: TrainConfig,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> tuple[Pdn, list[Epoch]]:
    """Fit PDN to the histories of `cases`; their targets choose the epoch and are to the training what all others are.

    A direct net that starts from factors stays there: they have seen the labels it would be trained on.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = started(profiles, sizes, views.edges, factors)
    steps = -(-len(cases.targets) // config.batch_users) * config.epochs
    optimizer, schedule = _optimizer(model, config, steps)
    epochs = [Epoch(0, 0.0, *_validate(model, cases, views, config.judged))]
    best = copy.deepcopy(model)
    on_epoch(epochs[0])
    for number in range(1, config.epochs + 1):
        losses = []
        for fold, batch in epoch_batches(cases, views.fold, config, rng):
            loss = batch_loss(model, batch, views.held_out[fold], config)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs leave it untyped
            torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.item()))
        epochs.append(Epoch(number, float(np.mean(losses)), *_validate(model, cases, views, config.judged)))
        on_epoch(epochs[-1])
        leader = max(epochs[1:], key=lambda epoch: epoch.ndcg)  # the start itself is EASE, SLIM and iALS, not PDN
        if leader.number == number:
            best = copy.deepcopy(model)
        elif number - leader.number >= config.patience:
            break
    return best, epochs


def started(profiles: Profiles, sizes: PdnConfig, cut: Edges, factors: Factors | None) -> Pdn:
    """Make PDN at its start, as `sizes` say."""
    model = Pdn(profiles, sizes)
    if sizes.linear_offset is not None:
        start_from_linear(model, cut, sizes.linear_offset)
    if model.behaviour is not None:
        start_from_lateness(model, sizes.late_power)
    if sizes.factor_weight is not None and factors is not None:
        start_from_factors(model, factors, sizes.factor_weight)
    return model


def batch_loss(model: Pdn, batch: Batch, view: View, config: TrainConfig) -> Tensor:
    """Give the loss of one step."""
    score = scores(model, batch, view)
    if config.loss == "cross_entropy":
        return cross_entropy(score, batch.label, batch.weight)
    selection = model.selection(batch.users, batch.activity, batch.pool, torch.from_numpy(view.late))
    return listwise(score, batch.label, batch.weight, model.slopes(batch.activity), selection)


def _optimizer(
    model: Pdn, config: TrainConfig, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    learned = {name: value for name, value in model.named_parameters() if value.requires_grad}
    apart = ("slope", "behaviour")
    nets = [value for name, value in learned.items() if not name.startswith(apart)]
    groups = [
        {"params": nets, "lr": config.learning_rate},
        {"params": [model.slope.weight], "lr": config.slope_rate, "weight_decay": 0.0},
    ]
    if model.behaviour is not None:
        behaviour = list(model.behaviour.parameters())
        groups.append({"params": behaviour, "lr": config.behaviour_rate, "weight_decay": 0.0})

    def factor(step: int) -> float:
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))
        return min(1.0, (step + 1) / config.warm_up) * (LEAST_RATE + (1.0 - LEAST_RATE) * cosine)

    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, [factor, *[lambda _step: 1.0] * (len(groups) - 1)])


def scores(model: Pdn, batch: Batch, view: View) -> Tensor:
    """Compute y of eq. 12 for all users and pool items of a batch: (B, P). A target is never its own trigger.

    The sum over the paths that count is scaled to the number of triggers the user has, for a positive too, which has
    one path less: serving asks for items that are none of the triggers, and there each has them all.
    """
    popularity = to_tensor(view.popularity)
    unique, place = torch.unique(batch.triggers, return_inverse=True)
    buckets = torch.from_numpy(pair_buckets(view, unique.numpy(), batch.pool.numpy()))
    similarity = model.similarity(unique, batch.pool, buckets, popularity)
    late = torch.from_numpy(view.late)
    weight = model.triggers(batch.users, batch.activity, batch.owner, batch.triggers, popularity, late)
    paths = path_weights(similarity.index_select(0, place), weight)
    other = (batch.triggers[:, None] != batch.pool).float()
    none = torch.zeros(len(batch.users), len(batch.pool))
    counted = none.index_add(0, batch.owner, other).clamp_min(1.0)
    total = none.index_add(0, batch.owner, paths * other) * batch.known[:, None] / counted
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
    """Take triggers and labels of (B,) users for (P,) pool items."""
    history: sp.csr_matrix = cases.history
    taken = []
    for user in users:
        known = history.indices[history.indptr[user] : history.indptr[user + 1]].astype(np.int64)
        kept = rng.permutation(known)[: config.max_triggers] if len(known) > config.max_triggers else known
        taken.append(kept)
    label = history[users][:, pool].toarray()
    count = np.diff(history.indptr)[users]
    weight = pair_weights(label, count, history.shape[1], config)
    return Batch(
        users=to_tensor(users),
        activity=to_tensor(activity[users]),
        triggers=to_tensor(np.concatenate(taken)),
        owner=to_tensor(np.repeat(np.arange(len(users)), [len(one) for one in taken])),
        known=torch.from_numpy(count.astype(np.float32)),
        pool=to_tensor(pool),
        label=torch.from_numpy(label),
        weight=torch.from_numpy(weight),
    )


def pair_weights(label: NDArray[np.float32], known: Rows, items: int, config: TrainConfig) -> NDArray[np.float32]:
    """Weigh (B, P) pairs: positives n_u^-user_power, negatives so that all of a user's come to `negatives` as much."""
    positive = known.astype(np.float32)[:, None] ** -config.user_power
    negative = config.negatives * known[:, None] / (items - known[:, None])
    return np.asarray(positive * np.where(label > 0, 1.0, negative), dtype=np.float32)


def _validate(model: Pdn, cases: Cases, views: Views, judged: int | None) -> tuple[float, float]:
    served = serve(model, cases.history, views.everybody)
    places = ranks(served.score_all, cases, judged)
    return float(ndcg(places.all, 10).mean()), float(ndcg(places.sampled, 10).mean())
