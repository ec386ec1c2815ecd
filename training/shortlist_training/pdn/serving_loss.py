"""What greedy retrieval (section 5.1) loses against the whole model, over m triggers and k neighbours of each.

The whole model is the one that was trained: equation 12 for all items, over the paths from all triggers of the history
that it takes to all of their candidates. Items that no path leads to have the direct net's part alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist_training.config_sources import PdnSettings
from shortlist_training.histories import HeldOut
from shortlist_training.metrics import RECALL_AT, per_user_metrics, ratio_interval, top_rows, user_batches
from shortlist_training.pdn.serving_index import EncodedUser, PathIndex, softplus
from shortlist_training.records import GreedyLoss, GreedyReport, Score
from shortlist_training.sources.ranking import TOP

METRIC = f"recall@{RECALL_AT[0]}"
TRIGGERS = (10, 20, 50, 100, 200)
NEIGHBOURS = (10, 20, 50, 100, 200)

Recalls = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Numbers of triggers m and of neighbours k, both ascending."""

    triggers: Sequence[int]
    neighbours: Sequence[int]

    @classmethod
    def of(cls, settings: PdnSettings) -> "Grid":
        """Lay out numbers up to all triggers and all candidates, the published ones among them."""
        candidates = settings.by_log + settings.by_profile
        triggers = {m for m in TRIGGERS if m < settings.max_history} | {settings.triggers, settings.max_history}
        neighbours = {k for k in NEIGHBOURS if k < candidates} | {settings.neighbours, candidates}
        return cls(sorted(triggers), sorted(neighbours))


@dataclass(frozen=True)
class Paths:
    """An index of all candidates, and U users whose triggers are weighed.

    item_vectors: (I, d + 1) float32, None without the direct net.
    """

    index: PathIndex
    users: Sequence[EncodedUser]
    item_vectors: NDArray[np.float32] | None

    def direct(self, part: slice) -> NDArray[np.float32]:
        """Give softplus(d_ui) of some users and all items: (B, I), 0 without the direct net."""
        if self.item_vectors is None:
            return np.zeros((len(self.users[part]), len(self.index.neighbours)), dtype=np.float32)
        people = np.stack([user.vector for user in self.users[part]])
        return softplus(people @ self.item_vectors.T)


def greedy_report(paths: Paths, held_out: HeldOut, grid: Grid, samples: int, seed: int) -> GreedyReport:
    """Compare Recall@20 of every m and k with the whole model's, user by user."""
    found, whole = recalls(paths, held_out, grid)
    losses = [
        GreedyLoss(triggers, neighbours, float(one.mean()), lost(one, whole, samples, seed))
        for (triggers, neighbours), one in found.items()
    ]
    return GreedyReport(len(whole), float(whole.mean()), losses)


def lost(found: Recalls, whole: Recalls, samples: int, seed: int) -> Score:
    """Say which part of the whole's recall is not found, with its paired interval; nothing is lost of nothing."""
    if not whole.any():
        return Score(0.0, 0.0, 0.0)
    low, high = ratio_interval(found, whole, samples, seed)
    return Score(1.0 - float(found.mean() / whole.mean()), 1.0 - high, 1.0 - low)


def recalls(paths: Paths, held_out: HeldOut, grid: Grid) -> tuple[Mapping[tuple[int, int], Recalls], Recalls]:
    """Measure users: (U,) by (m, k), and those of the whole model."""
    parts: dict[tuple[int, int], list[Recalls]] = {}
    whole = []
    for part in user_batches(*held_out.inputs.shape):
        direct = paths.direct(part)
        for cell, scores in _greedy(paths, part, direct, grid):
            parts.setdefault(cell, []).append(_measured(scores, held_out, part))
        every = Grid([max(len(user.weights) for user in paths.users[part])], [paths.index.neighbours.shape[1]])
        for _, scores in _greedy(paths, part, direct, every):
            whole.append(_measured(np.where(scores > -np.inf, scores, direct), held_out, part))
    return {cell: np.concatenate(found) for cell, found in parts.items()}, np.concatenate(whole)


def _greedy(
    paths: Paths, part: slice, direct: NDArray[np.float32], grid: Grid
) -> Iterator[tuple[tuple[int, int], NDArray[np.float32]]]:
    """Give (m, k) and the scores of equation 14, (B, I), -inf where no path leads.

    A path counts for every larger m, so that all m cost as much as the largest alone.
    """
    users = [(user, np.argsort(-user.weights, kind="stable")) for user in paths.users[part]]
    for k in grid.neighbours:
        total = np.zeros_like(direct)
        found: NDArray[np.bool_] = np.zeros(direct.shape, dtype=np.bool_)
        for before, m in zip([0, *grid.triggers[:-1]], grid.triggers, strict=True):
            for row, (user, order) in enumerate(users):
                chosen = order[before:m]
                _add(paths.index, user, chosen, k, total[row], found[row])
            yield (m, k), np.where(found, total + direct, np.float32(-np.inf))


def _add(
    index: PathIndex,
    user: EncodedUser,
    chosen: NDArray[np.int64],
    k: int,
    total: NDArray[np.float32],
    found: NDArray[np.bool_],
) -> None:
    """Add the paths from some of a user's triggers, k of each, to `total` (I,)."""
    rows = user.triggers.rows[chosen]
    neighbours = index.neighbours[rows, :k]
    there = neighbours >= 0
    weights = softplus(index.scores[rows, :k].astype(np.float32) + user.weights[chosen, None])
    total += np.bincount(neighbours[there], weights=weights[there], minlength=len(total)).astype(np.float32)
    found[neighbours[there]] = True


def _measured(scores: NDArray[np.float32], held_out: HeldOut, part: slice) -> Recalls:
    ranked = top_rows(scores, held_out.inputs[part], TOP)
    return per_user_metrics(ranked, held_out.targets[part])[METRIC]
