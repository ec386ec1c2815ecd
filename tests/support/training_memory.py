"""Prints the memory in MiB that training a system takes beside its data: run by `test_training_memory` in a process."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import ibis
import numpy as np
import psutil
import pyarrow as pa
from numpy.typing import NDArray

from shortlist_training.catalogue import Catalogue
from shortlist_training.config_models import LedConfig
from shortlist_training.config_sources import ContentSettings, InteractionSettings, PdnSettings, TwoTowerSettings
from shortlist_training.costs import measured
from shortlist_training.histories import HeldOut, Histories, distinct_rows, fold_in_users
from shortlist_training.item_interaction.serving import train_pairs
from shortlist_training.pdn.serving_train import make_views, train_pdn
from shortlist_training.sources.content import ItemContent, item_content
from shortlist_training.train import Validation, train
from shortlist_training.two_tower.serving_train import train_two_tower
from shortlist_training.user_features import learn_transforms

USERS, ITEMS = 35_000, 15_000
WARM_UP = 100  # so many users and items come first: what is compiled and loaded once is not the training's
EACH, HELD_OUT, DIM = 6, 50, 16


@dataclass(frozen=True)
class World:
    """Users with `EACH` purchases anywhere in the catalogue: of a dense row of theirs no large part stays untouched."""

    histories: Histories
    catalogue: Catalogue
    held_out: HeldOut
    svd: NDArray[np.float32]

    @classmethod
    def of(cls, users: int, items: int) -> "World":
        """Draw a log."""
        rng = np.random.default_rng(0)
        histories = Histories(
            offsets=np.arange(users + 1) * EACH,
            rows=rng.integers(items, size=users * EACH),
            types=np.full(users * EACH, 5),
            times_ms=np.tile(np.arange(EACH) * 60_000, users),
            homes=np.zeros(users, dtype=np.int64),
            countries=["BE"],
            split=np.array(["validation"] * HELD_OUT + ["train"] * (users - HELD_OUT)),
            features=[{}] * users,
            items=items,
        )
        titles = [f"thing {row // 8}" for row in range(items)]
        catalogue = Catalogue(np.arange(items, dtype=np.uint64), None, titles, None, None, None)
        svd = rng.standard_normal((items, DIM)).astype(np.float32)
        return cls(histories, catalogue, fold_in_users(histories, "validation", 0.6, 0), svd)

    def content(self, settings: ContentSettings) -> ItemContent:
        """Number what is known of the items."""
        return item_content(self.catalogue, self.histories.training_counts(), self.svd, settings)


def led(world: World) -> None:
    """Train LED by sampled negatives, and by the full softmax in small batches: their scores of all items are dense."""
    users = [distinct_rows(history) for history in world.histories.training()]
    validation = Validation(world.held_out.inputs, world.held_out.targets)
    for config in (LedConfig(epochs=1, negatives=100), LedConfig(loss="mult", epochs=1, batch_users=32)):
        some = users if config.loss == "bpr" else users[: len(users) // 4]
        train(some, world.svd, validation, config, 0, lambda _: None)


def two_tower(world: World) -> None:
    """Train the two towers."""
    settings = TwoTowerSettings(hidden=(16,), epochs=1, uniform=64, items=ContentSettings(id_dim=16))
    transforms = learn_transforms(world.histories, settings.users)
    content = world.content(settings.items)
    train_two_tower(world.histories, content, transforms, world.held_out, settings, 0, lambda _: None)


def pdn(world: World) -> None:
    """Choose candidate pairs, train PDN."""
    settings = PdnSettings(folds=2, epochs=1, by_log=10, by_profile=5, neighbours=10, batch_users=256)
    transforms = learn_transforms(world.histories, settings.users)
    content = world.content(settings.items)
    views = make_views(world.histories, content, settings, 0, lambda _: None)
    train_pdn(world.histories, content, transforms, views, world.held_out, settings, 0, lambda _: None)


def item_interaction(world: World) -> None:
    """Cut sessions, train skip-gram."""
    users = len(world.histories.split)
    moments = [datetime(2024, 1, 1) + timedelta(minutes=step) for step in range(EACH)] * users  # noqa: DTZ001 - local
    log = pa.table(
        {
            "user": np.repeat(np.arange(users), EACH),
            "item": world.histories.rows,
            "time": pa.array(moments, pa.timestamp("us")),
            "type": pa.array(world.histories.types, pa.int8()),
            "country": ["BE"] * len(moments),
        }
    )
    keys = pa.chunked_array([np.arange(world.histories.items)])
    settings = InteractionSettings(dim=DIM, epochs=1)
    train_pairs(ibis.memtable(log), keys, None, settings, 1800, 0, lambda _: None)


SYSTEMS: Mapping[str, Callable[[World], None]] = {
    "led": led,
    "two_tower": two_tower,
    "pdn": pdn,
    "item_interaction": item_interaction,
}


def main(system: str) -> None:
    """Train once in small, then print how far the resident memory rises above what the log itself takes."""
    SYSTEMS[system](World.of(WARM_UP, WARM_UP))
    world = World.of(USERS, ITEMS)
    before = psutil.Process().memory_info().rss / 2**20
    with measured() as meter:
        SYSTEMS[system](world)
    assert meter.cost is not None
    print(meter.cost.peak_mib - before)  # noqa: T201 - the answer to the test


if __name__ == "__main__":
    main(sys.argv[1])
