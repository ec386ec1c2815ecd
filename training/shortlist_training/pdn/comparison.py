"""The models that PDN is compared with, each tuned on validation items and then given all of the training log."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist_training.baselines import ease, gram, popularity
from shortlist_training.leave_one_out import Cases, Ranks, Scorer, history_scorer, ndcg, ranks
from shortlist_training.neighbourhood import cosine, nearest, pearson, slim
from shortlist_training.pdn.features import Behaviour, Profiles
from shortlist_training.pdn.lateness import late_codes, lateness, weighed
from shortlist_training.pdn.towers import TowerConfig, item_similarity, tower_scorer, train_towers
from shortlist_training.pdn.warm_start import FactorConfig, factorize
from shortlist_training.reproduction.parts import Progress

Weights = NDArray[np.float32]

Setting = TypeVar("Setting")


class BaselineConfig(msgspec.Struct, frozen=True):
    """What is tried: neighbours and shrinkage in all pairs, lambdas, (l2, l1) of SLIM, powers of lateness, and iALS."""

    neighbours: tuple[int, ...] = (25, 50, 100)
    shrinkage: tuple[float, ...] = (0.0, 20.0)
    ease_lambdas: tuple[float, ...] = (500.0, 1000.0, 1500.0)
    slim: tuple[tuple[float, float], ...] = ((500.0, 1.0),)
    late_powers: tuple[float, ...] = (0.0, 0.3, 0.6, 1.0)
    ials: tuple[FactorConfig, ...] = (
        FactorConfig(64, 2.0, 10.0),
        FactorConfig(64, 4.0, 20.0),
        FactorConfig(64, 8.0, 20.0),
        FactorConfig(128, 4.0, 20.0),
    )
    dssm: TowerConfig = TowerConfig(kind="dssm")
    youtube: TowerConfig = TowerConfig(kind="youtube")


@dataclass(frozen=True)
class Chosen:
    """A baseline on the training log of `test`, with the words for what validation chose."""

    name: str
    scorer: Scorer
    setting: str


def places_of(chosen: Iterable[Chosen], test: Cases) -> dict[str, Ranks]:
    """Rank by each method, under its name with what was chosen."""
    return {f"{one.name} ({one.setting})" if one.setting else one.name: ranks(one.scorer, test) for one in chosen}


def validation_ndcg(score: Scorer, validation: Cases) -> tuple[float, float]:
    """Give NDCG@10 among all items and among sampled negatives: what hyperparameters are chosen by."""
    places = ranks(score, validation)
    return float(ndcg(places.all, 10).mean()), float(ndcg(places.sampled, 10).mean())


def leaders(found: Mapping[Setting, tuple[float, float]]) -> list[Setting]:
    """Take what is best among all items, and what is best among sampled negatives if that is another."""
    return list(dict.fromkeys(max(found, key=lambda one: found[one][by]) for by in (0, 1)))


def ease_lambdas(validation: Cases, config: BaselineConfig, progress: Progress) -> list[float]:
    """Tune EASE's lambda: the leader among all items, and the one among sampled negatives if that is another."""
    matrix = gram(validation.history)
    found = {}
    for done, value in enumerate(config.ease_lambdas):
        progress("EASE's lambda", done, len(config.ease_lambdas))
        found[value] = validation_ndcg(history_scorer(validation.history, ease(matrix, value)), validation)
    return leaders(found)


def choose_ease(validation: Cases, test: Cases, config: BaselineConfig, progress: Progress) -> Iterator[Chosen]:
    """Give EASE with the lambdas that validation chose."""
    for value in ease_lambdas(validation, config, progress):
        scorer = history_scorer(test.history, ease(gram(test.history), value))
        yield Chosen("EASE", scorer, f"lambda {value:g}")


def choose_slim(validation: Cases, test: Cases, config: BaselineConfig, progress: Progress) -> Iterator[Chosen]:
    """Tune SLIM's penalties, if there is more than one pair of them."""
    matrix = gram(validation.history)
    found = dict.fromkeys(config.slim, (0.0, 0.0))
    for done, (l2, l1) in enumerate(config.slim if len(config.slim) > 1 else ()):
        progress("SLIM's penalties", done, len(config.slim))
        found[l2, l1] = validation_ndcg(history_scorer(validation.history, slim(matrix, l2, l1)), validation)
    for l2, l1 in leaders(found):
        scorer = history_scorer(test.history, slim(gram(test.history), l2, l1))
        yield Chosen("SLIM", scorer, f"l2 {l2:g}, l1 {l1:g}")


def choose_late(
    newest: Cases, test: Cases, behaviour: Behaviour, config: BaselineConfig, on: Progress
) -> Iterator[Chosen]:
    """Give EASE and SLIM what TrigNet is given: triggers weigh lateness^power. Tuned on items as late as newest."""
    late, now = (late_codes(lateness(cases.history)) for cases in (newest, test))
    known, whole = gram(newest.history), gram(test.history)
    solvers: dict[tuple[str, str], Callable[[NDArray[np.float64]], Weights]] = {
        ("EASE", f"lambda {value:g}"): partial(ease, regularization=value) for value in config.ease_lambdas
    }
    solvers |= {("SLIM", f"l2 {l2:g}, l1 {l1:g}"): partial(slim, l2=l2, l1=l1) for l2, l1 in config.slim}
    found = {}
    for done, ((family, penalty), solve) in enumerate(solvers.items()):
        on(f"{family}, late triggers", done, len(solvers))
        weights = solve(known)
        for power in config.late_powers:
            scorer = history_scorer(weighed(newest.history, late, behaviour, power), weights)
            found[family, penalty, power] = validation_ndcg(scorer, newest)
    for family in ("EASE", "SLIM"):
        for _, penalty, power in leaders({tried: value for tried, value in found.items() if tried[0] == family}):
            scorer = history_scorer(weighed(test.history, now, behaviour, power), solvers[family, penalty](whole))
            yield Chosen(f"{family}, late triggers", scorer, f"{penalty}, power {power:g}")


def choose_ials(
    validation: Cases, test: Cases, config: BaselineConfig, seed: int, progress: Progress
) -> Iterator[Chosen]:
    """Tune the matrix factorization that the direct net starts from."""
    found = {}
    for done, sizes in enumerate(config.ials):
        progress("iALS", done, len(config.ials))
        found[sizes] = validation_ndcg(factor_scorer(validation.history, sizes, seed), validation)
    for best in leaders(found):
        shown = f"{best.factors} factors, alpha {best.alpha:g}, lambda {best.regularization:g}"
        yield Chosen("iALS", factor_scorer(test.history, best, seed), shown)


def factor_scorer(history: sp.csr_matrix, sizes: FactorConfig, seed: int) -> Scorer:
    """Score by the product of a user's and an item's factors."""
    found = factorize(history, sizes, seed)
    return lambda users: np.asarray(found.users[users] @ found.items.T)


def choose_neighbourhoods(
    validation: Cases, test: Cases, config: BaselineConfig, progress: Progress
) -> Iterator[Chosen]:
    """Tune neighbours and shrinkage of cosine and Pearson CF."""
    grid = [(k, shrink) for shrink in config.shrinkage for k in config.neighbours]
    for name in ("item cosine", "Pearson CF"):
        found = {}
        for done, (k, shrink) in enumerate(grid):
            progress(name, done, len(grid))
            weights = neighbourhood(name, validation, k, shrink)
            found[k, shrink] = validation_ndcg(history_scorer(validation.history, weights), validation)
        for k, shrink in leaders(found):
            weights = neighbourhood(name, test, k, shrink)
            yield Chosen(name, history_scorer(test.history, weights), f"{k} neighbours, shrinkage {shrink:g}")


def towers(
    validation: Cases, test: Cases, profiles: Profiles, configs: Mapping[str, TowerConfig], seed: int, on: Progress
) -> Iterator[Chosen]:
    """Train DSSM and YouTube DNN; validation chooses the epoch, and they are served on the log of `test`.

    "item to item": by the sum of the cosines of an item's representation with those of the user's items.
    """
    for name, config in configs.items():
        epochs: list[float] = []

        def heard(
            number: int, value: float, name: str = name, config: TowerConfig = config, epochs: list[float] = epochs
        ) -> None:
            epochs.append(value)
            on(f"{name}, epoch {number}, validation NDCG@10 {value:.4f}", number, config.epochs)

        model = train_towers(validation, profiles, config, seed, heard)
        yield Chosen(name, tower_scorer(model, test.history), f"epoch {int(np.argmax(epochs)) + 1}")
        similar = item_similarity(model, test.history)
        yield Chosen(f"{name}, item to item", history_scorer(test.history, similar), "")


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


def neighbourhood(name: str, cases: Cases, k: int, shrink: float) -> Weights:
    """Give the weights of "item cosine" or "Pearson CF"."""
    matrix = gram(cases.history)
    found = cosine(matrix, shrink) if name == "item cosine" else pearson(matrix, cases.history.shape[0], shrink)
    return nearest(found, k)
