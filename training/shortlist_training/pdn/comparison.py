"""The models that PDN is compared with, each tuned on validation items and then given all of the training log."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from shortlist_training.baselines import ease, gram, popularity
from shortlist_training.leave_one_out import Cases, Scorer, history_scorer, ndcg, ranks
from shortlist_training.neighbourhood import cosine, nearest, pearson, slim
from shortlist_training.pdn.features import Profiles
from shortlist_training.pdn.towers import TowerConfig, tower_scorer, train_towers
from shortlist_training.reproduction.parts import Progress

Weights = NDArray[np.float32]


class BaselineConfig(msgspec.Struct, frozen=True):
    """What is tried: every pair of neighbours and shrinkage, every lambda, and every (l2, l1) of SLIM."""

    neighbours: tuple[int, ...] = (25, 50, 100, 200)
    shrinkage: tuple[float, ...] = (0.0, 20.0, 100.0)
    ease_lambdas: tuple[float, ...] = (300.0, 500.0, 700.0, 1000.0, 1500.0)
    slim: tuple[tuple[float, float], ...] = ((500.0, 1.0), (500.0, 5.0))
    dssm: TowerConfig = TowerConfig(kind="dssm")
    youtube: TowerConfig = TowerConfig(kind="youtube")


@dataclass(frozen=True)
class Chosen:
    """A baseline on the training log of `test`, with the words for what validation chose and, for EASE, its lambda."""

    name: str
    scorer: Scorer
    setting: str
    value: float = 0.0


def validation_ndcg(score: Scorer, validation: Cases) -> float:
    """Give NDCG@10 among sampled negatives: what all hyperparameters and epochs are chosen by."""
    return float(ndcg(ranks(score, validation).sampled, 10).mean())


def choose_ease(validation: Cases, test: Cases, config: BaselineConfig, progress: Progress) -> Chosen:
    """Tune lambda."""
    matrix = gram(validation.history)
    found = {}
    for done, value in enumerate(config.ease_lambdas):
        progress("EASE's lambda", done, len(config.ease_lambdas))
        found[value] = validation_ndcg(history_scorer(validation.history, ease(matrix, value)), validation)
    value = max(found, key=lambda one: found[one])
    scorer = history_scorer(test.history, ease(gram(test.history), value))
    return Chosen("EASE", scorer, f"lambda {value:g}", value)


def choose_slim(validation: Cases, test: Cases, config: BaselineConfig, progress: Progress) -> Chosen:
    """Tune SLIM's penalties."""
    matrix = gram(validation.history)
    found = {}
    for done, (l2, l1) in enumerate(config.slim):
        progress("SLIM's penalties", done, len(config.slim))
        found[l2, l1] = validation_ndcg(history_scorer(validation.history, slim(matrix, l2, l1)), validation)
    l2, l1 = max(found, key=lambda one: found[one])
    scorer = history_scorer(test.history, slim(gram(test.history), l2, l1))
    return Chosen("SLIM", scorer, f"l2 {l2:g}, l1 {l1:g}")


def choose_neighbourhoods(
    validation: Cases, test: Cases, config: BaselineConfig, progress: Progress
) -> Iterator[Chosen]:
    """Tune neighbours and shrinkage of cosine and Pearson CF."""
    grid = [(k, shrink) for shrink in config.shrinkage for k in config.neighbours]
    for name in ("item cosine", "Pearson CF"):
        found = {}
        for done, (k, shrink) in enumerate(grid):
            progress(name, done, len(grid))
            weights = _neighbourhood(name, validation, k, shrink)
            found[k, shrink] = validation_ndcg(history_scorer(validation.history, weights), validation)
        k, shrink = max(found, key=lambda one: found[one])
        weights = _neighbourhood(name, test, k, shrink)
        yield Chosen(name, history_scorer(test.history, weights), f"{k} neighbours, shrinkage {shrink:g}")


def towers(
    validation: Cases, test: Cases, profiles: Profiles, configs: Mapping[str, TowerConfig], seed: int, on: Progress
) -> Iterator[Chosen]:
    """Train DSSM and YouTube DNN; validation chooses the epoch, and they are served on the log of `test`."""
    for name, config in configs.items():
        epochs: list[float] = []

        def heard(
            number: int, value: float, name: str = name, config: TowerConfig = config, epochs: list[float] = epochs
        ) -> None:
            epochs.append(value)
            on(f"{name}, epoch {number}, validation NDCG@10 {value:.4f}", number, config.epochs)

        model = train_towers(validation, profiles, config, seed, heard)
        yield Chosen(name, tower_scorer(model, test.history), f"epoch {int(np.argmax(epochs)) + 1}")


def popular(test: Cases) -> Chosen:
    """Score by how many users have an item."""
    counts = popularity(test.history)
    return Chosen("popularity", lambda users: np.tile(counts, (len(users), 1)), "")


def genre_similarity(
    similarity: Weights, genres: NDArray[np.float32], shown: Sequence[int], pairs: int, seed: int
) -> NDArray[np.float64]:
    """Average s_ji of random pairs of items from each pair of genres, figure 8a: (G, G), [trigger, target]."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(genres[:, genre] > 0) for genre in shown]
    found = np.empty((len(shown), len(shown)))
    for row, triggers in enumerate(members):
        for column, targets in enumerate(members):
            j, i = rng.choice(triggers, pairs), rng.choice(targets, pairs)
            found[row, column] = similarity[j, i][j != i].mean()
    return found


def _neighbourhood(name: str, cases: Cases, k: int, shrink: float) -> Weights:
    matrix = gram(cases.history)
    found = cosine(matrix, shrink) if name == "item cosine" else pearson(matrix, cases.history.shape[0], shrink)
    return nearest(found, k)
