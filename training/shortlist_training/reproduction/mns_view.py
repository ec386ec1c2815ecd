"""Whose the test labels of an MNS part are, and how recall is measured on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist_training.reproduction.mns_runs import Measured, Ranks
from shortlist_training.time_split import Group, Recall, mean_over_runs

BOOTSTRAP = 1000


@dataclass(frozen=True)
class Words:
    """What a data set is called in tables: its split, people and items. `split` takes {queries}, {users}, and so on."""

    split: str
    people: str
    items: str
    name: str


ONLINE_RETAIL = Words(
    split="Split by time: train before 2011-09-16, epochs chosen by Recall@50 on 2011-09-16..30, test October 2011; "
    "{queries} baskets of {users} customers, {labels} first purchases, ranked among all {items} products that the "
    "customer has not bought.",
    people="customers",
    items="products",
    name="Online Retail",
)


@dataclass(frozen=True)
class View:
    """Who the test labels belong to. users, items (P,): each label's user and item; groups: (I,) masks of items.

    seeds: what the models were trained with. words: of the data set.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    groups: Mapping[Group, NDArray[np.bool_]]
    queries: int
    seeds: Sequence[int]
    words: Words = ONLINE_RETAIL

    def recall(self, ranks: Ranks, group: Group, k: int, seed: int) -> Recall:
        """Measure Recall@k of one group's labels, the mean over trainings: ranks (S, P)."""
        return self.recall_of(ranks, self.groups[group][self.items], k, seed)

    def recall_of(self, ranks: Ranks, chosen: NDArray[np.bool_], k: int, seed: int) -> Recall:
        """Measure Recall@k of some labels, (P,)."""
        return mean_over_runs((ranks[:, chosen] < k).astype(np.float64), self.users[chosen], BOOTSTRAP, seed)

    def difference(self, left: Measured, right: Measured, k: int, seed: int, group: Group = "all") -> Recall:
        """Measure left's Recall@k minus right's on the same labels and seeds, with the interval of the difference."""
        chosen = self.groups[group][self.items]
        gained = (left.test < k).astype(np.float64) - (right.test < k)
        return mean_over_runs(gained[:, chosen], self.users[chosen], BOOTSTRAP, seed)

    def protocol(self, seed: int) -> str:
        """Say what was measured on whom."""
        trained = f"Seed {seed}" if len(self.seeds) == 1 else f"Means over the seeds {', '.join(map(str, self.seeds))}"
        over = self.words.people if len(self.seeds) == 1 else f"{self.words.people} and seeds"
        split = self.words.split.format(
            queries=self.queries,
            users=len(np.unique(self.users)),
            labels=len(self.users),
            items=len(self.groups["all"]),
        )
        return f"{split} Recall over {{query, item}} pairs. {trained}; bootstrap over {over}, 95 %."
