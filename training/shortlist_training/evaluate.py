"""Measures LED and its baselines on held-out users in one table (sections 6.1 to 6.3 of the paper)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist_training.baselines import ease, gram, popularity
from shortlist_training.config import EvaluateConfig
from shortlist_training.metrics import NAMES, SELECTION, PerUser, Scorer, evaluate_scores, fold_in, interval
from shortlist_training.records import Evaluation, Score
from shortlist_training.timelines import Rows, incidence
from shortlist_training.train import Validation, led_scores


@dataclass(frozen=True)
class Learned:
    """What is compared: LED's vectors and biases, and the SVD vectors it began from; all float32, (I, d) and (I,)."""

    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    svd: NDArray[np.float32]


def held_out(histories: Sequence[Rows], items: int, share: float, seed: int) -> Validation:
    """Split held-out users' histories into (U, I) input and target matrices."""
    inputs, targets = fold_in(histories, share, seed)
    return Validation(incidence(inputs, items), incidence(targets, items))


def evaluate(
    train: sp.csr_matrix,
    validation: Validation,
    test: Validation,
    learned: Learned,
    config: EvaluateConfig,
    seed: int,
    on_step: Callable[[str], None],
) -> Evaluation:
    """Rank all items that the input does not have, for every test user and model.

    The protocol is that of Liang et al. 2018. Validation users choose EASE's lambda.
    """
    counts = popularity(train)
    no_bias = np.zeros(len(learned.biases), dtype=np.float32)
    scorers: dict[str, Scorer] = {
        "popularity": lambda inputs: np.tile(counts, (inputs.shape[0], 1)),
        "pmi-svd": lambda inputs: led_scores(inputs, learned.svd, no_bias),
        "led": lambda inputs: led_scores(inputs, learned.vectors, learned.biases),
    }
    chosen, tried = None, dict[str, float]()
    if train.shape[1] <= config.ease_max_items:
        weights, chosen, tried = choose_ease(train, validation, config.ease_lambdas, on_step)
        scorers["ease"] = _ease_scorer(weights)
    models = {}
    for name, score in scorers.items():
        on_step(f"test users: {name}")
        models[name] = summary(evaluate_scores(score, test.inputs, test.targets), config.bootstrap, seed)
    return Evaluation(
        models=models,
        test_users=test.inputs.shape[0],
        validation_users=validation.inputs.shape[0],
        input_share=config.input_share,
        seed=seed,
        ease_lambda=chosen,
        ease_validation=tried,
    )


def choose_ease(
    train: sp.csr_matrix, validation: Validation, candidates: Sequence[float], on_step: Callable[[str], None]
) -> tuple[NDArray[np.float32], float, dict[str, float]]:
    """Solve EASE for each lambda; give the weights and lambda of the best validation NDCG@100, and all of these."""
    matrix = gram(train)
    tried: dict[str, float] = {}
    best, chosen, best_ndcg = np.zeros((0, 0), dtype=np.float32), 0.0, -1.0
    for value in candidates:
        on_step(f"EASE, lambda {value:g}")
        weights = ease(matrix, value)
        found = evaluate_scores(_ease_scorer(weights), validation.inputs, validation.targets)
        ndcg = float(found[SELECTION].mean())
        if ndcg > best_ndcg:
            best, chosen, best_ndcg = weights, value, ndcg
        tried[f"{value:g}"] = ndcg
    return best, chosen, tried


def _ease_scorer(weights: NDArray[np.float32]) -> Scorer:
    return lambda inputs: np.asarray(inputs @ weights)


def summary(values: PerUser, samples: int, seed: int) -> dict[str, Score]:
    """Average per-user metrics, with intervals."""
    return {name: Score(float(values[name].mean()), *interval(values[name], samples, seed)) for name in NAMES}
