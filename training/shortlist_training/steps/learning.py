"""What the steps after ingest derive from its tables, and trained sources as they come back from the run directory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import ibis
import numpy as np
from ibis import ir
from numpy.typing import NDArray

from models.features import FeatureTransform
from shortlist_training.catalogue import Catalogue
from shortlist_training.histories import HeldOut, Histories, fold_in_users
from shortlist_training.item_interaction.serving import PairVectors, policy
from shortlist_training.roles import type_numbers
from shortlist_training.sources.base import Learning, Source
from shortlist_training.sources.item_interaction import InteractionSource
from shortlist_training.sources.pdn import PdnSource
from shortlist_training.sources.two_tower import TwoTowerSource
from shortlist_training.timelines import Log, Rows, vocabulary
from shortlist_training.user_features import read_user_columns
from shortlist_training.workspace import Workspace

Progress: TypeAlias = Callable[[str, int, int], None]
"""Hears (what is being done, how much is done, of how much; 0 where that is not known)."""


DATABASE_MEMORY = "4GB"
"""What DuckDB may hold in memory; the rest of a join is spilled into the run directory."""


def database(work: Workspace) -> ibis.BaseBackend:
    """Open the engine that the steps run Ibis expressions on."""
    return ibis.duckdb.connect(memory_limit=DATABASE_MEMORY, temp_directory=str(work.path("spilled")))


@dataclass(frozen=True)
class Ingested:
    """The ingested tables, read on demand."""

    work: Workspace

    @cached_property
    def log(self) -> Log:
        """All kept interactions."""
        items = self.work.table("items.parquet")["item"]
        return Log.of(self.work.table("interactions.parquet"), items, self.work.table("splits.parquet"))

    @cached_property
    def vocabulary(self) -> Rows:
        """The trained items, as places in items.parquet."""
        return vocabulary(self.log)

    @cached_property
    def histories(self) -> Histories:
        """Users' interactions with trained items, and their features."""
        users = None if self.work.loaded.project.users is None else self.work.table("users.parquet")
        return Histories.of(self.log, self.vocabulary, read_user_columns(users, self.log.users))

    @cached_property
    def catalogue(self) -> Catalogue:
        """All items of items.parquet."""
        return Catalogue.of(self.work.table("items.parquet"))

    def learning(self) -> Learning:
        """Give what sources derive from; LED's PMI-SVD has to be there."""
        svd: NDArray[np.float32] = self.work.array("svd_vectors.npy")
        return Learning(self.histories, self.catalogue.take(self.vocabulary), svd)

    def training_interactions(self) -> ir.Table:
        """Open the training users' interactions with Ibis."""
        connection = database(self.work)
        interactions = connection.read_parquet(self.work.path("interactions.parquet"))
        splits = connection.read_parquet(self.work.path("splits.parquet"))
        return interactions.semi_join(splits.filter(splits.split == "train"), "user")

    def held_out(self, split: str) -> HeldOut:
        """Fold held-out users' items in."""
        project = self.work.loaded.project
        return fold_in_users(
            self.histories,
            split,
            project.evaluate.input_share,
            project.seed,
            type_numbers(project.led.input_types),
            type_numbers(project.led.target_types),
        )


def load_sources(ingested: Ingested) -> dict[str, Source]:
    """Read the trained sources back, by name, in the order of training."""
    return {name: load_source(ingested, name) for name in ingested.work.loaded.project.sources()}


def load_source(ingested: Ingested, name: str) -> Source:
    """Read one of the project's trained sources back."""
    return _LOADERS[name](ingested)


def _two_tower(ingested: Ingested) -> TwoTowerSource:
    work = ingested.work
    settings = work.loaded.project.two_tower
    assert settings is not None  # noqa: S101 - it is among the project's sources
    transforms = tuple(work.json("two_tower_features.json", list[FeatureTransform]))
    weights = work.arrays("two_tower.npz")
    return TwoTowerSource.load(ingested.learning(), transforms, settings, weights, work.loaded.project.seed)


def _pdn(ingested: Ingested) -> PdnSource:
    work = ingested.work
    settings = work.loaded.project.pdn
    assert settings is not None  # noqa: S101 - it is among the project's sources
    transforms = tuple(work.json("pdn_features.json", list[FeatureTransform]))
    return PdnSource.load(ingested.learning(), transforms, settings, work.arrays("pdn.npz"), work.loaded.project.seed)


def _item_interaction(ingested: Ingested) -> InteractionSource:
    work = ingested.work
    project = work.loaded.project
    assert project.item_interaction is not None  # noqa: S101 - it is among the project's sources
    stored = work.arrays("item_interaction.npz")
    pairs = PairVectors(stored["items"], stored["types"], stored["vectors"])
    how = policy(pairs, project.item_interaction)
    return InteractionSource(pairs, how, len(ingested.vocabulary), project.publish.calibration_queries)


_LOADERS: dict[str, Callable[[Ingested], Source]] = {
    "two_tower": _two_tower,
    "pdn": _pdn,
    "item_interaction": _item_interaction,
}
