"""What PDN's reproductions have in common: settings, data with their splits, where PDN starts, and fitting it."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from shortlist_training.leave_one_out import Cases, Scorer, hold_out_one, read_cases
from shortlist_training.neighbourhood import LinearConfig, Weights, linear_weights, rarer_first
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

    discounts, factor_weights: from which validation chooses where PDN starts, one after the other.
    """

    pdn: PdnConfig = PdnConfig()
    fitting: TrainConfig = TrainConfig(epochs=4, patience=2)
    baselines: BaselineConfig = BaselineConfig()
    folds: int = 3
    linear: LinearConfig = LinearConfig(l2=100.0, dropout=0.33, user_power=0.5)
    factors: FactorConfig = FactorConfig()
    discounts: tuple[float, ...] = (0.0, 0.2, 0.35, 0.5)
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


def prepared(
    test: Cases, validation: Cases, profiles: Profiles, rarity: float, settings: Settings, context: PartContext
) -> Data:
    """Choose where PDN starts, and make what it sees of the log."""
    known, known_now = (factorize(log.history, settings.factors, context.seed) for log in (validation, test))
    discount, weight, remarks = _start(validation, known, settings, context)
    linear = msgspec.structs.replace(settings.linear, discount=discount)
    sizes = msgspec.structs.replace(settings.pdn, selection=rarity, factor_weight=weight)
    seen = views(validation.history, settings.folds, linear, context.seed, context.progress)
    return Data(
        test=test,
        validation=validation,
        profiles=profiles,
        sizes=sizes,
        views=seen,
        factors=_discounted(known, validation, discount),
        now=look(test.history, linear, seen.edges),
        factors_now=_discounted(known_now, test, discount),
        remarks=remarks,
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


def _start(
    validation: Cases, factors: Factors, settings: Settings, context: PartContext
) -> tuple[float, float, tuple[str, ...]]:
    """Choose by NDCG@10 among all items: the discount of linear weights, then the share of the factors."""
    weights = linear_weights(validation.history, settings.linear)
    by_discount = {}
    for done, power in enumerate(settings.discounts):
        context.progress("discount of PDN's start", done, len(settings.discounts))
        by_discount[power] = validation_ndcg(_scorer(validation, weights, factors, power, 0.0), validation)
    discount = max(by_discount, key=lambda power: by_discount[power][0])
    by_weight = {}
    for done, weight in enumerate(settings.factor_weights):
        context.progress("factors of PDN's start", done, len(settings.factor_weights))
        by_weight[weight] = validation_ndcg(_scorer(validation, weights, factors, discount, weight), validation)
    chosen = max(by_weight, key=lambda weight: by_weight[weight][0])
    remarks = (
        _course("score / share of users^power before training, power", by_discount),
        _course("share of the direct net's factors at the start", by_weight),
    )
    return discount, chosen, remarks


def _scorer(cases: Cases, weights: Weights, factors: Factors, discount: float, share: float) -> Scorer:
    """Score as PDN at its start, but for softplus."""
    usual = rarer_first(cases.history, discount)

    def score(users: Rows) -> Weights:
        linear = np.asarray(cases.history[users] @ weights, dtype=np.float32)
        if share:
            linear += np.float32(share) * (factors.users[users] @ factors.items.T)
        return linear * usual

    return score


def _discounted(factors: Factors, cases: Cases, discount: float) -> Factors:
    return Factors(factors.users, factors.items * rarer_first(cases.history, discount)[:, None])


def _course(what: str, found: dict[float, tuple[float, float]]) -> str:
    shown = ", ".join(f"{value:g}: {one[0]:.4f} ({one[1]:.4f})" for value, one in found.items())
    return f"Validation NDCG@10, all items (99 negatives), by {what}: {shown}."
