"""Measures every source and its baselines on held-out users in one table (sections 6.1 to 6.3 of the LED paper)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from models.history_weights import HistoryWeights
from shortlist_training.baselines import ease, gram, popularity
from shortlist_training.config import EvaluateConfig
from shortlist_training.export import trained_model, weighted_user_vectors
from shortlist_training.groups import by_history, by_popularity, group_sizes, recall_of_strangers
from shortlist_training.histories import HeldOut
from shortlist_training.metrics import NAMES, SELECTION, PerUser, Scorer, evaluate_scores, fold_in, interval
from shortlist_training.records import Evaluation, Score
from shortlist_training.sources.base import Source
from shortlist_training.sources.ranking import UserScorer, measure, rank_users
from shortlist_training.timelines import Rows, incidence
from shortlist_training.train import Validation, led_scores


@dataclass(frozen=True)
class Learned:
    """What is compared: LED's vectors and biases, and the SVD vectors it began from; all float32, (I, d) and (I,).

    country_biases: (C, I), C being 0 without; countries: the codes. sources: the others, by name.
    weights: of interactions in LED's mean, None is none.
    """

    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    svd: NDArray[np.float32]
    country_biases: NDArray[np.float32]
    countries: Sequence[str]
    sources: Mapping[str, Source]
    weights: HistoryWeights | None = None

    def biases_of(self, held_out: HeldOut) -> NDArray[np.float32]:
        """Give each user's biases: (U, I), or (I,) where they are all the same."""
        if not len(self.country_biases):
            return self.biases
        places = [self.countries.index(history.country) for history in held_out.known]
        return self.biases + self.country_biases[places]


def held_out(histories: Sequence[Rows], items: int, share: float, seed: int) -> Validation:
    """Split held-out users' histories into (U, I) input and target matrices."""
    inputs, targets = fold_in(histories, share, seed)
    return Validation(incidence(inputs, items), incidence(targets, items))


def evaluate(
    train: sp.csr_matrix,
    validation: HeldOut,
    test: HeldOut,
    learned: Learned,
    config: EvaluateConfig,
    seed: int,
    on_step: Callable[[str], None],
) -> Evaluation:
    """Rank all items that the input does not have, for every test user and model.

    The protocol is that of Liang et al. 2018. Validation users choose EASE's lambda. Recall@20 also by length of the
    input, by the targets' popularity, and for the same users as strangers of whom nothing is known.
    """
    weights, chosen, tried = None, None, dict[str, float]()
    if train.shape[1] <= config.ease_max_items:
        weights, chosen, tried = choose_ease(train, validation, config.ease_lambdas, on_step)
    models, lengths, deciles = {}, {}, {}
    counts = popularity(train)
    strangers = _strangers(test)
    for name, score in scorers(counts, learned, weights, test).items():
        on_step(f"test users: {name}")
        ranked = rank_users(score, test)
        models[name] = summary(measure(ranked, test), config.bootstrap, seed)
        lengths[name] = by_history(ranked, test)
        deciles[name] = by_popularity(ranked, test, counts)
    for name, score in scorers(counts, learned, None, strangers).items():
        source = learned.sources.get(name)
        if source is None or source.answers_empty:
            lengths[name] = {"0": recall_of_strangers(rank_users(score, strangers), strangers), **lengths[name]}
    return Evaluation(
        models=models,
        test_users=test.inputs.shape[0],
        validation_users=validation.inputs.shape[0],
        input_share=config.input_share,
        seed=seed,
        ease_lambda=chosen,
        ease_validation=tried,
        by_history=lengths,
        by_popularity=deciles,
        group_sizes=group_sizes(test, counts),
    )


def _strangers(test: HeldOut) -> HeldOut:
    """Forget what is known of the users, apart from their country and features."""
    empty = sp.csr_matrix(test.inputs.shape, dtype=np.float32)
    return HeldOut([history.take(slice(0, 0)) for history in test.known], empty, test.targets)


def scorers(
    counts: NDArray[np.float32], learned: Learned, ease_weights: NDArray[np.float32] | None, users: HeldOut
) -> dict[str, UserScorer]:
    """Give each model's scores of some of the users."""
    no_bias = np.zeros(len(learned.biases), dtype=np.float32)
    biases = learned.biases_of(users)

    def led(part: Rows) -> NDArray[np.float32]:
        if learned.weights is not None:
            model = trained_model(learned.vectors, learned.biases)
            known = [users.known[int(user)] for user in part]
            longest = max((len(history) for history in known), default=0)
            vectors = weighted_user_vectors(model, known, max(longest, 1), learned.weights)[:, :-1]
            scores: NDArray[np.float32] = vectors @ learned.vectors.T + (biases if biases.ndim == 1 else biases[part])
            return scores
        return led_scores(users.inputs[part], learned.vectors, biases if biases.ndim == 1 else biases[part])

    def served(source: Source) -> UserScorer:
        return lambda part: source.scores([users.known[int(user)] for user in part])

    found: dict[str, UserScorer] = {
        "popularity": lambda part: np.tile(counts, (len(part), 1)),
        "pmi-svd": lambda part: led_scores(users.inputs[part], learned.svd, no_bias),
        "led": led,
        **{name: served(source) for name, source in learned.sources.items()},
    }
    if ease_weights is not None:
        found["ease"] = lambda part: _ease_scorer(ease_weights)(users.inputs[part])
    return found


def choose_ease(
    train: sp.csr_matrix,
    validation: Validation | HeldOut,
    candidates: Sequence[float],
    on_step: Callable[[str], None],
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
