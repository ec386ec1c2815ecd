"""The path index of PDN and greedy retrieval over it, in plain numpy (sections 5.1 and 5.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.features import FeatureTransform, Transforms
from models.pdn import Triggers, direct_inputs, triggers_of, trignet_inputs
from shortlist_training.histories import History
from shortlist_training.pdn.serving_candidates import CandidatePairs
from shortlist_training.pdn.serving_model import ServedPdn
from shortlist_training.timelines import Rows

PAIR_BLOCK = 1 << 18
RANK_BLOCK = 1 << 12


@dataclass(frozen=True)
class PathIndex:
    """neighbours: (N, k) int32, best first, -1 where there are fewer. scores: (N, k) float16 s_ji, -inf beside -1."""

    neighbours: NDArray[np.int32]
    scores: NDArray[np.float16]

    def best(self, k: int) -> "PathIndex":
        """Leave each row's best k, or as many as there are."""
        return PathIndex(self.neighbours[:, :k], self.scores[:, :k])


def path_index(model: ServedPdn, pairs: CandidatePairs, rows: Rows, k: int) -> PathIndex:
    """Rank each trigger's candidates by SimNet and keep the best k, equal scores by lower row.

    `rows` are the trained items that the pairs' triggers and targets are places in.
    """
    size = len(pairs.indptr) - 1
    scores = _similarities(model, pairs, rows)
    neighbours = np.full((size, k), -1, dtype=np.int32)
    weights = np.full((size, k), -np.inf, dtype=np.float16)
    for start in range(0, size, RANK_BLOCK):  # sorting all pairs at once takes 32 bytes of each
        bounds = pairs.indptr[start : start + RANK_BLOCK + 1]
        part = slice(int(bounds[0]), int(bounds[-1]))
        place = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        order = np.lexsort((-scores[part], place))  # stable, and a trigger's targets ascend
        rank = np.arange(len(order)) - (bounds[place] - bounds[0])
        kept = part.start + order[rank < k]
        at = (start + place[rank < k], rank[rank < k])
        neighbours[at], weights[at] = pairs.targets[kept], scores[kept].astype(np.float16)
    return PathIndex(neighbours, weights)


def _similarities(model: ServedPdn, pairs: CandidatePairs, rows: Rows) -> NDArray[np.float32]:
    found = np.empty(len(pairs.targets), dtype=np.float32)
    with torch.no_grad():
        for start in range(0, len(found), PAIR_BLOCK):
            part = slice(start, min(start + PAIR_BLOCK, len(found)))
            triggers = torch.from_numpy(rows[pairs.triggers_at(np.arange(part.start, part.stop))])
            targets = torch.from_numpy(rows[pairs.targets[part]])
            statistics = torch.from_numpy(pairs.statistics[part].astype(np.float32))
            found[part] = model.similarity(triggers, targets, statistics).numpy()
    return found


@dataclass(frozen=True)
class ServedVectors:
    """trigger_vectors: (I, h); item_vectors: (I, d + 1); float32."""

    trigger_vectors: NDArray[np.float32]
    item_vectors: NDArray[np.float32]

    @classmethod
    def of(cls, model: ServedPdn) -> "ServedVectors":
        """Compute both for all items."""
        rows = torch.arange(len(model.items.ids))
        with torch.no_grad():
            return cls(model.trigger_vectors(rows).numpy(), model.item_vectors(rows).numpy())


@dataclass(frozen=True)
class EncodedUser:
    """A user's triggers, t_uj (L,) and [p_u, 1] (d + 1,), float32."""

    triggers: Triggers
    weights: NDArray[np.float32]
    vector: NDArray[np.float32]


def encode_user(
    model: ServedPdn,
    vectors: ServedVectors,
    history: History,
    transforms: Sequence[FeatureTransform],
    max_history: int,
    time_ms: int | None = None,
) -> EncodedUser:
    """Run the torch model for one user. time_ms: None asks an hour later."""
    context, made = history.asking(time_ms), Transforms(transforms)
    triggers = triggers_of(history.rows, history.types, max_history)
    inputs = trignet_inputs(vectors.trigger_vectors, [triggers], [context], made)
    with torch.no_grad():
        weights = model.trignet(*(torch.from_numpy(np.ascontiguousarray(value)) for value in inputs.values()))
        vector = model.direct_user(*(torch.from_numpy(value) for value in direct_inputs([context], made).values()))
    return EncodedUser(triggers, weights.numpy(), vector.numpy()[0])


def retrieve(
    index: PathIndex, triggers: Rows, weights: NDArray[np.float32], direct: NDArray[np.float32], most: int
) -> tuple[Rows, NDArray[np.float32]]:
    """Give a user's candidates, ascending, with s_ui of equation 14: (C,) int64 and (C,) float32.

    triggers: (L,) rows, ascending; weights: (L,) t_uj, of which the `most` largest count, equal ones by lower row.
    direct: (N,) d_ui of all items.
    """
    top = np.argsort(-weights, kind="stable")[:most]
    paths = softplus(index.scores[triggers[top]].astype(np.float32) + weights[top, None])
    neighbours = index.neighbours[triggers[top]]
    there = neighbours >= 0
    candidates, place = np.unique(neighbours[there], return_inverse=True)
    total = np.bincount(place, weights=paths[there], minlength=len(candidates))
    rows = candidates.astype(np.int64)
    return rows, (total + softplus(direct[rows])).astype(np.float32)


def softplus(value: NDArray[np.float32]) -> NDArray[np.float32]:
    """ln(1 + e^x) without overflow."""
    return np.asarray(np.maximum(value, 0.0) + np.log1p(np.exp(-np.abs(value))), dtype=np.float32)


class GreedyScorer:
    """Scores held-out users by the served form: top `most` triggers, k paths of each, equation 14; -inf for the rest.

    direct False leaves the direct net out.
    """

    def __init__(
        self,
        model: ServedPdn,
        index: PathIndex,
        known: Sequence[History],
        transforms: Sequence[FeatureTransform],
        max_history: int,
        *,
        direct: bool,
    ) -> None:
        vectors = ServedVectors.of(model)
        self._index = index
        self._users = [encode_user(model, vectors, history, transforms, max_history) for history in known]
        self._items = vectors.item_vectors
        self._direct = direct

    def score(self, users: Rows, most: int) -> NDArray[np.float32]:
        """Score all items for some users: (B, I) float32."""
        found = np.full((len(users), len(self._items)), -np.inf, dtype=np.float32)
        nothing = np.full(len(self._items), -np.inf, dtype=np.float32)
        for place, user in enumerate(users):
            one = self._users[int(user)]
            direct = self._items @ one.vector if self._direct else nothing
            rows, scores = retrieve(self._index, one.triggers.rows, one.weights, direct, most)
            found[place, rows] = scores
        return found
