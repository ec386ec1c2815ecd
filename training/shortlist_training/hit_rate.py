"""Hit rate and coverage of candidate sets (section 4.3.1 of the item-interaction paper)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from ibis import ir
from numpy.typing import NDArray

from models.interactions import InteractionType

BATCH_SOURCES = 256

NEVER = np.iinfo(np.int64).max
"""The rank of an item that no candidate set of any size has."""


class ItemScorer(Protocol):
    """A model of candidates: scores of all I items for source items; `covered` (I,) says which sources it knows."""

    covered: NDArray[np.bool_]

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score all items for covered sources: (Q, I) float32, -inf for items that are no candidates."""


@dataclass(frozen=True)
class Wanted:
    """What is to be found for each of P queries.

    sources: per query, its source rows; the candidates of several sources are merged by their best score.
    seen: per query, rows that are not allowed as candidates.
    query, item, quantity: (m,) one row per wanted item: whose it is, its row (-1: unknown to training), and q > 0.
    """

    sources: Sequence[NDArray[np.int64]]
    seen: Sequence[NDArray[np.int64]]
    query: NDArray[np.int64]
    item: NDArray[np.int64]
    quantity: NDArray[np.float64]


def followed_by(events: ir.Table, target: InteractionType) -> ir.Table:
    """Build H_p^i: columns item, type (the pair p), target (item l), quantity (q), user, ordered by these.

    `events` has user, session, item, type, quantity. For each p, the items that had the target interaction in the
    sessions with p, (l, i) itself left out, and how often over all these sessions; `user` is the least of their users.
    """
    unit = ["user", "session"]
    wanted = (
        events.filter(events["type"] == int(target))
        .group_by(*unit, target="item")
        .agg(bought=lambda t: t["quantity"].sum())
    )
    pairs = events.select(*unit, "item", "type").distinct()
    joined = pairs.join(wanted, unit)
    others = joined.filter((joined["type"] != int(target)) | (joined["item"] != joined["target"]))
    return (
        others.group_by("item", "type", "target")
        .agg(quantity=lambda t: t["bought"].sum(), user=lambda t: t["user"].min())
        .order_by("item", "type", "target")
    )


def ranks(scorer: ItemScorer, wanted: Wanted) -> NDArray[np.int64]:
    """Rank every wanted item among its query's candidates: (m,) int64 from 0, or `NEVER`.

    Equal scores are ordered by row. A query without a covered source has no candidates.
    """
    found = np.full(len(wanted.item), NEVER, dtype=np.int64)
    rows_of = _rows_by_query(wanted)
    kept = [rows[scorer.covered[rows]] for rows in wanted.sources]
    asked = [at for at, rows in enumerate(kept) if len(rows) and len(rows_of[at])]
    if not asked:
        return found
    before = np.cumsum([len(kept[at]) for at in asked]) // BATCH_SOURCES
    for part in np.split(np.array(asked, dtype=np.int64), np.flatnonzero(np.diff(before)) + 1):
        scores = merged_scores(scorer, [kept[at] for at in part])
        for at, own in zip(part, scores, strict=True):
            own[wanted.seen[at]] = -np.inf
            found[rows_of[at]] = _ranks_in(own, wanted.item[rows_of[at]])
    return found


def merged_scores(scorer: ItemScorer, sources: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Give each query the best score over its sources, of which it has at least one: (B, I) float32."""
    starts = np.r_[0, np.cumsum([len(rows) for rows in sources])][:-1]
    return np.asarray(np.maximum.reduceat(scorer.scores(np.concatenate(sources)), starts, axis=0))


def hit_rates(rank: NDArray[np.int64], wanted: Wanted, size: int) -> NDArray[np.float64]:
    """Compute h_p = sum of q over hits / sum of q, for candidate sets of `size`: (P,) float64, NaN where q sums to 0.

    Their mean over queries is h^i, equation 3.
    """
    queries = len(wanted.sources)
    hit = np.bincount(wanted.query, weights=wanted.quantity * (rank < size), minlength=queries)
    total = np.bincount(wanted.query, weights=wanted.quantity, minlength=queries)
    return np.asarray(np.divide(hit, total, out=np.full(queries, np.nan), where=total > 0))


def user_interval(
    values: NDArray[np.float64], users: NDArray[np.int64], samples: int, seed: int
) -> tuple[float, float]:
    """Bootstrap the mean of queries by whole users, since the queries of one user depend on each other.

    values: (P,), users: (P,), whose each is. NaN is left out. Gives the 2.5 % and 97.5 % percentiles.
    """
    valid = ~np.isnan(values)
    _, owner = np.unique(users[valid], return_inverse=True)
    sums, counts = np.bincount(owner, weights=values[valid]), np.bincount(owner)
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(sums), size=len(sums)) for _ in range(samples))
    means = [sums[rows].sum() / counts[rows].sum() for rows in drawn]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def coverage(covered: NDArray[np.bool_], active: NDArray[np.int64], events: NDArray[np.int64]) -> tuple[float, float]:
    """Give the covered shares of distinct active items and of their events ("traffic"), as in table 2.

    active: (A,) distinct rows, -1 for items that training never saw; events: (A,) how many events each has.
    """
    known = (active >= 0) & covered[np.maximum(active, 0)]
    return float(known.mean()), float(events[known].sum() / events.sum())


def rows_in(items: NDArray[np.generic], keys: pa.ChunkedArray) -> NDArray[np.int64]:
    """Find keys among ascending items: (n,) int64, -1 where there is none."""
    wanted = keys.to_numpy()
    place = np.minimum(np.searchsorted(items, wanted), len(items) - 1)
    return np.where(items[place] == wanted, place, -1).astype(np.int64)


def _rows_by_query(wanted: Wanted) -> list[NDArray[np.int64]]:
    order = np.argsort(wanted.query, kind="stable")
    bounds = np.searchsorted(wanted.query[order], np.arange(len(wanted.sources) + 1))
    return [order[bounds[at] : bounds[at + 1]] for at in range(len(wanted.sources))]


def _ranks_in(scores: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.full(len(rows), NEVER, dtype=np.int64)
    for at, row in enumerate(rows):
        if row >= 0 and scores[row] > -np.inf:
            found[at] = int((scores > scores[row]).sum() + (scores[:row] == scores[row]).sum())
    return found
