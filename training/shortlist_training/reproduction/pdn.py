"""PDN against its paper on MovieLens-1M: table 2 with its ablations, greedy retrieval (eq. 14), and figure 8a."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import torch

from shortlist_training.leave_one_out import (
    Cases,
    Ranks,
    Scorer,
    history_scorer,
    hits,
    hold_out_one,
    measured,
    ndcg,
    ranks,
    read_cases,
)
from shortlist_training.pdn.comparison import (
    BaselineConfig,
    Chosen,
    choose_ease,
    choose_neighbourhoods,
    choose_slim,
    genre_similarity,
    popular,
    towers,
)
from shortlist_training.pdn.features import Profiles, read_profiles
from shortlist_training.pdn.greedy import greedy_scorer
from shortlist_training.pdn.inference import Served, serve, softplus
from shortlist_training.pdn.model import Pdn, PdnConfig
from shortlist_training.pdn.pairs import build_index
from shortlist_training.pdn.train import Epoch, TrainConfig, train
from shortlist_training.pdn.views import View, Views, look, views
from shortlist_training.reproduction.parts import Cell, Part, PartContext, PartResult, Plot, ResultTable

FILES = tuple(f"ml-1m/{name}.parquet" for name in ("interactions", "ncf_test_negatives", "users", "movies"))
COLUMNS = ("HR@10, 99 negatives", "NDCG@10, 99 negatives", "HR@10, all items", "NDCG@10, all items")
PAPER = {
    "Pearson CF": ".403 / .213 (item to item)",
    "SLIM": ".440 / .234 (item to item)",
    "DSSM": ".470 / .260",
    "YouTube DNN": ".619 / .358",
    "PDN": ".677 / .407",
    "PDN without bias net": ".632 / .340",
    "PDN without direct net": ".664 / .393",
    "SimNet alone": ".515 / .286 (item to item)",
    "popularity": "-",
}
SHOWN_GENRES = ("Action", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Film-Noir", "Horror",
                "Musical", "Romance", "Sci-Fi", "Thriller", "War", "Western")  # fmt: skip


class Settings(msgspec.Struct, frozen=True):
    """Everything that decides the results. ease_lambda: of the EASE weights in c_ji; the baseline's own is tuned."""

    pdn: PdnConfig = PdnConfig()
    fitting: TrainConfig = TrainConfig()
    baselines: BaselineConfig = BaselineConfig()
    folds: int = 6
    ease_lambda: float = 700.0
    by_log: int = 1500
    by_profile: int = 500
    greedy_triggers: tuple[int, ...] = (10, 30, 100, 1000)
    greedy_items: tuple[int, ...] = (50, 200, 500)
    genre_pairs: int = 1000


@dataclass(frozen=True)
class Data:
    """MovieLens with its splits and what PDN sees of the log; `now` is the view of the whole training log."""

    test: Cases
    validation: Cases
    profiles: Profiles
    views: Views
    now: View


def run_comparison(context: PartContext) -> PartResult:
    """Measure PDN and all comparison methods, SimNet alone, greedy retrieval, and similarity by genre."""
    torch.set_num_threads(context.threads)
    data, settings = _data(context), SETTINGS
    rows = list(_rows(_baselines(data, settings.baselines, context), data.test, context.seed))
    model = _fit(data, settings.pdn, "PDN", context)
    served = serve(model, data.test.history, data.now)
    full = ranks(served.score_all, data.test)
    rows.append(_row("PDN", full, context.seed))
    rows.append(_row("SimNet alone", ranks(_simnet_alone(served), data.test), context.seed))
    return PartResult(
        tables=(_table("PDN and its comparison methods (table 2)", rows), _greedy(served, model, data, full, context)),
        plots=(_by_genre(served, data.profiles, context.seed),),
        remarks=(_against_ease(rows), *REMARKS),
    )


def run_ablations(context: PartContext) -> PartResult:
    """Measure PDN without bias net, without direct net, and from a random start."""
    torch.set_num_threads(context.threads)
    data, rows = _data(context), []
    for name, sizes in ABLATIONS.items():
        served = serve(_fit(data, sizes, name, context), data.test.history, data.now)
        rows.append(_row(name, ranks(served.score_all, data.test), context.seed))
    return PartResult((_table("PDN without one of its parts (table 2)", rows),), remarks=REMARKS)


def _data(context: PartContext) -> Data:
    interactions, negatives, users, movies = (context.data / name for name in FILES)
    test = read_cases(interactions, negatives)
    validation = hold_out_one(test.history, context.seed)
    seen = views(validation.history, SETTINGS.folds, SETTINGS.ease_lambda, context.seed, context.progress)
    now = look(test.history, SETTINGS.ease_lambda, seen.edges)
    return Data(test, validation, read_profiles(interactions, users, movies), seen, now)


def _fit(data: Data, sizes: PdnConfig, name: str, context: PartContext) -> Pdn:
    def heard(epoch: Epoch) -> None:
        label = f"{name}, epoch {epoch.number}, validation NDCG@10 {epoch.ndcg:.4f}"
        context.progress(label, epoch.number, SETTINGS.fitting.epochs)

    model, _ = train(data.validation, data.views, data.profiles, sizes, SETTINGS.fitting, context.seed, heard)
    return model


def _baselines(data: Data, config: BaselineConfig, context: PartContext) -> Iterable[Chosen]:
    yield popular(data.test)
    yield from choose_neighbourhoods(data.validation, data.test, config, context.progress)
    yield choose_ease(data.validation, data.test, config, context.progress)
    yield choose_slim(data.validation, data.test, config, context.progress)
    named = {"DSSM": config.dssm, "YouTube DNN": config.youtube}
    yield from towers(data.validation, data.test, data.profiles, named, context.seed, context.progress)


def _rows(chosen: Iterable[Chosen], test: Cases, seed: int) -> Iterable[tuple[str, tuple[Cell | str | None, ...]]]:
    for one in chosen:
        yield _row(one.name, ranks(one.scorer, test), seed, one.setting)


def _row(name: str, places: Ranks, seed: int, setting: str = "") -> tuple[str, tuple[Cell | str | None, ...]]:
    numbers = [measured(of(place, 10), seed) for place in (places.sampled, places.all) for of in (hits, ndcg)]
    shown = f"{name} ({setting})" if setting else name
    return shown, (*(Cell(one.value, one.low, one.high) for one in numbers), PAPER.get(name, "-"))


def _table(title: str, rows: Iterable[tuple[str, tuple[Cell | str | None, ...]]]) -> ResultTable:
    return ResultTable(title, PROTOCOL, (*COLUMNS, "paper HR@10 / NDCG@10"), tuple(rows))


def _against_ease(rows: Iterable[tuple[str, tuple[Cell | str | None, ...]]]) -> str:
    """Say how far PDN is ahead of EASE, or behind."""
    found = {name.split(" (")[0]: [cell.value for cell in cells if isinstance(cell, Cell)] for name, cells in rows}
    compared = zip(COLUMNS, found["PDN"], found["EASE"], strict=True)
    ahead = (f"{column} {ours - theirs:+.4f}" for column, ours, theirs in compared)
    return f"PDN minus EASE: {'; '.join(ahead)}."


def _simnet_alone(served: Served) -> Scorer:
    """Weigh all of a user's triggers the same, t_uj = 0, and leave the direct net out."""
    return history_scorer(served.history, softplus(served.similarity))


def _greedy(served: Served, model: Pdn, data: Data, full: Ranks, context: PartContext) -> ResultTable:
    widest = max(SETTINGS.greedy_items)
    context.progress("item index", 0, 0)
    index = build_index(model, data.now, data.profiles, widest, SETTINGS.by_log, SETTINGS.by_profile)
    rows = [_row("all triggers, all items", full, context.seed)]
    for k in SETTINGS.greedy_items:
        for m in SETTINGS.greedy_triggers:
            context.progress(f"greedy retrieval, m {m}, k {k}", 0, 0)
            places = ranks(greedy_scorer(served, index.shortened(k), m), data.test)
            rows.append(_row(f"m {m}, k {k}", places, context.seed))
    cells = tuple((name, found[2:4]) for name, found in rows)
    return ResultTable("Greedy path retrieval (eq. 14) against the whole model", GREEDY, COLUMNS[2:], cells)


def _by_genre(served: Served, profiles: Profiles, seed: int) -> Plot:
    shown = [profiles.genre_names.index(name) for name in SHOWN_GENRES if name in profiles.genre_names]
    found = genre_similarity(served.similarity, profiles.genres, shown, SETTINGS.genre_pairs, seed)
    return Plot(
        name="pdn-genre-similarity",
        title="Mean s_ji by genre of trigger (rows) and target (figure 8a)",
        matrix=tuple(tuple(float(value) for value in row) for row in found),
        matrix_labels=tuple(profiles.genre_names[place] for place in shown),
    )


SETTINGS = Settings()
ABLATIONS = {
    "PDN without bias net": msgspec.structs.replace(SETTINGS.pdn, bias=False),
    "PDN without direct net": msgspec.structs.replace(SETTINGS.pdn, direct=False),
    "PDN from a random start": msgspec.structs.replace(SETTINGS.pdn, ease_offset=None),
}
PROTOCOL = (
    "MovieLens-1M, leave-one-out split of NCF, one held-out item per user; mean over all 6040 users with its bootstrap "
    "95 % interval. '99 negatives': ranked among the split's 99 sampled negatives; 'all items': among all items that "
    "the user's training log does not have. Equal scores count as ranked before the target. Hyperparameters and "
    "epochs are chosen by NDCG@10 with 99 negatives on one more random item per user that is held out of training."
)
GREEDY = (
    "The same users and protocol 'all items'. Items that are no candidate rank after all others, ties against the "
    "target. Index: SimNet ranks the union of the items with most common users and of those with the nearest profile."
)
REMARKS = (
    "The paper says that all negatives are ranked, but its numbers have the size of those with 99 sampled negatives.",
    "All path weights are positive (section 4.7): nothing can be against an item, where EASE has negative weights.",
    "SimNet starts at EASE's weights (ease_offset) unless said otherwise; the untrained start is never chosen.",
    "Statistics of pairs and popularity are those of all users outside of a user's fold while training on the user.",
    "The data has no order and no ratings: there are no behaviour fields a_uj; the bias net knows activity only.",
)


def _settings(value: object) -> dict[str, Any]:
    return {"experiment": msgspec.to_builtins(SETTINGS), "models": msgspec.to_builtins(value)}


PARTS = [
    Part(
        name="pdn/comparison",
        title="PDN on MovieLens-1M, against item-based CF, EASE and two-tower models",
        inputs=FILES,
        settings=_settings({"PDN": SETTINGS.pdn}),
        run=run_comparison,
    ),
    Part(
        name="pdn/ablations",
        title="PDN on MovieLens-1M without its parts",
        inputs=FILES,
        settings=_settings(ABLATIONS),
        run=run_ablations,
    ),
]
