"""Trains LED on training users' timelines and keeps the checkpoint that ranks validation users best (section 6.2)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from shortlist_training.config import LedConfig
from shortlist_training.led import LOSSES, Led
from shortlist_training.metrics import SELECTION, evaluate_scores
from shortlist_training.timelines import Rows, incidence


@dataclass(frozen=True)
class Epoch:
    """One checkpoint: mean training loss and validation NDCG@100. Epoch 0 is the model before training."""

    number: int
    loss: float
    ndcg: float


@dataclass(frozen=True)
class Trained:
    """The best checkpoint: vectors (I, d) and biases (I,), float32, with every epoch that was tried."""

    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    best: int
    epochs: Sequence[Epoch]


@dataclass(frozen=True)
class Batch:
    """Users as tensors: flat inputs with offsets (B,), targets (B, T), negatives (N,); masks (B, T) and (B, N)."""

    inputs: torch.Tensor
    offsets: torch.Tensor
    targets: torch.Tensor
    is_target: torch.Tensor
    negatives: torch.Tensor
    is_negative: torch.Tensor


@dataclass(frozen=True)
class Validation:
    """Held-out users' input and target items, as (U, I) matrices."""

    inputs: sp.csr_matrix
    targets: sp.csr_matrix


def led_scores(inputs: sp.csr_matrix, vectors: NDArray[np.float32], biases: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score all items for users given as an (U, I) matrix of input items: <mean v_h, v_i> + b_i, (U, I) float32."""
    lengths = np.maximum(np.diff(inputs.indptr), 1)[:, None]
    users = (inputs @ vectors) / lengths
    return np.asarray(users @ vectors.T + biases, dtype=np.float32)


def be_deterministic(seed: int, threads: int) -> None:
    """Seed torch and make it add in the same order every time; the number of threads is part of that order."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(threads)


def train(
    histories: Sequence[Rows],
    initial: NDArray[np.float32],
    validation: Validation,
    config: LedConfig,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Fit LED by Adam; `histories` are training users' distinct rows, oldest first.

    Stops after `patience` checkpoints without a better validation NDCG@100, or after `epochs`.
    """
    be_deterministic(seed, config.threads)
    rng = np.random.default_rng(seed)
    model = Led(torch.from_numpy(initial), config.tuning)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    usable = [history for history in histories if len(history) > 1]
    known = incidence(usable, len(initial))
    draw = negative_distribution(known, config.negative_power)
    epochs = [Epoch(0, 0.0, _ndcg(model, validation))]
    best = _checkpoint(model, epochs)
    on_epoch(epochs[0])
    for number in range(1, config.epochs + 1):
        losses = [_step(model, optimizer, batch, config) for batch in batches(usable, known, draw, config, rng)]
        epochs.append(Epoch(number, float(np.mean(losses)) if losses else 0.0, _ndcg(model, validation)))
        on_epoch(epochs[-1])
        if epochs[-1].ndcg > epochs[best.best].ndcg:
            best = _checkpoint(model, epochs)
        elif number - best.best >= config.patience:
            break
    return Trained(best.vectors, best.biases, best.best, epochs)


def negative_distribution(known: sp.csr_matrix, power: float) -> NDArray[np.float64]:
    """Compute each item's chance to be a negative, popularity^power / sum: (I,) float64. Power 0 is uniform."""
    weight = np.maximum(np.asarray(known.sum(axis=0), dtype=np.float64).ravel(), 1.0) ** power
    return np.asarray(weight / weight.sum())


def batches(
    histories: Sequence[Rows],
    known: sp.csr_matrix,
    draw: NDArray[np.float64],
    config: LedConfig,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Yield one epoch in random order. One pool of negatives serves a whole batch, as it does a user's targets."""
    order = rng.permutation(len(histories))
    for start in range(0, len(order), config.batch_users):
        users = order[start : start + config.batch_users]
        split = [input_and_target(histories[user], config, rng) for user in users]
        pool = rng.choice(len(draw), size=min(config.negatives, len(draw)), replace=False, p=draw)
        yield _batch(split, np.sort(pool), known[users])


def input_and_target(history: Rows, config: LedConfig, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split a history of two or more rows (section 5.3): `input_share` of it is input, the rest target.

    The target part is the newest (`split_by` time) or random. Inputs then drop out with probability `dropout`, but
    never all of them; of long target parts `max_targets` random ones are taken.
    """
    if config.split_by == "random":
        history = rng.permutation(history)
    cut = min(max(1, round(config.input_share * len(history))), len(history) - 1)
    inputs, targets = history[:cut], history[cut:]
    kept = inputs[rng.random(len(inputs)) >= config.dropout]
    if len(targets) > config.max_targets:
        targets = rng.permutation(targets)[: config.max_targets]
    return (kept if len(kept) else inputs), targets


def _batch(split: Sequence[tuple[Rows, Rows]], pool: Rows, known: sp.csr_matrix) -> Batch:
    width = max(len(targets) for _, targets in split)
    targets = np.zeros((len(split), width), dtype=np.int64)
    for row, (_, wanted) in enumerate(split):
        targets[row, : len(wanted)] = wanted
    lengths = np.array([len(wanted) for _, wanted in split])
    inputs = [kept for kept, _ in split]
    offsets = np.r_[0, np.cumsum([len(kept) for kept in inputs])[:-1]]
    return Batch(
        inputs=torch.from_numpy(np.concatenate(inputs)),
        offsets=torch.from_numpy(offsets.astype(np.int64)),
        targets=torch.from_numpy(targets),
        is_target=torch.from_numpy(np.arange(width) < lengths[:, None]),
        negatives=torch.from_numpy(pool),
        is_negative=torch.from_numpy(known[:, pool].toarray() == 0),
    )


def _step(model: Led, optimizer: torch.optim.Optimizer, batch: Batch, config: LedConfig) -> float:
    users = model.encode(batch.inputs, batch.offsets)
    loss = LOSSES[config.loss](
        model.score_own(users, batch.targets),
        model.score_shared(users, batch.negatives),
        batch.is_target,
        batch.is_negative,
    )
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs leave it untyped
    optimizer.step()
    return float(loss.item())


def _arrays(model: Led) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with torch.no_grad():
        return model.item_vectors().numpy().copy(), model.bias.detach().numpy().copy()


def _ndcg(model: Led, validation: Validation) -> float:
    vectors, biases = _arrays(model)
    measured = evaluate_scores(
        lambda inputs: led_scores(inputs, vectors, biases), validation.inputs, validation.targets
    )
    return float(measured[SELECTION].mean())


def _checkpoint(model: Led, epochs: Sequence[Epoch]) -> Trained:
    return Trained(*_arrays(model), best=epochs[-1].number, epochs=tuple(epochs))
