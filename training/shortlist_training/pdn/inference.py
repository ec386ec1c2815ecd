"""PDN at serving time: every trigger counts (full), or only top-m triggers and top-k neighbours (eq. 14).

The bias net is dropped. What is static is computed once: s_ji of all pairs, t_uj of all of a user's triggers, p_u, q_i.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch.nn import functional

from shortlist_training.pdn.features import activity_codes
from shortlist_training.pdn.model import Pdn, to_tensor
from shortlist_training.pdn.views import View
from shortlist_training.timelines import Rows

ROWS = 128

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Served:
    """A model's static answers.

    history: (U, I) incidence, the triggers. similarity: (I, I) float32 s_ji as [j, i]; -inf on the diagonal, an item
    is no path to itself. trigger: (nnz,) float32 t_uj in the order of history.indices. people (U, k), items (I, k):
    p_u and q_i. direct_start: what is added to their product; direct: whether there is a direct net.
    """

    history: sp.csr_matrix
    similarity: Float
    trigger: Float
    people: Float
    items: Float
    direct_start: float
    direct: bool

    def triggers_of(self, user: int) -> tuple[Rows, Float]:
        """Give a user's trigger items and their weights t_uj: (n,) and (n,)."""
        rows = slice(self.history.indptr[user], self.history.indptr[user + 1])
        return self.history.indices[rows].astype(np.int64), self.trigger[rows]

    def score_all(self, users: Rows) -> Float:
        """Score all items by all paths, eq. 12 without bias: (B, I)."""
        found = self.direct_weight(users, self.items)
        for row, user in enumerate(users):
            items, weight = self.triggers_of(int(user))
            found[row] += softplus(self.similarity[items] + weight[:, None]).sum(0)
        return found

    def score_pairs(self, users: Rows, candidates: Rows) -> Float:
        """Score each user's own (B, C) candidates by all paths: (B, C)."""
        found = np.empty(candidates.shape, dtype=np.float32)
        for row, user in enumerate(users):
            items, weight = self.triggers_of(int(user))
            wanted = candidates[row]
            found[row] = softplus(self.similarity[items[:, None], wanted] + weight[:, None]).sum(0)
            found[row] += self.direct_weight(np.array([user]), self.items[wanted])[0]
        return found

    def direct_weight(self, users: Rows, items: Float) -> Float:
        """softplus(d_ui) for (B,) users and (P, k) item representations: (B, P)."""
        if not self.direct:
            return np.zeros((len(users), len(items)), dtype=np.float32)
        return softplus(self.people[users] @ items.T + np.float32(self.direct_start))


def serve(model: Pdn, history: sp.csr_matrix, view: View, similarity: Float | None = None) -> Served:
    """Compute the static answers of a model for all users and items; pairs go through SimNet in blocks of rows.

    similarity: what `similarity_matrix` gave for the same SimNet and view, where there are answers of it already.
    """
    activity, popularity = to_tensor(activity_codes(history)), to_tensor(view.popularity)
    late = torch.from_numpy(view.late)
    users, items = torch.arange(history.shape[0]), torch.arange(history.shape[1])
    owner = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr))
    with torch.no_grad():
        weight = [
            model.triggers(users, activity, to_tensor(people), to_tensor(own), popularity, late).numpy()
            for people, own in zip(_blocks(owner), _blocks(history.indices), strict=True)
        ]
        people = model.direct_user(users, activity).numpy()
        targets = model.direct_item(items, popularity).numpy()
    return Served(
        history=history,
        similarity=similarity_matrix(model, view) if similarity is None else similarity,
        trigger=np.concatenate([np.empty(0, dtype=np.float32), *weight]),
        people=people,
        items=targets,
        direct_start=model.config.direct_start,
        direct=model.config.direct,
    )


def similarity_matrix(model: Pdn, view: View) -> Float:
    """Compute s_ji for all pairs: (I, I) float32, -inf on the diagonal."""
    size = view.buckets.shape[1]
    popularity, items = to_tensor(view.popularity), torch.arange(size)
    found = np.empty((size, size), dtype=np.float32)
    with torch.no_grad():
        for start in range(0, size, ROWS):
            rows = torch.arange(start, min(start + ROWS, size))
            block = view.buckets[:, start : start + ROWS].transpose(1, 2, 0)
            buckets = torch.from_numpy(np.ascontiguousarray(block, dtype=np.int64))
            found[start : start + ROWS] = model.similarity(rows, items, buckets, popularity).numpy()
    np.fill_diagonal(found, -np.inf)
    return found


def softplus(logit: Float) -> Float:
    """ln(1 + e^x) without overflow, float32; torch's is several times as fast as numpy's."""
    return np.asarray(functional.softplus(torch.from_numpy(logit)).numpy())


def _blocks(rows: NDArray[np.int_], size: int = 1 << 16) -> list[NDArray[np.int64]]:
    return [rows[start : start + size].astype(np.int64) for start in range(0, len(rows), size)]
