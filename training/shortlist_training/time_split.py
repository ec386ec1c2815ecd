"""Time-ordered splits and recall over all items, head, tail and cold ones apart.

A model learns from what was before a cut and is asked for what each user first takes in a later window; so items that
came after the cut are cold, as new products are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import ibis
import numpy as np
import scipy.sparse as sp
from ibis import ir
from numpy.typing import NDArray

Group = Literal["all", "head", "tail", "cold"]
GROUPS: tuple[Group, ...] = ("all", "head", "tail", "cold")
RECALL_AT = (10, 50, 100)
BATCH_QUERIES = 64  # scores of every label's query are dense: labels of the batch x items


@dataclass(frozen=True)
class TimeSplit:
    """Three spans of time: train [start, train_end), validation [train_end, validation_end), test until test_end."""

    train_end: datetime
    validation_end: datetime
    test_end: datetime

    def __post_init__(self) -> None:
        if not self.train_end < self.validation_end < self.test_end:
            message = f"a split needs train_end < validation_end < test_end, found {self}"
            raise ValueError(message)

    def name(self, table: ir.Table) -> ir.Table:
        """Add `split` to a table with `time`: train, validation, test, or null from `test_end` on."""
        time: Any = table.time
        bounds = ((self.train_end, "train"), (self.validation_end, "validation"), (self.test_end, "test"))
        branches = [(time < ibis.timestamp(bound), name) for bound, name in bounds]
        return table.mutate(split=ibis.cases(*branches, else_=ibis.null("string")))


def baskets(interactions: ir.Table) -> ir.Table:
    """Number each user's days with interactions: adds `basket`, 0 for the first, to user, item, time, country."""
    time: Any = interactions.time
    dated = interactions.mutate(day=time.date())
    order = ibis.window(group_by="user", order_by="day")
    return dated.mutate(basket=ibis.dense_rank().over(order)).drop("day")


def first_takes(in_baskets: ir.Table) -> ir.Table:
    """Leave each (user, item) only in the basket where it first occurs, once: user, item, basket, time, country."""
    order = ibis.window(group_by=["user", "item"], order_by=["basket", "time", "country"])
    placed = in_baskets.mutate(place=ibis.row_number().over(order))
    return placed.filter(placed.place == 0).select("user", "item", "basket", "time", "country")


def popularity_groups(counts: NDArray[np.int64], head_share: float) -> dict[Group, NDArray[np.bool_]]:
    """Sort items by their training interactions: (I,) masks that overlap only in "all".

    cold: none. head: the most frequent `head_share` of the items with any, equal counts by lower row. tail: the rest.
    """
    seen = counts > 0
    order = np.argsort(-counts, kind="stable")
    head = np.zeros(len(counts), dtype=np.bool_)
    head[order[: round(head_share * int(seen.sum()))]] = True
    return {"all": np.ones(len(counts), dtype=np.bool_), "head": head, "tail": seen & ~head, "cold": ~seen}


def label_ranks(
    score: Callable[[NDArray[np.int64]], NDArray[np.float32]], excluded: sp.csr_matrix, labels: sp.csr_matrix
) -> NDArray[np.int64]:
    """Rank each label among all items that its query does not exclude: (P,) int64, 0 is best, in `labels`' order.

    score: query numbers (B,) -> (B, I) float32. excluded, labels: (Q, I); a query's labels do not exclude each other.
    Equal scores rank by lower item. An item scored -inf (not retrievable) ranks last.
    """
    ranks = []
    for start in range(0, labels.shape[0], BATCH_QUERIES):
        chosen = np.arange(start, min(start + BATCH_QUERIES, labels.shape[0]))
        scores = score(chosen).copy()
        scores[excluded[chosen].nonzero()] = -np.inf
        wanted = labels[chosen].tocoo()
        rows, columns = wanted.row, wanted.col
        own = scores[rows, columns][:, None]
        before = np.arange(scores.shape[1])[None, :] < columns[:, None]
        ranks.append(((scores[rows] > own) | ((scores[rows] == own) & before)).sum(axis=1))
    return np.concatenate(ranks).astype(np.int64)


@dataclass(frozen=True)
class Recall:
    """Recall@k: the share of labels within the first k, with its 95 % interval over users; None without any label."""

    value: float | None
    low: float | None
    high: float | None
    labels: int


def recall_at(ranks: NDArray[np.int64], users: NDArray[np.int64], k: int, samples: int, seed: int) -> Recall:
    """Average rank < k over {query, label} pairs, as section 5.1 of the MNS paper. users (P,): whose pair it is."""
    return mean_over_users((ranks < k).astype(np.float64), users, samples, seed)


def mean_over_users(values: NDArray[np.float64], users: NDArray[np.int64], samples: int, seed: int) -> Recall:
    """Average values (P,) over pairs; the bootstrap draws whole users, since one user's pairs are not independent."""
    return mean_over_runs(values[None, :], users, samples, seed)


def mean_over_runs(values: NDArray[np.float64], users: NDArray[np.int64], samples: int, seed: int) -> Recall:
    """Average values (S, P) over pairs and over S trainings with other seeds; the bootstrap draws users and trainings.

    So the interval holds what another sample of users and what other random numbers in training would change.
    """
    runs, pairs = values.shape
    if not pairs:
        return Recall(None, None, None, 0)
    _, owner = np.unique(users, return_inverse=True)
    sums = np.stack([np.bincount(owner, weights=run) for run in values])
    sizes = np.bincount(owner)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(samples):
        drawn = rng.integers(len(sizes), size=len(sizes))
        of_runs = sums[:, drawn].sum(axis=1) / sizes[drawn].sum()
        means.append(of_runs[rng.integers(runs, size=runs)].mean() if runs > 1 else of_runs[0])
    low, high = np.percentile(means, [2.5, 97.5])
    return Recall(float(values.mean()), float(low), float(high), pairs)


def recall_by_group(
    ranks: NDArray[np.int64],
    labels: sp.csr_matrix,
    users: NDArray[np.int64],
    groups: Mapping[Group, NDArray[np.bool_]],
    samples: int,
    seed: int,
) -> dict[tuple[Group, int], Recall]:
    """Measure Recall@10/50/100 for the labels of each group of items. users (Q,): whose query it is."""
    wanted = labels.tocoo()
    owners = users[wanted.row]
    found = {}
    for group, members in groups.items():
        chosen = members[wanted.col]
        for k in RECALL_AT:
            found[group, k] = recall_at(ranks[chosen], owners[chosen], k, samples, seed)
    return found
