"""What PDN's reproductions have in common: settings, data with their splits, where PDN starts, and fitting it."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from shortlist_training.leave_one_out import Cases, Scorer, hold_out_one, read_cases
from shortlist_training.neighbourhood import LinearConfig, Weights, linear_weights
from shortlist_training.pdn.comparison import BaselineConfig, validation_ndcg
from shortlist_training.pdn.features import Profiles, read_profiles
from shortlist_training.pdn.model import Pdn, PdnConfig
from shortlist_training.pdn.train import Epoch, TrainConfig, train
from shortlist_training.pdn.views import View, Views, look, views
from shortlist_training.pdn.warm_start import FactorConfig, Factors, factorize, start_from_factors
from shortlist_training.reproduction.newest import newest_rarity
from shortlist_training.reproduction.parts import PartContext
from shortlist_training.reproduction.pdn_greedy import GreedySettings
from shortlist_training.timelines import Rows

TIMED = "ml-100k/interactions.parquet"
"""The log with times that says how rare newest items are."""
FILES = (*(f"ml-1m/{name}.parquet" for name in ("interactions", "ncf_test_negatives", "users", "movies")), TIMED)


class Settings(msgspec.Struct, frozen=True):
    """Everything that decides the results. linear: of the weights in c_ji; EASE's and SLIM's own are tuned.

    factor_weights: from which validation chooses the direct net's start.
    """

    pdn: PdnConfig = PdnConfig()
    fitting: TrainConfig = TrainConfig(epochs=4, patience=2)
    baselines: BaselineConfig = BaselineConfig()
    folds: int = 3
    linear: LinearConfig = LinearConfig(l2=100.0, dropout=0.33, user_power=0.5)
    factors: FactorConfig = FactorConfig()
    factor_weights: tuple[float, ...] = (0.05, 0.1, 0.2)
    greedy: GreedySettings = GreedySettings()
    genre_pairs: int = 1000


@dataclass(frozen=True)
class Data:
    """A log with its splits and what PDN sees of it.

    sizes: PDN's, with what was measured and chosen. factors: of the log that validation leaves. now, factors_now: of
    the whole training log. remarks: what was measured and chosen, in words.
    """

    test: Cases
    validation: Cases
    profiles: Profiles
    sizes: PdnConfig
    views: Views
    factors: Factors
    now: View
    factors_now: Factors
    remarks: tuple[str, ...]


def movielens(context: PartContext) -> tuple[Cases, Cases, Profiles, float]:
    """Read NCF's split of MovieLens-1M: test, validation, profiles, and the rarity that validation is drawn with."""
    interactions, negatives, users, movies, timed = (context.data / name for name in FILES)
    test, rarity = read_cases(interactions, negatives), newest_rarity(timed)
    validation = hold_out_one(test.history, context.seed, rarity=rarity)
    return test, validation, read_profiles(interactions, users, movies), rarity


def prepared(test: Cases, validation: Cases, profiles: Profiles, settings: Settings, context: PartContext) -> Data:
    """Choose where PDN starts, and make what it sees of the log."""
    known, known_now = (factorize(log.history, settings.factors, context.seed) for log in (validation, test))
    weight, remark = _start(validation, known, settings, context)
    seen = views(validation.history, settings.folds, settings.linear, context.seed, context.progress)
    return Data(
        test=test,
        validation=validation,
        profiles=profiles,
        sizes=msgspec.structs.replace(settings.pdn, factor_weight=weight),
        views=seen,
        factors=known,
        now=look(test.history, settings.linear, seen.edges),
        factors_now=known_now,
        remarks=(remark,),
    )


def fit(
    data: Data, sizes: PdnConfig, fitting: TrainConfig, name: str, context: PartContext
) -> tuple[Pdn, Sequence[Epoch]]:
    """Train on what validation leaves; a direct net of factors then gets those of the whole log, as c_ji does."""

    def heard(epoch: Epoch) -> None:
        label = f"{name}, epoch {epoch.number}, validation NDCG@10 {epoch.ndcg:.4f} ({epoch.sampled_ndcg:.4f})"
        context.progress(label, epoch.number, fitting.epochs)

    seen, seed = data.views, context.seed
    model, epochs = train(data.validation, seen, data.factors, data.profiles, sizes, fitting, seed, heard)
    if sizes.factor_weight is not None:
        start_from_factors(model, data.factors_now, sizes.factor_weight)
    return model, epochs


def rarity_remark(rarity: float) -> str:
    """Say what validation is drawn by, and why."""
    return (
        f"NCF's test item is the user's newest. In MovieLens-100k, which has times, the newest is as rare as an own "
        f"item drawn by count^-{rarity:.2f}. Validation items are drawn by that, for every method."
    )


def _start(validation: Cases, factors: Factors, settings: Settings, context: PartContext) -> tuple[float, str]:
    """Choose the share of the factors by NDCG@10 among all items, and say what it was for each."""
    weights, found = linear_weights(validation.history, settings.linear), {}
    for done, share in enumerate(settings.factor_weights):
        context.progress("factors of PDN's start", done, len(settings.factor_weights))
        found[share] = validation_ndcg(_scorer(validation, weights, factors, share), validation)
    shown = ", ".join(f"{share:g}: {one[0]:.4f} ({one[1]:.4f})" for share, one in found.items())
    remark = f"Validation NDCG@10, all items (99 negatives), before training by the direct net's share: {shown}."
    return max(found, key=lambda share: found[share][0]), remark


def _scorer(cases: Cases, weights: Weights, factors: Factors, share: float) -> Scorer:
    """Score as PDN at its start, but for softplus."""

    def score(users: Rows) -> Weights:
        direct = np.float32(share) * (factors.users[users] @ factors.items.T)
        return np.asarray(cases.history[users] @ weights + direct, dtype=np.float32)

    return score
