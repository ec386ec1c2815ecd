"""PDN against its paper on MovieLens-1M: table 2 with its ablations, greedy retrieval (eq. 14), and figure 8a."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import torch

from shortlist_training.leave_one_out import Cases, Ranks, Scorer, history_scorer, ranks
from shortlist_training.pdn.comparison import (
    BaselineConfig,
    Chosen,
    choose_ease,
    choose_ials,
    choose_late,
    choose_neighbourhoods,
    choose_slim,
    genre_similarity,
    places_of,
    popular,
    towers,
)
from shortlist_training.pdn.features import Profiles
from shortlist_training.pdn.inference import Served, serve, softplus
from shortlist_training.pdn.model import PdnConfig
from shortlist_training.pdn.train import Epoch, TrainConfig
from shortlist_training.reproduction.kept_ranks import kept
from shortlist_training.reproduction.parts import Part, PartContext, PartResult, Plot
from shortlist_training.reproduction.pdn_data import (
    FILES,
    REQUESTS,
    Data,
    Settings,
    everything,
    fit,
    movielens,
)
from shortlist_training.reproduction.pdn_greedy import greedy_loss
from shortlist_training.reproduction.pdn_histories import PART as HISTORIES
from shortlist_training.reproduction.pdn_lateness import PART as LATENESS
from shortlist_training.reproduction.pdn_pinterest import PART as PINTEREST
from shortlist_training.reproduction.pdn_rankers import PART as RANKERS
from shortlist_training.reproduction.pdn_tables import AGAINST_ITSELF, Row, ahead, row, table
from shortlist_training.reproduction.pdn_validation import PART as VALIDATION

SHOWN_GENRES = ("Action", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Film-Noir", "Horror",
                "Musical", "Romance", "Sci-Fi", "Thriller", "War", "Western")  # fmt: skip


def run_comparison(context: PartContext) -> PartResult:
    """Measure PDN and item-based CF, SimNet alone, greedy retrieval, and similarity by genre."""
    torch.set_num_threads(context.threads)
    (data, validation), settings = everything(SETTINGS, context), SETTINGS
    places = _baselines(data, validation, settings.baselines, context)
    strongest = {name: found for name, found in places.items() if name.startswith(STRONGEST)}
    rows = _rows(places, context.seed)
    model, epochs = fit(data, settings.pdn, settings.fitting, "PDN", context)
    served = serve(model, data.test.history, data.now)
    ours = ranks(served.score_all, data.test)
    rows.append(row("PDN", ours, context.seed))
    rows.append(row("SimNet alone", ranks(_simnet_alone(served), data.test), context.seed))
    greedy, curve = greedy_loss(served, model, data.now, data.profiles, data.test, settings.greedy, context)
    return PartResult(
        tables=(
            table("PDN and its comparison methods (table 2)", rows),
            ahead(ours, strongest, context.seed),
            greedy,
        ),
        plots=(curve, _by_genre(served, data.profiles, context.seed)),
        remarks=(_course(epochs), *REMARKS),
    )


def run_ablations(context: PartContext) -> PartResult:
    """Measure PDN without each of its parts and with the paper's loss, and the whole one on the same users."""
    torch.set_num_threads(context.threads)
    data, _ = everything(SETTINGS, context)
    variants = {"PDN": (SETTINGS.pdn, SETTINGS.fitting), **ablations(SETTINGS)}
    places: dict[str, Ranks] = {}
    for name, (sizes, fitting) in variants.items():
        places |= kept(context.work, name, partial(_fitted, data, sizes, fitting, name, context))
    without = {name: found for name, found in places.items() if name != "PDN"}
    return PartResult(
        (
            table("PDN without one of its parts (table 2)", _rows(places, context.seed)),
            ahead(places["PDN"], without, context.seed, AGAINST_ITSELF),
        ),
        remarks=REMARKS,
    )


def _fitted(data: Data, sizes: PdnConfig, fitting: TrainConfig, name: str, context: PartContext) -> dict[str, Ranks]:
    """Train one variant and rank by it."""
    model, _ = fit(data, sizes, fitting, name, context)
    return {name: ranks(serve(model, data.test.history, data.now).score_all, data.test)}


def run_two_tower(context: PartContext) -> PartResult:
    """Measure DSSM and YouTube DNN, by user and item to item."""
    torch.set_num_threads(context.threads)
    (test, validation, profiles), config = movielens(context), SETTINGS.baselines
    named = {"DSSM": config.dssm, "YouTube DNN": config.youtube}
    chosen = towers(validation, test, profiles, named, context.seed, context.progress)
    return PartResult((table("Two-tower models (table 2)", _rows(places_of(chosen, test), context.seed)),))


def ablations(settings: Settings) -> dict[str, tuple[PdnConfig, TrainConfig]]:
    """Name what is left out or changed: sizes of the nets and how they are fitted."""
    whole, fitting = settings.pdn, settings.fitting
    by_the_paper = msgspec.structs.replace(whole, linear_offset=0.003, direct_start=-4.0, factor_weight=None)
    slow = msgspec.structs.replace(
        fitting, loss="cross_entropy", user_power=0.5, epochs=3 * fitting.epochs, warm_up=1, learning_rate=3e-3
    )
    return {
        "PDN without bias net": (msgspec.structs.replace(whole, bias=False), fitting),
        "PDN without direct net": (msgspec.structs.replace(whole, direct=False), fitting),
        "PDN without behaviour field": (msgspec.structs.replace(whole, behaviour=False), fitting),
        "PDN with the paper's loss, direct net learned": (by_the_paper, slow),
    }


def _baselines(data: Data, validation: Cases, config: BaselineConfig, context: PartContext) -> dict[str, Ranks]:
    """Rank by each method, under its name with what validation chose."""
    test, on, behaviour = data.test, context.progress, data.profiles.behaviour
    methods: dict[str, Callable[[], Iterable[Chosen]]] = {
        "popularity": lambda: [popular(test)],
        "neighbourhoods": lambda: choose_neighbourhoods(validation, test, config, on),
        "ease": lambda: choose_ease(validation, test, config, on),
        "ials": lambda: choose_ials(validation, test, config, context.seed, on),
        "slim": lambda: choose_slim(validation, test, config, on),
        "late": lambda: choose_late(data.validation, test, behaviour, config, on) if behaviour else (),
    }
    found: dict[str, Ranks] = {}
    for name, choose in methods.items():
        found |= kept(context.work, name, lambda choose=choose: places_of(choose(), test))  # type: ignore[misc]
    return found


def _rows(places: Mapping[str, Ranks], seed: int) -> list[Row]:
    return [row(name, found, seed, paper=name.split(" (")[0]) for name, found in places.items()]


def _course(epochs: Sequence[Epoch]) -> str:
    course = ", ".join(f"{epoch.ndcg:.4f} ({epoch.sampled_ndcg:.4f})" for epoch in epochs)
    return f"PDN's validation NDCG@10, all items (99 negatives), at its start and after each epoch: {course}."


def _simnet_alone(served: Served) -> Scorer:
    """Weigh all of a user's triggers the same, t_uj = 0, and leave the direct net out."""
    return history_scorer(served.history, softplus(served.similarity))


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
STRONGEST = ("EASE", "SLIM", "iALS")
REMARKS = (
    "The paper says that all negatives are ranked, but its numbers have the size of those with 99 sampled negatives.",
    "PDN starts at EASE and SLIM (SimNet: a path weighs their mean weight + an offset) and at iALS (direct net).",
    "The best epoch is served; the untrained start is never chosen, even where validation prefers it.",
    "It is trained listwise, as the paper's cross-entropy punishes the offset that keeps EASE's negative weights.",
    "The direct net keeps its factors: they have seen the labels that it would learn from.",
    "SLIM's penalties are those that an earlier run's validation chose against (l2 500, l1 5).",
    "The bias net: a logit's slope by activity, and an item's odds in the log against next, 1 / lateness. Not served.",
    "Statistics of pairs and popularity are those of all users outside of a user's fold while training on the user.",
    "Behaviour field a_uj: a trigger's lateness, and whether it was rated below 3. The log has no order.",
    "Lateness, d log E[x_i | n] / d log n: how an item's share of users grows with the length n of their histories.",
    "Of a test row only the time is read, as the request's. Who asks more than a day after sign-up is back.",
    "Users are numbered by sign-up, so the earliest request so far bounds it. Who is back has no lateness.",
    "PDN's epoch and the powers of late triggers are chosen on one more item per user, drawn by lateness.",
)


def _settings(value: object) -> dict[str, Any]:
    return {"experiment": msgspec.to_builtins(SETTINGS), "models": msgspec.to_builtins(value)}


PARTS = [
    Part(
        name="pdn/comparison",
        title="PDN on MovieLens-1M, against item-based CF, EASE, SLIM and iALS",
        inputs=(*FILES, REQUESTS),
        settings=_settings({"PDN": SETTINGS.pdn}),
        run=run_comparison,
    ),
    Part(
        name="pdn/ablations",
        title="PDN on MovieLens-1M without its parts",
        inputs=(*FILES, REQUESTS),
        settings=_settings({name: list(both) for name, both in ablations(SETTINGS).items()}),
        run=run_ablations,
        revision=2,
    ),
    Part(
        name="pdn/two-tower",
        title="DSSM and YouTube DNN on MovieLens-1M",
        inputs=FILES,
        settings=_settings({"DSSM": SETTINGS.baselines.dssm, "YouTube DNN": SETTINGS.baselines.youtube}),
        run=run_two_tower,
        revision=2,
    ),
    HISTORIES,
    RANKERS,
    PINTEREST,
    VALIDATION,
    LATENESS,
]
