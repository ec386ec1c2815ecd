"""What validation chooses from for the models of table 2, and how it chooses: by NDCG@100 of the validation users."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from shortlist_training.autoencoders import AutoencoderConfig
from shortlist_training.config import LedConfig
from shortlist_training.metrics import SELECTION, Scorer, evaluate_scores
from shortlist_training.reproduction.parts import Progress
from shortlist_training.train import Validation
from shortlist_training.wmf import WmfConfig


@dataclass(frozen=True)
class SlimConfig:
    """SLIM's penalties on squared and absolute weights, and the sweeps of its solver."""

    l2: float
    l1: float
    iterations: int = 30


EASE_LAMBDAS = (200.0, 400.0, 800.0, 1600.0, 3200.0)
WMF_CONFIGS = tuple(
    WmfConfig(factors, alpha, regularization)
    for factors in (64, 128)
    for alpha, regularization in ((1.0, 10.0), (2.0, 20.0), (5.0, 30.0), (5.0, 50.0), (10.0, 50.0))
)
SLIM_CONFIGS = (SlimConfig(500.0, 1.0), SlimConfig(500.0, 5.0))

_AUTOENCODER = AutoencoderConfig(variational=True, dropout=0.7, batch_users=256, epochs=200, patience=12)
_VAE = replace(_AUTOENCODER, anneal_steps=600)
_DAE = replace(_AUTOENCODER, variational=False)
VAE_GRID: Mapping[str, AutoencoderConfig] = {
    "dropout 0.5": replace(_VAE, dropout=0.5),
    "dropout 0.7": _VAE,
    "dropout 0.7, KL to 0.05": replace(_VAE, kl_weight=0.05),
    "dropout 0.7, 128 users per batch": replace(_VAE, batch_users=128, anneal_steps=1200),
}
DAE_GRID: Mapping[str, AutoencoderConfig] = {
    "dropout 0.5": replace(_DAE, dropout=0.5),
    "dropout 0.7": _DAE,
    "dropout 0.7, weight decay 0.001": replace(_DAE, weight_decay=1e-3),
}


def bpr_grid(base: LedConfig) -> dict[str, LedConfig]:
    """Vary how many negatives and targets BPR takes of a user, and its steps."""
    changes = ((1000, 10, 5e-3), (100, 10, 5e-3), (300, 50, 5e-3), (300, 50, 3e-3))
    return {
        f"N = {negatives}, {targets} targets, rate {rate:g}": msgspec.structs.replace(
            base, negatives=negatives, max_targets=targets, learning_rate=rate
        )
        for negatives, targets, rate in changes
    }


@dataclass(frozen=True)
class Fitted:
    """A model to be measured: its scorer, and what was chosen on validation users for whoever reads the table."""

    score: Scorer
    chosen: str


def best_of(
    options: Sequence[tuple[str, Callable[[], Fitted]]], validation: Validation, progress: Progress, label: str
) -> Fitted:
    """Fit every option and keep the one that validation users rank best; `chosen` says which, and what others got."""
    best: tuple[float, str, Fitted] | None = None
    tried = []
    for number, (name, fit) in enumerate(options):
        progress(f"{label}: {name}", number, len(options))
        fitted = fit()
        ndcg = float(evaluate_scores(fitted.score, validation.inputs, validation.targets)[SELECTION].mean())
        tried.append(ndcg)
        if best is None or ndcg > best[0]:
            best = ndcg, name, fitted
    if best is None:
        message = f"{label}: there is nothing to choose from"
        raise ValueError(message)
    epochs = f", {best[2].chosen}" if best[2].chosen else ""
    lead = f" of {len(tried)} with {min(tried):.4f} to {max(tried):.4f}" if len(tried) > 1 else ""
    return Fitted(best[2].score, f"{best[1]}{epochs}{lead}")
