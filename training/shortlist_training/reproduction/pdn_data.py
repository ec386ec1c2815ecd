"""What PDN's reproductions have in common: settings, data with their splits, and fitting it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from shortlist_training.leave_one_out import Cases, hold_out_one, read_cases
from shortlist_training.neighbourhood import LinearConfig
from shortlist_training.pdn.comparison import BaselineConfig
from shortlist_training.pdn.features import Profiles, read_behaviour, read_profiles
from shortlist_training.pdn.lateness import late_codes, lateness, weighed
from shortlist_training.pdn.model import Pdn, PdnConfig
from shortlist_training.pdn.train import Epoch, TrainConfig, train
from shortlist_training.pdn.views import View, Views, look, views
from shortlist_training.pdn.warm_start import FactorConfig, Factors, factorize, start_from_factors
from shortlist_training.reproduction.parts import PartContext
from shortlist_training.reproduction.pdn_greedy import GreedySettings

FILES = tuple(f"ml-1m/{name}.parquet" for name in ("interactions", "ncf_test_negatives", "users", "movies"))
REQUESTS = "ml-1m/ncf_test.parquet"


class Settings(msgspec.Struct, frozen=True):
    """Everything that decides the results. linear: of the weights in c_ji; EASE's and SLIM's own are tuned."""

    pdn: PdnConfig = PdnConfig()
    fitting: TrainConfig = TrainConfig()
    baselines: BaselineConfig = BaselineConfig()
    folds: int = 3
    linear: LinearConfig = LinearConfig()
    factors: FactorConfig = FactorConfig()
    greedy: GreedySettings = GreedySettings()
    genre_pairs: int = 1000

    def __post_init__(self) -> None:
        """ValueError where the direct net cannot start at the factors: hours of baselines come before it would."""
        if self.pdn.factor_weight is not None and self.pdn.direct_dim != self.factors.factors:
            message = f"factors: expected {self.pdn.direct_dim}, the direct net's width, found {self.factors.factors}"
            raise ValueError(message)


@dataclass(frozen=True)
class Data:
    """A log with its splits and what PDN sees of it.

    factors: of the log that validation leaves. now, factors_now: of the whole training log.
    """

    test: Cases
    validation: Cases
    profiles: Profiles
    views: Views
    factors: Factors
    now: View
    factors_now: Factors


def movielens(context: PartContext) -> tuple[Cases, Cases, Profiles]:
    """Read NCF's split of MovieLens-1M: test, validation, profiles."""
    interactions, negatives, users, movies = (context.data / name for name in FILES)
    test = read_cases(interactions, negatives)
    return test, hold_out_one(test.history, context.seed), read_profiles(interactions, users, movies)


def with_behaviour(test: Cases, profiles: Profiles, context: PartContext) -> tuple[Cases, Profiles]:
    """Add the behaviour field; give validation items as late as newest ones are, and the profiles with it.

    A user's items are drawn by lateness, those of users who are back all alike.
    """
    behaviour = read_behaviour(context.data / FILES[0], context.data / REQUESTS)
    odds = weighed(test.history, late_codes(lateness(test.history)), behaviour, 1.0)
    return hold_out_one(test.history, context.seed, odds=odds), replace(profiles, behaviour=behaviour)


def prepared(test: Cases, validation: Cases, profiles: Profiles, settings: Settings, context: PartContext) -> Data:
    """Make what PDN sees of the log."""
    seen = views(validation.history, settings.folds, settings.linear, context.seed, context.progress)
    now = look(test.history, settings.linear, seen.edges)
    known, known_now = (factorize(log.history, settings.factors, context.seed) for log in (validation, test))
    return Data(test, validation, profiles, seen, known, now, known_now)


def everything(settings: Settings, context: PartContext) -> tuple[Data, Cases]:
    """Give PDN's data, with validation items as late as newest ones, and the random ones of the other methods."""
    test, validation, profiles = movielens(context)
    newest, profiles = with_behaviour(test, profiles, context)
    return prepared(test, newest, profiles, settings, context), validation


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
