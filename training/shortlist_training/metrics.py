"""Ranking metrics of the Mult-VAE protocol (Liang et al. 2018), per user, and their bootstrap intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

RECALL_AT = (20, 50)
NDCG_AT = 100
SELECTION = f"ndcg@{NDCG_AT}"
NAMES = (*(f"recall@{k}" for k in RECALL_AT), SELECTION)

BATCH_USERS = 256
BATCH_SCORES = 1 << 25
"""Scores in memory at once, 128 MiB of them: with more than 131,072 items a batch has fewer users."""
DECILES = 10

Scorer: TypeAlias = Callable[[sp.csr_matrix], NDArray[np.float32]]
PerUser: TypeAlias = Mapping[str, NDArray[np.float64]]


def user_batches(users: int, items: int) -> list[slice]:
    """Cut users into batches of `BATCH_USERS`, or fewer where their scores of all items would be too many."""
    size = max(1, min(BATCH_USERS, BATCH_SCORES // max(items, 1)))
    return [slice(start, min(start + size, users)) for start in range(0, users, size)]


def top_rows(scores: NDArray[np.float32], seen: sp.csr_matrix, k: int) -> NDArray[np.int64]:
    """Rank rows by score without the seen ones: (U, min(k, I)) int64, best first, equal scores by lower row."""
    order = -scores
    order[seen.nonzero()] = np.inf
    size = min(k, order.shape[1])
    ranked = np.empty((len(order), size), dtype=np.int64)
    if size:
        last = np.partition(order, size - 1, axis=1)[:, size - 1 :][:, :1]
        for user, within in enumerate(order <= last):  # sorting whole rows takes most of an evaluation
            rows = np.flatnonzero(within)
            ranked[user] = rows[np.argsort(order[user, rows], kind="stable")[:size]]
    return ranked


def per_user_metrics(ranked: NDArray[np.int64], targets: sp.csr_matrix) -> PerUser:
    """Compare ranked rows (U, K) with the target matrix (U, I); every user has at least one target.

    recall@k = hits in the top k / min(k, targets). NDCG@k has gain 1 per hit and discount 1 / log2(rank + 1), divided
    by that of min(k, targets) hits at the top.
    """
    users = np.arange(len(ranked))[:, None]
    hits = np.asarray(targets[users, ranked].todense()) > 0
    wanted = np.diff(targets.indptr)
    found: dict[str, NDArray[np.float64]] = {
        f"recall@{k}": hits[:, :k].sum(1) / np.minimum(wanted, k) for k in RECALL_AT
    }
    discount = 1.0 / np.log2(np.arange(2, NDCG_AT + 2))
    gained = hits[:, :NDCG_AT] @ discount[: min(NDCG_AT, hits.shape[1])]
    found[SELECTION] = gained / np.cumsum(discount)[np.minimum(wanted, NDCG_AT) - 1]
    return found


def evaluate_scores(score: Scorer, inputs: sp.csr_matrix, targets: sp.csr_matrix) -> PerUser:
    """Score, rank and measure all users, some at a time since scores are dense.

    `score` turns a (B, I) input matrix into (B, I) float32 scores.
    """
    parts = []
    for part in user_batches(*inputs.shape):
        ranked = top_rows(score(inputs[part]), inputs[part], max(NDCG_AT, *RECALL_AT))
        parts.append(per_user_metrics(ranked, targets[part]))
    return {name: np.concatenate([part[name] for part in parts]) for name in NAMES}


def interval(values: NDArray[np.float64], samples: int, seed: int) -> tuple[float, float]:
    """Bootstrap the mean over users: its 2.5 % and 97.5 % percentiles."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(samples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def ratio_interval(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64], samples: int, seed: int
) -> tuple[float, float]:
    """Bootstrap the ratio of the sums of two per-user values, both (U,), users with both of theirs: 2.5 %, 97.5 %.

    Samples whose denominators are all 0 say nothing and are left out; some denominator has to be above 0.
    """
    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(samples):
        drawn = rng.integers(len(numerators), size=len(numerators))
        if denominators[drawn].any():
            ratios.append(numerators[drawn].sum() / denominators[drawn].sum())
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


def deciles(popularity: NDArray[np.floating] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Number items 0 (least popular tenth) to 9: (I,); equal counts in the order of their rows."""
    place = np.empty(len(popularity), dtype=np.int64)
    place[np.argsort(popularity, kind="stable")] = np.arange(len(popularity))
    return place * DECILES // len(popularity)


def fold_in(
    histories: Sequence[NDArray[np.int64]], share: float, seed: int
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Split each history at random into input (`share` of it) and targets, at least one item each.

    Histories with fewer than two items are left out: they cannot have both.
    """
    rng = np.random.default_rng(seed)
    inputs, targets = [], []
    for history in histories:
        if len(history) < 2:  # noqa: PLR2004
            continue
        shuffled = rng.permutation(history)
        cut = min(max(1, int(share * len(history))), len(history) - 1)
        inputs.append(shuffled[:cut])
        targets.append(shuffled[cut:])
    return inputs, targets
