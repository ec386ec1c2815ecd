"""RetailRocket as the item-interaction parts read it, and the two questions that are asked of it.

"sessions": equation 3 of the paper on the sessions of a time window after training. "users": one purchase per user is
held out together with the user's every other event of the item, and is to be found from the user's last interactions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
from ibis import ir
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.hit_rate import Wanted, followed_by, rows_in
from shortlist_training.splits import positions, sessions

EVENTS = "retailrocket/events_train.parquet"
PURCHASES = "retailrocket/test_purchase.parquet"
TYPES = {"view": InteractionType.VIEW, "cart": InteractionType.CART, "buy": InteractionType.PURCHASE}
DAY_S = 86_400


@dataclass(frozen=True)
class SessionQuestions:
    """H_p of every pair p of the test sessions.

    source: (P,) the rows of the pairs' items, -1 where training never saw the item. own: (m,) bool, whether the wanted
    item is the pair's own. user: (P,) the least user with the pair, for intervals over users.
    """

    source: NDArray[np.int64]
    own: NDArray[np.bool_]
    user: NDArray[np.int64]
    query: NDArray[np.int64]
    item: NDArray[np.int64]
    quantity: NDArray[np.float64]

    def wanted(self, *, count_own: bool, return_own: bool) -> Wanted:
        """Choose whether purchases of the pair's own item count, and whether the item may be a candidate."""
        rows = np.ones(len(self.own), dtype=bool) if count_own else ~self.own
        sources = [self.source[at : at + int(row >= 0)] for at, row in enumerate(self.source)]
        nothing = [np.zeros(0, dtype=np.int64)] * len(sources)
        return Wanted(
            sources, nothing if return_own else sources, self.query[rows], self.item[rows], self.quantity[rows]
        )


def read_events(path: Path) -> ir.Table:
    """Read the log with the canonical columns; its rows are single events, so that every quantity is 1."""
    table = ibis.duckdb.connect().read_parquet(path)
    kinds = [(name, int(kind)) for name, kind in TYPES.items()]
    return table.select(
        user=table["user"],
        item=table["item"],
        time=(table["timestamp"].cast("int64") * 1000).as_timestamp("ms"),
        type=table["type"].cases(*kinds, else_=0).cast("int8"),
        country=ibis.literal(""),
        quantity=ibis.literal(1.0),
    )


def in_memory(table: ir.Table) -> ir.Table:
    """Evaluate a table once, for the many queries that follow."""
    return ibis.memtable(table.to_pyarrow())


def last_time_s(events: ir.Table) -> int:
    """Give the time of the newest event, in seconds since 1970."""
    return int(events.agg(last=events.time.epoch_seconds().max()).to_pyarrow()["last"][0].as_py())


def between(events: ir.Table, begin_s: int, end_s: int) -> ir.Table:
    """Leave only the events from `begin_s` to before `end_s`, seconds since 1970."""
    seconds = events.time.epoch_seconds()
    return events.filter((seconds >= begin_s) & (seconds < end_s))


def item_keys(events: ir.Table) -> NDArray[np.generic]:
    """List the items of the training log, ascending: their places are the rows."""
    return np.asarray(events.select("item").distinct().order_by("item").to_pyarrow()["item"].to_numpy())


def session_questions(
    test: ir.Table, items: NDArray[np.generic], gap_s: int, target: InteractionType
) -> SessionQuestions:
    """Ask for the items with the target interaction in the test sessions of each pair."""
    cut = sessions(positions(test), gap_s)
    found = followed_by(cut, target).to_pyarrow()
    key = found["item"].to_numpy().astype(np.int64) * 8 + found["type"].to_numpy()
    _, first, query = np.unique(key, return_index=True, return_inverse=True)
    return SessionQuestions(
        source=rows_in(items, found["item"])[first],
        own=found["item"].to_numpy() == found["target"].to_numpy(),
        user=np.minimum.reduceat(found["user"].to_numpy().astype(np.int64), first),
        query=query.astype(np.int64),
        item=rows_in(items, found["target"]),
        quantity=found["quantity"].to_numpy().astype(np.float64),
    )


def hold_out(events: ir.Table, users: Sequence[int] | NDArray[np.int64]) -> tuple[ir.Table, pa.Table]:
    """Hold out the last purchase of some users as the data set's own test does.

    Gives the log without any event of such a user and item, and the purchases: columns user, item. Users with a single
    purchase are left alone.
    """
    bought = events.filter(events["type"] == int(InteractionType.PURCHASE))
    order = ibis.window(group_by="user", order_by=[bought.time.desc(), bought["item"]])
    placed = bought.mutate(
        place=ibis.row_number().over(order), count=lambda t: t.count().over(ibis.window(group_by="user"))
    )
    chosen = placed.filter(
        (placed.place == 0) & (placed["count"] > 1) & placed.user.isin([int(user) for user in users])
    )
    held = chosen.select("user", "item").order_by("user")
    return events.anti_join(held, ["user", "item"]), held.to_pyarrow()


def user_questions(
    log: ir.Table,
    held: pa.Table,
    items: NDArray[np.generic],
    kinds: Sequence[InteractionType],
    last: int,
    *,
    keep_seen: bool,
) -> Wanted:
    """Ask for each user's held-out purchase, from the user's last distinct items with some interactions.

    keep_seen: items that the user interacted with stay among the candidates.
    """
    order = ibis.window(group_by="user", order_by=[ibis.desc("time"), "item"])
    mine = log.semi_join(ibis.memtable(held), "user")
    latest = (
        mine.filter(mine["type"].isin([int(kind) for kind in kinds]))
        .group_by("user", "item")
        .agg(time=lambda t: t.time.max())
    )
    recent = latest.mutate(place=ibis.row_number().over(order)).filter(ibis._.place < last)
    users = held["user"].to_numpy()
    sources = _by_user(recent.select("user", "item").to_pyarrow(), users, items)
    seen = _by_user(mine.select("user", "item").distinct().to_pyarrow(), users, items)
    nothing = [np.zeros(0, dtype=np.int64)] * len(users)
    query = np.arange(len(users), dtype=np.int64)
    return Wanted(sources, nothing if keep_seen else seen, query, rows_in(items, held["item"]), np.ones(len(users)))


def _by_user(table: pa.Table, users: NDArray[np.int64], items: NDArray[np.generic]) -> list[NDArray[np.int64]]:
    owner, rows = table["user"].to_numpy(), rows_in(items, table["item"])
    order = np.lexsort((rows, owner))
    begins, ends = (np.searchsorted(owner[order], users, side=side) for side in ("left", "right"))
    return [rows[order[begin:end]] for begin, end in zip(begins, ends, strict=True)]
