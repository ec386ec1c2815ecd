"""Ranks all trained items for held-out users, some at a time: like `metrics.evaluate_scores`, for scorers of users."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shortlist_training.histories import HeldOut
from shortlist_training.metrics import NAMES, NDCG_AT, RECALL_AT, PerUser, per_user_metrics, top_rows, user_batches

TOP = max(NDCG_AT, *RECALL_AT)

UserScorer: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Turns places (B,) among the held-out users into scores (B, I) float32; -inf for what cannot be found."""


def rank_users(score: UserScorer, held_out: HeldOut) -> NDArray[np.int64]:
    """Rank rows without the input's: (U, min(100, I)) int64, best first, equal scores by lower row."""
    users = np.arange(held_out.inputs.shape[0])
    parts = user_batches(*held_out.inputs.shape)
    return np.concatenate([top_rows(score(users[part]), held_out.inputs[part], TOP) for part in parts])


def measure(ranked: NDArray[np.int64], held_out: HeldOut) -> PerUser:
    """Give Recall@20, Recall@50 and NDCG@100 of every user."""
    parts = [per_user_metrics(ranked[part], held_out.targets[part]) for part in user_batches(*held_out.targets.shape)]
    return {name: np.concatenate([part[name] for part in parts]) for name in NAMES}


def measured(score: UserScorer, held_out: HeldOut) -> PerUser:
    """Rank and measure."""
    return measure(rank_users(score, held_out), held_out)
