"""Greedy path retrieval, steps 2 and 3 of section 5.1: top-m triggers, top-k items of each, merged by eq. 14."""

import numpy as np

from shortlist_training.leave_one_out import Scorer
from shortlist_training.pdn.inference import Float, Served, softplus
from shortlist_training.pdn.pairs import Index
from shortlist_training.timelines import Rows


def greedy_scorer(served: Served, index: Index, triggers: int) -> Scorer:
    """Score by s_ui of eq. 14: only the user's top `triggers` of t_uj, only paths that are in the index.

    An item that no path leads to is no candidate and scores -inf, whatever its direct weight. Equal trigger weights:
    lower row.
    """

    def score(users: Rows) -> Float:
        found = np.full((len(users), len(index.items)), -np.inf, dtype=np.float32)
        for row, user in enumerate(users):
            items, total = retrieve(served, index, int(user), triggers)
            found[row, items] = total
        return found

    return score


def retrieve(served: Served, index: Index, user: int, triggers: int) -> tuple[Rows, Float]:
    """Give one user's candidates, ascending, with their s_ui: (C,) int64 and (C,) float32.

    A path that is not in the index weighs what its trigger's pairs outside of the index weigh on average: eq. 14 sums
    over all m triggers, and where every path has a weight to begin with, to leave it out would be a verdict.
    """
    items, weight = served.triggers_of(user)
    top = np.argsort(-weight, kind="stable")[:triggers]
    rest = softplus(index.rest[items[top]] + weight[top])
    paths = softplus(index.similarity[items[top]] + weight[top, None]) - rest[:, None]
    candidates, place = np.unique(index.items[items[top]], return_inverse=True)
    total = np.bincount(place.ravel(), weights=paths.ravel(), minlength=len(candidates)).astype(np.float32)
    total += rest.sum()
    return candidates, total + served.direct_weight(np.array([user]), served.items[candidates])[0]
