"""Leave-one-out evaluation: each user's one held-out item is ranked, by HR@k and NDCG@k (He et al. 2017, NCF).

Two protocols that must never be mixed. "sampled": the item is ranked among itself and the negatives drawn for its user,
99 in NCF's split. "all": it is ranked among all items that the user's history does not have. In both, an item with
the same score as the target counts as ranked before it: a model that cannot tell items apart gains nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import ibis
import numpy as np
import scipy.sparse as sp
from ibis import ir
from numpy.typing import NDArray

from shortlist_training.metrics import interval
from shortlist_training.timelines import Rows

BATCH_USERS = 64
NEGATIVES = 99

Scorer: TypeAlias = Callable[[Rows], NDArray[np.float32]]
"""Scores all items for some users: (B,) int64 user rows to (B, I) float32, higher is better."""

PairScorer: TypeAlias = Callable[[Rows, Rows], NDArray[np.float32]]
"""Scores each user's own candidates: (B,) user rows and (B, C) item rows to (B, C) float32."""


@dataclass(frozen=True)
class Cases:
    """What is asked of a model, and what it may know.

    history: (U, I) float32 incidence of the known interactions, without the targets. targets: (U,) int64 item rows.
    negatives: (U, C) int64 item rows that the user has not interacted with.
    """

    history: sp.csr_matrix
    targets: Rows
    negatives: Rows

    def candidates(self, users: Rows) -> Rows:
        """Put each target before its negatives: (B, 1 + C) int64."""
        return np.concatenate([self.targets[users, None], self.negatives[users]], axis=1)


@dataclass(frozen=True)
class Ranks:
    """Place of each user's target, 1 is best, (U,) int64: among the sampled negatives, and among all unseen items."""

    sampled: Rows
    all: Rows


def read_cases(interactions: Path, negatives: Path) -> Cases:
    """Read NCF's split: rows of (ncf_user, ncf_item, is_test), and per user the list of `negatives`."""
    connection = ibis.duckdb.connect()
    log = connection.read_parquet(interactions).select("ncf_user", "ncf_item", "is_test").distinct()
    items = int(log.ncf_item.max().to_pyarrow().as_py()) + 1
    known = _columns(log.filter(~log.is_test).order_by("ncf_user", "ncf_item"), "ncf_user", "ncf_item")
    test = _columns(log.filter(log.is_test).order_by("ncf_user"), "ncf_user", "ncf_item")
    drawn = connection.read_parquet(negatives).order_by("ncf_user").to_pyarrow()
    users = len(test[0])
    if not np.array_equal(test[0], np.arange(users)):
        message = f"{interactions}: every user 0..U-1 needs exactly one test row"
        raise ValueError(message)
    history = sp.csr_matrix((np.ones(len(known[0]), dtype=np.float32), known), shape=(users, items))
    lists = np.asarray(drawn["negatives"].to_pylist(), dtype=np.int64)
    return Cases(history, test[1], lists)


def hold_out_one(
    history: sp.csr_matrix,
    seed: int,
    negatives: int = NEGATIVES,
    rarity: float = 0.0,
    odds: sp.csr_matrix | None = None,
) -> Cases:
    """Take one random item of each history as target, and draw distinct negatives from what the user never had.

    For choosing hyperparameters. Every user needs two items or more. rarity: r above 0 draws the target by count^-r
    instead, count being the item's users: a stand-in for the newest item, which is rarer than the others. odds: draw by
    these instead, one for each entry of the history.
    """
    rng = np.random.default_rng(seed)
    users, items = history.shape
    chance = np.maximum(np.asarray(history.sum(axis=0)).ravel(), 1.0) ** -rarity
    targets = np.zeros(users, dtype=np.int64)
    drawn = np.zeros((users, negatives), dtype=np.int64)
    for user in range(users):
        rows = slice(history.indptr[user], history.indptr[user + 1])
        known = history.indices[rows]
        wanted = chance[known] if odds is None else odds.data[rows]
        targets[user] = rng.choice(known, p=wanted / wanted.sum() if rarity or odds is not None else None)
        drawn[user] = _unknown(known, items, rng, negatives)
    kept = history.copy()
    kept[np.arange(users), targets] = 0
    kept.eliminate_zeros()
    return Cases(kept.tocsr(), targets, drawn)


def draw_unknown(history: sp.csr_matrix, rng: np.random.Generator, negatives: int = NEGATIVES) -> Rows:
    """Draw distinct items that each user does not have, all of these alike: (U, negatives) int64.

    Raises ValueError where a user has too many items for that.
    """
    ends = zip(history.indptr, history.indptr[1:], strict=False)
    return np.stack([_unknown(history.indices[start:end], history.shape[1], rng, negatives) for start, end in ends])


def ranks(score: Scorer, cases: Cases, judged: int | None = None) -> Ranks:
    """Rank every target by both protocols, from one scoring of all items; users are scored in batches.

    judged: rank only the targets of the first so many users.
    """
    sampled, full = [], []
    for users in batches(min(len(cases.targets), judged or len(cases.targets))):
        scores = score(users)
        sampled.append(_place(np.take_along_axis(scores, cases.candidates(users), axis=1)))
        target = np.take_along_axis(scores, cases.targets[users, None], axis=1)
        unseen = cases.history[users].toarray() == 0
        full.append(((scores >= target) & unseen).sum(1))  # the target itself is unseen, so it counts as the 1
    return Ranks(np.concatenate(sampled).astype(np.int64), np.concatenate(full).astype(np.int64))


def sampled_ranks(score: PairScorer, cases: Cases) -> Rows:
    """Rank every target among its sampled negatives only: (U,) int64."""
    parts = [_place(score(users, cases.candidates(users))) for users in batches(len(cases.targets))]
    return np.concatenate(parts).astype(np.int64)


def batches(users: int, size: int = BATCH_USERS) -> list[Rows]:
    """Cut the user rows 0..U-1 into runs of `size`."""
    return [np.arange(start, min(start + size, users)) for start in range(0, users, size)]


def hits(places: Rows, k: int) -> NDArray[np.float64]:
    """HR@k per user: 1 where the target is in the top k."""
    return (places <= k).astype(np.float64)


def ndcg(places: Rows, k: int) -> NDArray[np.float64]:
    """NDCG@k per user with one relevant item: 1 / log2(rank + 1) in the top k, else 0."""
    return np.where(places <= k, 1.0 / np.log2(places + 1.0), 0.0)


@dataclass(frozen=True)
class Measured:
    """A mean over users with its bootstrap 95 % interval."""

    value: float
    low: float
    high: float


def measured(values: NDArray[np.float64], seed: int, samples: int = 1000) -> Measured:
    """Average per-user values."""
    return Measured(float(values.mean()), *interval(values, samples, seed))


def history_scorer(history: sp.csr_matrix, weights: NDArray[np.float32]) -> Scorer:
    """Score by an item-to-item matrix: the sum of weights[j, i] over the user's items j."""
    return lambda users: np.asarray(history[users] @ weights, dtype=np.float32)


def _unknown(known: NDArray[np.int32], items: int, rng: np.random.Generator, negatives: int) -> Rows:
    taken = np.zeros(items, dtype=np.bool_)
    taken[known] = True
    return rng.choice(np.flatnonzero(~taken), size=negatives, replace=False).astype(np.int64)


def _columns(table: ir.Table, *names: str) -> tuple[Rows, ...]:
    found = table.to_pyarrow()
    return tuple(found[name].to_numpy().astype(np.int64) for name in names)


def _place(scores: NDArray[np.float32]) -> Rows:
    """Place of column 0, ties before it: (B,)."""
    place: Rows = (scores >= scores[:, :1]).sum(1)
    return place
