"""The models of table 2 on ML-1M: with what each is fitted, and how it is measured.

The settings of LED were chosen on validation users once; those of the others are at every run, from `led_grids`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shortlist_training.autoencoders import AutoencoderConfig, train_autoencoder
from shortlist_training.baselines import gram, popularity
from shortlist_training.config import LedConfig
from shortlist_training.evaluate import choose_ease
from shortlist_training.metrics import NAMES, PerUser, evaluate_scores
from shortlist_training.neighbourhood import slim
from shortlist_training.pmi import initial_vectors
from shortlist_training.reproduction.led_grids import (
    EASE_LAMBDAS,
    SLIM_CONFIGS,
    WMF_CONFIGS,
    Fitted,
    SlimConfig,
    best_of,
    bpr_grid,
)
from shortlist_training.reproduction.ml1m import Movies, pmi_vectors
from shortlist_training.reproduction.parts import PartContext
from shortlist_training.timelines import Rows
from shortlist_training.train import Epoch, led_scores, train
from shortlist_training.wmf import WmfConfig, wmf

DIM = 200
LED = LedConfig(
    init="random",
    loss="mult",
    weighting="target",
    scale=2.0,
    epochs=60,
    patience=4,
    batch_users=256,
    learning_rate=3e-3,
    negatives=1000,
    negatives_per="user",
    max_targets=2000,
)
LED_LOSSES = {
    "mult": LED,
    "mult-css": msgspec.structs.replace(LED, loss="mult-css", max_targets=50),
    "bpr": msgspec.structs.replace(LED, loss="bpr", max_targets=10, learning_rate=5e-3, epochs=80),
    "ns": msgspec.structs.replace(LED, loss="ns", max_targets=50, learning_rate=5e-3),
}
SVD_START: Mapping[str, Any] = {"init": "svd", "scale": 4.0, "learning_rate": 2e-3}
"""What differs for LED from SVD vectors: longer ones and smaller steps keep more of what they know."""


@dataclass(frozen=True)
class Measured:
    """Test users' metrics, what was chosen, and the CPU seconds that fitting (and choosing) took."""

    values: PerUser
    chosen: str
    cpu_s: float


def measured(context: PartContext, name: str, movies: Movies, fit: Callable[[], Fitted]) -> Measured:
    """Fit and measure on test users, or take that from the part's work folder if an interrupted run got so far."""
    path = context.work / f"{name}.npz"
    if not path.is_file():
        began = time.process_time()
        fitted = fit()
        spent = time.process_time() - began
        values = evaluate_scores(fitted.score, movies.test.inputs, movies.test.targets)
        _keep(path, {**values, "chosen": np.asarray(fitted.chosen), "cpu_s": np.asarray(spent)})
    with np.load(path, allow_pickle=False) as kept:
        return Measured({metric: kept[metric] for metric in NAMES}, str(kept["chosen"]), float(kept["cpu_s"]))


def fit_led(
    movies: Movies,
    config: LedConfig,
    context: PartContext,
    label: str,
    histories: Sequence[Rows] | None = None,
) -> Fitted:
    """Train LED from random or SVD vectors, whichever `config.init` names; on all training users unless told."""
    initial = random_vectors(movies, DIM, context.seed) if config.init == "random" else svd_vectors_of(context, DIM)
    vectors = initial_vectors(initial, config.scale, normalize=config.normalize)
    chosen = movies.train if histories is None else histories
    threaded = msgspec.structs.replace(config, threads=context.threads)
    heard = _epochs(context, label, config.epochs)
    trained = train(chosen, vectors, movies.validation, threaded, context.seed, heard)
    return Fitted(
        lambda inputs: led_scores(inputs, trained.vectors, trained.biases),
        f"epoch {trained.best} of {len(trained.epochs) - 1}",
    )


def random_vectors(movies: Movies, dim: int, seed: int) -> NDArray[np.float32]:
    """Draw (I, dim) float32 standard normal vectors."""
    return np.random.default_rng(seed).standard_normal((movies.items, dim)).astype(np.float32)


def svd_vectors_of(context: PartContext, dim: int) -> NDArray[np.float32]:
    """Compute PMI-SVD vectors once per part, (I, dim) float32."""
    path = context.work / f"svd-{dim}.npz"
    if not path.is_file():
        context.progress("PMI and its SVD", 0, 0)
        _keep(path, {"vectors": pmi_vectors(context.data, context.seed, dim)})
    with np.load(path, allow_pickle=False) as kept:
        vectors: NDArray[np.float32] = kept["vectors"]
        return vectors


def fit_bpr(movies: Movies, base: LedConfig, context: PartContext) -> Fitted:
    """Train LED by BPR with every setting of its grid."""
    options = [
        (name, partial(fit_led, movies, config, context, f"LED bpr, {name}")) for name, config in bpr_grid(base).items()
    ]
    return best_of(options, movies.validation, context.progress, "LED bpr")


def fit_autoencoder(movies: Movies, grid: Mapping[str, AutoencoderConfig], context: PartContext, label: str) -> Fitted:
    """Train Mult-DAE or Mult-VAE with every setting of its grid."""

    def fit(name: str, config: AutoencoderConfig) -> Fitted:
        heard = _epochs(context, f"{label}, {name}", config.epochs)
        trained = train_autoencoder(movies.matrix, movies.validation, config, context.seed, heard)
        return Fitted(trained.score, f"epoch {trained.best} of {len(trained.epochs)}")

    options = [(name, partial(fit, name, config)) for name, config in grid.items()]
    return best_of(options, movies.validation, context.progress, label)


def fit_ease(movies: Movies, context: PartContext) -> Fitted:
    """Solve EASE for every lambda and keep the one that validation users rank best."""
    weights, chosen, _ = choose_ease(
        movies.matrix, movies.validation, EASE_LAMBDAS, lambda label: context.progress(label, 0, 0)
    )
    return Fitted(lambda inputs: np.asarray(inputs @ weights), f"lambda {chosen:g}")


def fit_slim(movies: Movies, context: PartContext) -> Fitted:
    """Solve SLIM for every pair of penalties."""
    products = gram(movies.matrix)

    def fit(config: SlimConfig) -> Fitted:
        weights = slim(products, config.l2, config.l1, config.iterations)
        return Fitted(lambda inputs: np.asarray(inputs @ weights), "")

    options = [(f"l2 {config.l2:g}, l1 {config.l1:g}", partial(fit, config)) for config in SLIM_CONFIGS]
    return best_of(options, movies.validation, context.progress, "SLIM")


def fit_wmf(movies: Movies, context: PartContext) -> Fitted:
    """Factorize with every configuration."""

    def fit(config: WmfConfig) -> Fitted:
        return Fitted(wmf(movies.matrix, config, context.seed, context.threads), "")

    options = [
        (f"{config.factors} factors, alpha {config.alpha:g}, L2 {config.regularization:g}", partial(fit, config))
        for config in WMF_CONFIGS
    ]
    return best_of(options, movies.validation, context.progress, "WMF")


def fit_popularity(movies: Movies) -> Fitted:
    """Rank by training users."""
    counts = popularity(movies.matrix)
    return Fitted(lambda inputs: np.tile(counts, (inputs.shape[0], 1)), "")


def _epochs(context: PartContext, label: str, total: int) -> Callable[[Epoch], None]:
    def heard(epoch: Epoch) -> None:
        context.progress(f"{label}: validation NDCG@100 {epoch.ndcg:.4f}", epoch.number, total)

    return heard


def _keep(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    draft = path.with_name(f"draft-{path.name}")
    np.savez(draft, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for allow_pickle
    draft.rename(path)
