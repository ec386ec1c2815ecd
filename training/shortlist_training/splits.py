"""Sessions, timelines and the user split, as Ibis expressions. Third in the dataflow, between ingest and counting.

A held-out user is never trained on: not in co-occurrence, not in popularity, not in LED (strong generalisation, as
Liang et al. 2018 and section 6.2 of the LED paper).
"""

from collections.abc import Sequence
from typing import Any, Literal

import ibis
import numpy as np
import pyarrow as pa
from ibis import ir

from shortlist_training.config import SplitConfig

Split = Literal["train", "validation", "test"]


def positions(interactions: ir.Table) -> ir.Table:
    """Add `position` (0 is the user's oldest interaction) and `last_position`, its number counted from the newest.

    The second is computed from the first: two orders of their own could break ties between equal rows differently.
    """
    order = ibis.window(group_by="user", order_by=["time", "item", "type", "country"])
    whole = ibis.window(group_by="user")
    placed = interactions.mutate(position=ibis.row_number().over(order), length=lambda t: t.count().over(whole))
    return placed.mutate(last_position=placed.length - 1 - placed.position).drop("length")


def sessions(timelines: ir.Table, gap_s: int) -> ir.Table:
    """Add `session`, 0 for the user's first; a pause of more than `gap_s` seconds begins another. Needs `position`."""
    order = ibis.window(group_by="user", order_by="position")
    time: Any = timelines.time
    pauses = timelines.mutate(pause=time.epoch_seconds() - time.lag().over(order).epoch_seconds())
    begins = pauses.mutate(begins=(pauses.pause > gap_s).ifelse(1, 0))
    so_far = ibis.window(group_by="user", order_by="position", preceding=None, following=0)
    return begins.mutate(session=begins.begins.sum().over(so_far)).drop("pause", "begins")


def distinct_items(interactions: ir.Table) -> ir.Table:
    """Count each user's distinct items: columns user, items; ordered by user."""
    return interactions.group_by("user").agg(items=interactions["item"].nunique()).order_by("user")


def split_users(users: Sequence[str], items: Sequence[int], config: SplitConfig, seed: int) -> pa.Table:
    """Assign every user to a split: columns user, split; ordered by user.

    A seeded permutation of the sorted users rather than a hash in the engine, because engines hash differently.
    Only users with at least `min_items` distinct items are held out; the shares are shares of those.
    """
    order = np.argsort(np.asarray(users, dtype=object), kind="stable")
    names = [users[index] for index in order]
    eligible = np.flatnonzero(np.asarray(items)[order] >= config.min_items)
    shuffled = np.random.default_rng(seed).permutation(eligible)
    test = round(len(eligible) * config.test)
    validation = round(len(eligible) * config.validation)
    splits = np.full(len(names), "train", dtype=object)
    splits[shuffled[:test]] = "test"
    splits[shuffled[test : test + validation]] = "validation"
    return pa.table({"user": pa.array(names, pa.string()), "split": pa.array(splits.tolist(), pa.string())})


def of_split(interactions: ir.Table, user_splits: ir.Table, split: Split) -> ir.Table:
    """Leave only the interactions of one split's users."""
    return interactions.semi_join(user_splits.filter(user_splits.split == split), "user")
