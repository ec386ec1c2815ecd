"""PDN's item index (section 5.2): candidate pairs from the log and from profiles, ranked by SimNet, best k kept."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist_training.pdn.cooccurrence import STATISTICS
from shortlist_training.pdn.features import Profiles
from shortlist_training.pdn.model import Pdn, to_tensor
from shortlist_training.pdn.train import pair_buckets
from shortlist_training.pdn.views import View
from shortlist_training.timelines import Rows


@dataclass(frozen=True)
class Index:
    """The k items most related to each item. items: (I, k) int64, best first. similarity: (I, k) float32, s_ji.

    rest: (I,) float32, the logarithm of the mean e^s_ji over the candidates that did not stay: what a pair weighs that
    is not in the index; -inf where all stayed.
    """

    items: Rows
    similarity: NDArray[np.float32]
    rest: NDArray[np.float32]


def candidate_pairs(item: int, view: View, profiles: Profiles, by_log: int, by_profile: int) -> Rows:
    """List candidates for one trigger, ascending: at least max(by_log, by_profile) of them, without itself.

    `by_log`: the items with most users in common. `by_profile`: those that share most genres, of these the nearest in
    years, of these the most popular; pairs that nobody has yet come in here.
    """
    together = view.buckets[STATISTICS.index("count"), item].astype(np.int64)
    cosine = view.buckets[STATISTICS.index("cosine"), item]
    from_log = np.lexsort((-cosine.astype(np.int64), -together))
    from_log = from_log[together[from_log] > 0]
    norm = np.linalg.norm(profiles.genres, axis=1)
    shared = np.round(profiles.genres @ profiles.genres[item] / (norm * norm[item]), 4)
    years = np.abs(profiles.items.codes[:, 0] - profiles.items.codes[item, 0])
    from_profile = np.lexsort((-view.popularity, years, -shared))
    parts = [rows[rows != item][:wanted] for rows, wanted in ((from_log, by_log), (from_profile, by_profile))]
    return np.unique(np.concatenate(parts))


def build_index(model: Pdn, view: View, profiles: Profiles, k: int, by_log: int, by_profile: int) -> Index:
    """Score each item's candidates by SimNet and keep the best k; equal scores by lower row."""
    size = len(profiles.genres)
    rest = np.full(size, -np.inf, dtype=np.float32)
    items = np.empty((size, k), dtype=np.int64)
    similarity = np.empty((size, k), dtype=np.float32)
    popularity = to_tensor(view.popularity)
    with torch.no_grad():
        for item in range(size):
            rows = candidate_pairs(item, view, profiles, by_log, by_profile)
            trigger = np.array([item])
            buckets = torch.from_numpy(pair_buckets(view, trigger, rows))
            found = model.similarity(to_tensor(trigger), to_tensor(rows), buckets, popularity)[0].numpy()
            order = np.argsort(-found, kind="stable")
            items[item], similarity[item] = rows[order[:k]], found[order[:k]]
            if len(order) > k:
                rest[item] = np.log(np.exp(found[order[k:]]).mean())
    return Index(items, similarity, rest)
