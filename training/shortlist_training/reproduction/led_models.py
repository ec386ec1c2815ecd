"""The models of table 2 on ML-1M: with what each is fitted, and how it is measured.

The settings of LED, Mult-VAE and Mult-DAE were chosen on validation users; EASE's and WMF's are at every run.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shortlist_training.autoencoders import AutoencoderConfig, train_autoencoder
from shortlist_training.baselines import popularity
from shortlist_training.config import LedConfig
from shortlist_training.evaluate import choose_ease
from shortlist_training.metrics import NAMES, SELECTION, PerUser, Scorer, evaluate_scores
from shortlist_training.pmi import initial_vectors
from shortlist_training.reproduction.ml1m import Movies, pmi_vectors
from shortlist_training.reproduction.parts import PartContext
from shortlist_training.timelines import Rows
from shortlist_training.train import Epoch, led_scores, train
from shortlist_training.wmf import WmfConfig, wmf

DIM = 200
EASE_LAMBDAS = (200.0, 400.0, 800.0, 1600.0, 3200.0)
WMF_CONFIGS = tuple(
    WmfConfig(factors, alpha, regularization)
    for factors in (64, 128)
    for alpha, regularization in ((1.0, 10.0), (2.0, 20.0), (5.0, 30.0), (5.0, 50.0), (10.0, 50.0))
)
VAE = AutoencoderConfig(variational=True, batch_users=256, anneal_steps=600, epochs=120, patience=15)
DAE = AutoencoderConfig(variational=False, batch_users=256, epochs=120, patience=10)
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
class Fitted:
    """A model to be measured: its scorer, and what was chosen on validation users for whoever reads the table."""

    score: Scorer
    chosen: str


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


def fit_autoencoder(movies: Movies, config: AutoencoderConfig, context: PartContext, label: str) -> Fitted:
    """Train Mult-DAE or Mult-VAE."""
    heard = _epochs(context, label, config.epochs)
    trained = train_autoencoder(movies.matrix, movies.validation, config, context.seed, heard)
    return Fitted(trained.score, f"epoch {trained.best} of {len(trained.epochs)}")


def fit_ease(movies: Movies, context: PartContext) -> Fitted:
    """Solve EASE for every lambda and keep the one that validation users rank best."""
    weights, chosen, _ = choose_ease(
        movies.matrix, movies.validation, EASE_LAMBDAS, lambda label: context.progress(label, 0, 0)
    )
    return Fitted(lambda inputs: np.asarray(inputs @ weights), f"lambda {chosen:g}")


def fit_wmf(movies: Movies, context: PartContext) -> Fitted:
    """Factorize with every configuration and keep the one that validation users rank best."""
    best: tuple[float, Fitted] | None = None
    for number, config in enumerate(WMF_CONFIGS):
        context.progress("WMF", number, len(WMF_CONFIGS))
        score = wmf(movies.matrix, config, context.seed, context.threads)
        held = movies.validation
        ndcg = float(evaluate_scores(score, held.inputs, held.targets)[SELECTION].mean())
        if best is None or ndcg > best[0]:
            text = f"{config.factors} factors, alpha {config.alpha:g}, L2 {config.regularization:g}"
            best = ndcg, Fitted(score, text)
    assert best is not None  # noqa: S101 - there are configurations
    return best[1]


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
