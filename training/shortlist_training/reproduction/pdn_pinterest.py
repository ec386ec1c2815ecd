"""PDN and its comparison methods on Pinterest, NCF's test items: the second set of table 2."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import ibis
import msgspec
import numpy as np
import scipy.sparse as sp
import torch

from shortlist_training.baselines import ease, gram
from shortlist_training.leave_one_out import Cases, Ranks, draw_unknown, history_scorer, hold_out_one, ranks
from shortlist_training.neighbourhood import LinearConfig
from shortlist_training.pdn.comparison import (
    BaselineConfig,
    Chosen,
    factor_scorer,
    neighbourhood,
    places_of,
    popular,
)
from shortlist_training.pdn.features import Fields, Profiles
from shortlist_training.pdn.inference import serve, softplus
from shortlist_training.pdn.model import PdnConfig
from shortlist_training.pdn.train import TrainConfig
from shortlist_training.pdn.warm_start import FactorConfig
from shortlist_training.reproduction.kept_ranks import kept
from shortlist_training.reproduction.parts import Part, PartContext, PartResult, ResultTable
from shortlist_training.reproduction.pdn_data import Data, Settings, fit, prepared
from shortlist_training.reproduction.pdn_tables import Row, ahead, row, table

FILES = ("pinterest/interactions_37k.parquet", "pinterest/ncf_pinterest20_test.parquet")
PROTOCOL = (
    "Pinterest, about two thirds of Pinterest-20's users, duplicate pairs dropped before the split; NCF's test item of "
    "each user is held out, everything else is the training log. Mean over all {users} users with its bootstrap 95 % "
    "interval. '99 negatives': ranked among 99 items that the user does not have, drawn here with seed {seed}, for "
    "NCF's are not at hand; 'all items': among all of the {items} items that the user's training log does not have. "
    "Equal scores count as ranked before the target. PDN's epoch is chosen by NDCG@10 among all items, on "
    "one more random item per user that is held out of training. Every other method that was tried has a row: the best "
    "on test is the mark to beat."
)
COLUMNS = ("paper HR@10 / NDCG@10", "Ferrari Dacrema et al., 99 negatives")
OTHERS = {
    "popularity": ("-", ".274 / .141"),
    "item cosine": ("-", ".876 / .563"),
    "Pearson CF": (".280 / .147 (item to item)", "-"),
    "EASE": ("-", ".868 / .560"),
    "iALS": ("-", ".876 / .559"),
    "PDN": (".828 / .536", "-"),
    "SimNet alone": (".791 / .461 (item to item)", "-"),
}
REMARKS = (
    "Beside ours stands what Ferrari Dacrema et al. measured with NCF's own 99 negatives on the whole of Pinterest-20.",
    "The data has no profiles of users or items: PDN has ids, activity, popularity and the statistics of pairs.",
    "SLIM is left out: its ADMM takes 80 products of 9,836 x 9,836 matrices. So are DSSM, YouTube DNN, DIN and BST.",
    "PDN starts at EASE and at iALS; its settings are those of MovieLens-1M, not tuned here.",
    "Statistics of pairs are dense: memory grows with the square of the items, not with users x items.",
)


def pinterest_settings() -> Settings:
    """Give what fits this data: more users, short histories, items of which few are popular."""
    return Settings(
        pdn=PdnConfig(direct_dim=128),
        fitting=TrainConfig(judged=8000),
        baselines=BaselineConfig(
            neighbours=(50,),
            shrinkage=(0.0,),
            ease_lambdas=(200.0, 500.0),
            ials=(FactorConfig(64, 4.0, 20.0), FactorConfig(128, 8.0, 20.0)),
        ),
        folds=2,
        linear=LinearConfig(l2=500.0, rho=0.0, iterations=0),
        factors=FactorConfig(128, 8.0, 20.0),
    )


def read_pinterest(interactions: Path, test_items: Path, seed: int) -> Cases:
    """Read the de-duplicated log and take NCF's test item of each user out of it.

    Raises ValueError where a user 0..U-1 of the log has no test item, or one that the log does not have.
    """
    connection = ibis.duckdb.connect()
    log = connection.read_parquet(interactions).select("user", "item").distinct().order_by("user", "item").to_pyarrow()
    user, item = (log[name].to_numpy().astype(np.int64) for name in ("user", "item"))
    whole = sp.csr_matrix((np.ones(len(user), dtype=np.float32), (user, item)))
    named = connection.read_parquet(test_items)
    wanted = named.filter(named.ncf_user < whole.shape[0]).order_by("ncf_user").to_pyarrow()
    targets = wanted["ncf_item"].to_numpy().astype(np.int64)
    users = np.arange(whole.shape[0])
    known = np.array_equal(wanted["ncf_user"].to_numpy(), users) and int(targets.max()) < whole.shape[1]
    if not known or not (whole[users, targets] == 1).all():
        message = f"{test_items}: each of the {len(users)} users of {interactions} needs one test item that the log has"
        raise ValueError(message)
    negatives = draw_unknown(whole, np.random.default_rng(seed))
    whole[users, targets] = 0
    whole.eliminate_zeros()
    return Cases(whole, targets, negatives)


def profileless(users: int, items: int) -> Profiles:
    """Profiles of a log that knows nothing of its users and items: no fields, and one genre for all."""
    nothing = np.zeros((users, 0), dtype=np.int64), np.zeros((items, 0), dtype=np.int64)
    return Profiles(
        users=Fields(nothing[0], ()),
        items=Fields(nothing[1], ()),
        genres=np.ones((items, 1), dtype=np.float32),
        genre_names=("item",),
    )


def run_pinterest(context: PartContext) -> PartResult:
    """Measure PDN, SimNet alone, neighbourhoods, EASE and iALS."""
    torch.set_num_threads(context.threads)
    interactions, test_items = (context.data / name for name in FILES)
    test = read_pinterest(interactions, test_items, context.seed)
    validation = hold_out_one(test.history, context.seed)
    places = kept(context.work, "baselines", lambda: places_of(_baselines(test, context), test))
    data = prepared(test, validation, profileless(*test.history.shape), SETTINGS, context)
    ours, course = _pdn(data, context)
    rows = [_with_others(row(name, found, context.seed)) for name, found in (places | ours).items()]
    users, items = test.history.shape
    protocol = PROTOCOL.format(users=users, items=items, seed=context.seed)
    compared = table("PDN and its comparison methods on Pinterest (table 2)", rows)
    columns = (*compared.columns[:-1], *COLUMNS)
    return PartResult(
        (
            ResultTable(compared.title, protocol, columns, compared.rows),
            ahead(ours["PDN"], {name: found for name, found in places.items() if name != "popularity"}, context.seed),
        ),
        remarks=(course, *REMARKS),
    )


def _baselines(test: Cases, context: PartContext) -> Iterator[Chosen]:
    """Give every setting: the best on test is the mark to beat."""
    config, on = SETTINGS.baselines, context.progress
    yield popular(test)
    for name in ("item cosine", "Pearson CF"):
        for k, shrink in product(config.neighbours, config.shrinkage):
            on(f"{name}, {k} neighbours", 0, 0)
            scorer = history_scorer(test.history, neighbourhood(name, test, k, shrink))
            yield Chosen(name, scorer, f"{k} neighbours, shrinkage {shrink:g}")
    for value in config.ease_lambdas:
        on(f"EASE, lambda {value:g}", 0, 0)
        yield Chosen("EASE", history_scorer(test.history, ease(gram(test.history), value)), f"lambda {value:g}")
    for sizes in config.ials:
        on(f"iALS, {sizes.factors} factors", 0, 0)
        shown = f"{sizes.factors} factors, alpha {sizes.alpha:g}, lambda {sizes.regularization:g}"
        yield Chosen("iALS", factor_scorer(test.history, sizes, context.seed), shown)


def _pdn(data: Data, context: PartContext) -> tuple[dict[str, Ranks], str]:
    """Train PDN; give its places and those of SimNet alone, and the course of validation in words."""
    model, epochs = fit(data, SETTINGS.pdn, SETTINGS.fitting, "PDN on Pinterest", context)
    served = serve(model, data.test.history, data.now)
    context.progress("ranking the test items", 0, 0)
    whole = ranks(served.score_all, data.test)
    alone = ranks(history_scorer(served.history, softplus(served.similarity)), data.test)
    course = ", ".join(f"{epoch.ndcg:.4f} ({epoch.sampled_ndcg:.4f})" for epoch in epochs)
    judged = SETTINGS.fitting.judged
    return {"PDN": whole, "SimNet alone": alone}, (
        f"PDN's NDCG@10 on {judged} validation users, all items (99 negatives), at its start and after each epoch: "
        f"{course}."
    )


def _with_others(ours: Row) -> Row:
    """Put Pinterest's numbers of others where MovieLens' are."""
    name, cells = ours
    return name, (*cells[:-1], *OTHERS.get(name.split(" (")[0], ("-", "-")))


SETTINGS = pinterest_settings()
PART = Part(
    name="pdn/pinterest",
    title="PDN on Pinterest, against item-based CF, EASE and iALS",
    inputs=FILES,
    settings=msgspec.to_builtins(SETTINGS),
    run=run_pinterest,
)
