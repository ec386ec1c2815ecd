"""Mult-DAE and Mult-VAE (Liang et al. 2018), what LED is held against in table 2 of its paper."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shortlist_training.metrics import SELECTION, evaluate_scores
from shortlist_training.train import Epoch, Validation, be_deterministic


@dataclass(frozen=True)
class AutoencoderConfig:
    """Layers I, embedding, latent, embedding, I with tanh (LED paper, section 6.2), and their training.

    variational: Mult-VAE, whose KL term's weight grows linearly from 0 to `kl_weight` within `anneal_steps` batches;
    otherwise Mult-DAE. dropout: share of the normalised input that is set to 0. patience: checkpoints (epochs) without
    a better validation NDCG@100 before training stops.
    """

    variational: bool
    embedding: int = 600
    latent: int = 200
    dropout: float = 0.5
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch_users: int = 512
    kl_weight: float = 0.2
    anneal_steps: int = 1000
    epochs: int = 200
    patience: int = 20
    threads: int = 1


@dataclass(frozen=True)
class Bags:
    """B users' items as `embedding_bag` reads them: flat items, offsets (B,), and each item's weight."""

    items: Tensor
    offsets: Tensor
    weights: Tensor


class Autoencoder(nn.Module):
    """Both models: they differ in the latent layer, which for Mult-VAE is a Gaussian's mean and log variance."""

    def __init__(self, items: int, config: AutoencoderConfig) -> None:
        super().__init__()
        self.variational = config.variational
        self.first = nn.Parameter(torch.empty(items, config.embedding))
        self.first_bias = nn.Parameter(torch.zeros(config.embedding))
        self.to_latent = nn.Linear(config.embedding, config.latent * (2 if config.variational else 1))
        self.from_latent = nn.Linear(config.latent, config.embedding)
        self.output = nn.Linear(config.embedding, items)
        for weight in (self.first, self.to_latent.weight, self.from_latent.weight, self.output.weight):
            nn.init.xavier_normal_(weight)
        for layer in (self.to_latent, self.from_latent, self.output):
            nn.init.zeros_(layer.bias)

    def forward(self, bags: Bags) -> tuple[Tensor, Tensor]:
        """Give the logits of all items, (B, I), and each user's KL divergence from N(0, 1), (B,); 0 for Mult-DAE."""
        hidden = functional.embedding_bag(
            bags.items, self.first, bags.offsets, mode="sum", per_sample_weights=bags.weights
        )
        latent, divergence = self._latent(self.to_latent(torch.tanh(hidden + self.first_bias)))
        return self.output(torch.tanh(self.from_latent(latent))), divergence

    def _latent(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        if not self.variational:
            return torch.tanh(encoded), encoded.new_zeros(len(encoded))
        mean, log_variance = encoded.chunk(2, dim=1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(1)
        if not self.training:
            return mean, divergence
        return mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance), divergence


@dataclass(frozen=True)
class TrainedAutoencoder:
    """The best checkpoint, as a scorer of (B, I) input matrices, with every epoch that was tried."""

    score: Callable[[sp.csr_matrix], NDArray[np.float32]]
    best: int
    epochs: tuple[Epoch, ...]


def multinomial_likelihood(logits: Tensor, items: Tensor) -> Tensor:
    """Compute sum_i x_i log softmax(logits)_i, averaged over users (Liang et al., eq. 2); both (B, I)."""
    return (functional.log_softmax(logits, 1) * items).sum(1).mean()


def bags_of(users: sp.csr_matrix, dropout: float, rng: np.random.Generator | None) -> Bags:
    """Normalise users' rows to length 1 and drop entries; those kept grow by 1 / (1 - dropout). No rng: none drops."""
    lengths = np.diff(users.indptr)
    row = np.repeat(np.arange(len(lengths)), lengths)
    weights = 1.0 / np.sqrt(lengths[row])
    items = users.indices
    if rng is not None:
        kept = rng.random(len(items)) >= dropout
        items, row, weights = items[kept], row[kept], weights[kept] / (1.0 - dropout)
    offsets = np.searchsorted(row, np.arange(len(lengths)))
    return Bags(
        items=torch.from_numpy(items.astype(np.int64)),
        offsets=torch.from_numpy(offsets.astype(np.int64)),
        weights=torch.from_numpy(weights.astype(np.float32)),
    )


def train_autoencoder(
    matrix: sp.csr_matrix,
    validation: Validation,
    config: AutoencoderConfig,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> TrainedAutoencoder:
    """Fit by Adam to the training users' (U, I) matrix; keeps the epoch of the best validation NDCG@100."""
    be_deterministic(seed, config.threads)
    rng = np.random.default_rng(seed)
    model = Autoencoder(matrix.shape[1], config)
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,  # an epoch takes a third less
    )
    epochs, best, state, step = list[Epoch](), 0, _state(model), 0
    for number in range(1, config.epochs + 1):
        losses = []
        for users in _batches(matrix, config.batch_users, rng):
            step += 1
            beta = config.kl_weight * min(1.0, step / config.anneal_steps)
            losses.append(_step(model, optimizer, users, bags_of(users, config.dropout, rng), beta))
        ndcg = evaluate_scores(_scorer(model), validation.inputs, validation.targets)[SELECTION].mean()
        epochs.append(Epoch(number, float(np.mean(losses)), float(ndcg)))
        on_epoch(epochs[-1])
        if not best or epochs[-1].ndcg > epochs[best - 1].ndcg:
            best, state = number, _state(model)
        elif number - best >= config.patience:
            break
    model.load_state_dict(state)
    return TrainedAutoencoder(_scorer(model), best, tuple(epochs))


def _batches(matrix: sp.csr_matrix, size: int, rng: np.random.Generator) -> Iterator[sp.csr_matrix]:
    order = rng.permutation(matrix.shape[0])
    for start in range(0, len(order), size):
        yield matrix[order[start : start + size]]


def _step(model: Autoencoder, optimizer: torch.optim.Optimizer, users: sp.csr_matrix, bags: Bags, beta: float) -> float:
    model.train()
    logits: Tensor
    divergence: Tensor
    logits, divergence = model(bags)
    loss: Tensor = beta * divergence.mean() - multinomial_likelihood(logits, torch.from_numpy(users.toarray()))
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs leave it untyped
    optimizer.step()
    return float(loss.item())


def _scorer(model: Autoencoder) -> Callable[[sp.csr_matrix], NDArray[np.float32]]:
    def score(inputs: sp.csr_matrix) -> NDArray[np.float32]:
        model.eval()
        with torch.no_grad():
            logits: NDArray[np.float32] = model(bags_of(inputs, 0.0, None))[0].numpy()
        return logits

    return score


def _state(model: Autoencoder) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
