"""Trains LED on training users' timelines and keeps the checkpoint that ranks validation users best (section 6.2)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from shortlist_training.config_models import LedConfig
from shortlist_training.led import LOSSES, RECONSTRUCTING, Led, Scores, average
from shortlist_training.metrics import SELECTION, evaluate_scores
from shortlist_training.roles import Roles
from shortlist_training.timelines import Rows, incidence

SPARSE_FROM = 200_000
"""Items from which only the vectors in use take a step of Adam: a step over all of a million takes a second."""


@dataclass(frozen=True)
class Epoch:
    """One checkpoint: mean training loss and validation NDCG@100. Epoch 0 is the model before training."""

    number: int
    loss: float
    ndcg: float


@dataclass(frozen=True)
class Trained:
    """The best checkpoint: vectors (I, d) and biases (I,), float32, with every epoch that was tried.

    country_biases: (C, I) float32, what a country adds to the biases; C is 0 without.
    """

    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    best: int
    epochs: Sequence[Epoch]
    country_biases: NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Users as tensors: flat inputs with offsets (B,), targets (B, T), pool (N,) or (B, N), and `Scores`' masks.

    countries: (B,).
    """

    inputs: torch.Tensor
    offsets: torch.Tensor
    targets: torch.Tensor
    is_target: torch.Tensor
    pool: torch.Tensor
    is_negative: torch.Tensor
    in_pool: torch.Tensor
    countries: torch.Tensor


@dataclass(frozen=True)
class Validation:
    """Held-out users' input and target items, as (U, I) matrices. countries: (U,), None where they do not matter."""

    inputs: sp.csr_matrix
    targets: sp.csr_matrix
    countries: Rows | None = None


def led_scores(inputs: sp.csr_matrix, vectors: NDArray[np.float32], biases: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score all items for users given as an (U, I) matrix of input items: <mean v_h, v_i> + b_i, (U, I) float32.

    biases: (I,), or (U, I) where each user has others.
    """
    lengths = np.maximum(np.diff(inputs.indptr), 1)[:, None]
    users = (inputs @ vectors) / lengths
    return np.asarray(users @ vectors.T + biases, dtype=np.float32)


def be_deterministic(seed: int, threads: int) -> None:
    """Seed torch and make it add in the same order every time; the number of threads is part of that order."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(threads)


def train(
    histories: Sequence[Rows] | Sequence[Roles],
    initial: NDArray[np.float32],
    validation: Validation,
    config: LedConfig,
    seed: int,
    on_epoch: Callable[[Epoch], None],
    countries: int = 0,
) -> Trained:
    """Fit LED by Adam; `histories` are training users' distinct rows, oldest first, with their roles where types count.

    countries: C, of which each has biases of its own if `config.per_country_biases`; `validation` then says whose.
    Stops after `patience` checkpoints without a better validation NDCG@100, or after `epochs`.
    """
    be_deterministic(seed, config.threads)
    rng = np.random.default_rng(seed)
    own_biases = countries if config.per_country_biases else 0
    sparse = steps_sparsely(config, len(initial))
    model = Led(torch.from_numpy(initial), config.tuning, initial_bias(config), own_biases, sparse=sparse)
    optimizers = _optimizers(model, config)
    roles = [history if isinstance(history, Roles) else Roles(history) for history in histories]
    usable = [history for history in roles if history.usable]
    known = incidence([history.rows for history in usable], len(initial))
    draw = negative_distribution(known, config.negative_power)
    epochs = [Epoch(0, 0.0, _ndcg(model, validation))]
    best = _checkpoint(model, epochs)
    on_epoch(epochs[0])
    for number in range(1, config.epochs + 1):
        losses = [_step(model, optimizers, batch, config) for batch in batches(usable, known, draw, config, rng)]
        epochs.append(Epoch(number, float(np.mean(losses)) if losses else 0.0, _ndcg(model, validation)))
        on_epoch(epochs[-1])
        if epochs[-1].ndcg > epochs[best.best].ndcg:
            best = _checkpoint(model, epochs)
        elif number - best.best >= config.patience:
            break
    return Trained(best.vectors, best.biases, best.best, epochs, best.country_biases)


def steps_sparsely(config: LedConfig, items: int) -> bool:
    """Whether vectors that a batch does not use stay as they are: many items, and nothing that touches all of them."""
    return items >= SPARSE_FROM and config.tuning == "train" and config.loss != "mult" and not config.weight_decay


def _optimizers(model: Led, config: LedConfig) -> list[torch.optim.Optimizer]:
    if not model.sparse:
        return [torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)]
    others = [each for each in model.parameters() if each is not model.base]
    return [
        torch.optim.SparseAdam([model.base], lr=config.learning_rate),
        torch.optim.Adam(others, lr=config.learning_rate),
    ]


def initial_bias(config: LedConfig) -> float:
    """Give the biases' start: 0, and for negative sampling the log odds of its one positive to N negatives.

    From 0, where each negative is as likely as not, Adam's small steps take many epochs to get there.
    """
    return -math.log(config.negatives) if config.loss == "ns" else 0.0


def negative_distribution(known: sp.csr_matrix, power: float) -> NDArray[np.float64]:
    """Compute each item's chance to be a negative, popularity^power / sum: (I,) float64. Power 0 is uniform."""
    weight = np.maximum(np.asarray(known.sum(axis=0), dtype=np.float64).ravel(), 1.0) ** power
    return np.asarray(weight / weight.sum())


def batches(
    histories: Sequence[Roles],
    known: sp.csr_matrix,
    draw: NDArray[np.float64],
    config: LedConfig,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Yield one epoch in random order. One pool of negatives serves a user's targets, or those of a whole batch."""
    order = rng.permutation(len(histories))
    for start in range(0, len(order), config.batch_users):
        users = order[start : start + config.batch_users]
        split = [input_and_target(histories[user], config, rng) for user in users]
        countries = np.array([histories[user].country for user in users], dtype=np.int64)
        yield _batch(split, _pool(draw, config, len(users), rng), known[users], countries)


def _pool(draw: NDArray[np.float64], config: LedConfig, users: int, rng: np.random.Generator) -> Rows:
    """Draw (N,) rows without replacement for a batch, or (B, N) with replacement, each user's own."""
    if config.loss == "mult":
        return np.arange(len(draw), dtype=np.int64)
    if config.negatives_per == "user":
        size = users, config.negatives
        return rng.choice(len(draw), size, p=draw) if config.negative_power else rng.integers(len(draw), size=size)
    return np.sort(rng.choice(len(draw), size=min(config.negatives, len(draw)), replace=False, p=draw))


def count_in_pool(targets: Rows, pool: Rows, items: int) -> Rows:
    """Count how often each target (B, T) is in the pool, (N,) or its user's row of (B, N)."""
    user = np.arange(len(targets))[:, None] * items
    wanted, drawn = (targets, np.sort(pool)) if pool.ndim == 1 else (targets + user, np.sort((pool + user).ravel()))
    return np.searchsorted(drawn, wanted, "right") - np.searchsorted(drawn, wanted, "left")


def input_and_target(roles: Roles, config: LedConfig, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split a usable history (section 5.3): `input_share` of it is input, the rest target.

    The target part is the newest (`split_by` time) or random. Losses that reconstruct have the whole history as both
    (section 6.3). Inputs then drop out with probability `dropout`, but never all of them; of long target parts
    `max_targets` random ones are taken. Rows that may not be what they would be are left out; if no target is left, one
    random row that may be a target is taken, and if no input is left, all that may be one and are no target.
    """
    history = roles.rows
    if config.loss in RECONSTRUCTING:
        inputs, targets = roles.inputs_of(history), roles.targets_of(history)
    else:
        if config.split_by == "random":
            history = rng.permutation(history)
        cut = min(max(1, round(config.input_share * len(history))), len(history) - 1)
        inputs, targets = roles.divide(history[:cut], history[cut:], rng)
    kept = inputs[rng.random(len(inputs)) >= config.dropout]
    if len(targets) > config.max_targets:
        targets = rng.permutation(targets)[: config.max_targets]
    return (kept if len(kept) else inputs), targets


def _batch(split: Sequence[tuple[Rows, Rows]], pool: Rows, known: sp.csr_matrix, countries: Rows) -> Batch:
    width = max(len(targets) for _, targets in split)
    targets = np.zeros((len(split), width), dtype=np.int64)
    for row, (_, wanted) in enumerate(split):
        targets[row, : len(wanted)] = wanted
    lengths = np.array([len(wanted) for _, wanted in split])
    inputs = [kept for kept, _ in split]
    offsets = np.r_[0, np.cumsum([len(kept) for kept in inputs])[:-1]]
    owned = known[:, pool].toarray() if pool.ndim == 1 else np.take_along_axis(known.toarray(), pool, axis=1)
    return Batch(
        inputs=torch.from_numpy(np.concatenate(inputs)),
        offsets=torch.from_numpy(offsets.astype(np.int64)),
        targets=torch.from_numpy(targets),
        is_target=torch.from_numpy(np.arange(width) < lengths[:, None]),
        pool=torch.from_numpy(pool),
        is_negative=torch.from_numpy(owned == 0),
        in_pool=torch.from_numpy(count_in_pool(targets, pool, known.shape[1])),
        countries=torch.from_numpy(countries),
    )


def _step(model: Led, optimizers: Sequence[torch.optim.Optimizer], batch: Batch, config: LedConfig) -> float:
    loss = average(LOSSES[config.loss](_scores(model, batch, config)), batch.is_target, config.weighting)
    if model.country_bias is not None:
        loss = loss + config.country_regularization * model.country_bias.square().sum()
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs leave it untyped
    for optimizer in optimizers:
        optimizer.step()
    return float(loss.item())


def _scores(model: Led, batch: Batch, config: LedConfig) -> Scores:
    users = model.encode(batch.inputs, batch.offsets)
    if config.loss == "mult":  # all scores are there anyway
        pool = model.score_all(users) + model.country_share(batch.countries, batch.pool)
        targets = pool.gather(1, batch.targets)
    else:
        targets = model.score_own(users, batch.targets) + model.country_share(batch.countries, batch.targets)
        pool = model.score_pool(users, batch.pool) + model.country_share(batch.countries, batch.pool)
    return Scores(targets, batch.is_target, pool, batch.is_negative, batch.in_pool, len(model.bias))


def _arrays(model: Led) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    with torch.no_grad():
        vectors, biases = model.item_vectors().numpy().copy(), model.bias.detach().numpy().copy()
        if model.country_bias is None:
            return vectors, biases, np.zeros((0, len(biases)), dtype=np.float32)
        return vectors, biases, model.country_bias.detach().numpy().copy()


def _ndcg(model: Led, validation: Validation) -> float:
    vectors, biases, country_biases = _arrays(model)
    if not len(country_biases) or validation.countries is None:
        measured = evaluate_scores(
            lambda inputs: led_scores(inputs, vectors, biases), validation.inputs, validation.targets
        )
        return float(measured[SELECTION].mean())
    total = 0.0
    for country in np.unique(validation.countries):
        own = validation.countries == country
        added = biases + country_biases[country]
        measured = evaluate_scores(
            lambda inputs, added=added: led_scores(inputs, vectors, added),  # type: ignore[misc]
            validation.inputs[own],
            validation.targets[own],
        )
        total += float(measured[SELECTION].sum())
    return total / len(validation.countries)


def _checkpoint(model: Led, epochs: Sequence[Epoch]) -> Trained:
    vectors, biases, country_biases = _arrays(model)
    return Trained(vectors, biases, epochs[-1].number, tuple(epochs), country_biases)
