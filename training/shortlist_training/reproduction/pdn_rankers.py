"""DIN and BST of table 2 on MovieLens-1M."""

from collections.abc import Iterator
from typing import cast

import msgspec
import torch

from shortlist_training.leave_one_out import Cases, ranks, sampled_ranks
from shortlist_training.pdn.features import Profiles
from shortlist_training.pdn.sequence_rankers import Bst, RankerConfig, pair_scorer, tower_scorer, train_ranker
from shortlist_training.reproduction.parts import Part, PartContext, PartResult
from shortlist_training.reproduction.pdn_data import FILES, movielens
from shortlist_training.reproduction.pdn_tables import Row, ranking_row, row, table

REMARKS = (
    "The log has no order: BST has no positions and reads a set; it is the paper's variant with two towers.",
    "DIN scores a candidate with the whole history, so it only ranks the 99 negatives.",
    "Their epochs are chosen by NDCG@10 with 99 negatives, as DIN has no other.",
    "Their widths are not tuned. They are trained until validation rises no more, or for 72 passes over the users.",
    "Of a history at most 50 random items are read in training, and 100 at evaluation.",
)


class Settings(msgspec.Struct, frozen=True):
    """What is trained."""

    din: RankerConfig = RankerConfig(kind="din")
    bst: RankerConfig = RankerConfig(kind="bst", negatives=200)


def run_rankers(context: PartContext) -> PartResult:
    """Train both; validation chooses the epoch, by NDCG@10 among sampled negatives, and the test log is served."""
    torch.set_num_threads(context.threads)
    test, validation, profiles = movielens(context)
    courses: list[str] = []
    rows = tuple(_rows(test, validation, profiles, courses, context))
    return PartResult((table("DIN and BST (table 2)", rows),), remarks=(*courses, *REMARKS))


def _rows(
    test: Cases, validation: Cases, profiles: Profiles, courses: list[str], context: PartContext
) -> Iterator[Row]:
    for name, config in (("DIN", SETTINGS.din), ("BST", SETTINGS.bst)):
        found: list[float] = []

        def heard(
            number: int, value: float, name: str = name, config: RankerConfig = config, found: list[float] = found
        ) -> None:
            found.append(value)
            context.progress(f"{name}, epoch {number}, validation NDCG@10 {value:.4f}", number, config.epochs)

        model = train_ranker(validation, profiles, config, context.seed, heard)
        courses.append(f"{name}'s validation NDCG@10 after each epoch: {', '.join(f'{value:.4f}' for value in found)}.")
        if config.kind == "din":
            places = sampled_ranks(pair_scorer(model, test.history, config, context.seed), test)
            yield ranking_row(name, places, context.seed)
        else:
            scorer = tower_scorer(cast("Bst", model), test.history, config, context.seed)
            yield row(name, ranks(scorer, test), context.seed)


SETTINGS = Settings()
PART = Part(
    name="pdn/rankers",
    title="DIN and BST on MovieLens-1M",
    inputs=FILES,
    settings=msgspec.to_builtins(SETTINGS),
    run=run_rankers,
)
