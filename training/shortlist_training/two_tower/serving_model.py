"""The two towers as they are served: the query tower reads vectors of items, so its graph holds no table of them.

`models.two_tower` makes the query tower's inputs, here and when serving. Both towers share the items' embeddings.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.features import FeatureTransform
from shortlist_training.config_sources import TwoTowerSettings
from shortlist_training.sources.content import ItemContent, ItemEncoder
from shortlist_training.sources.people import UserEncoder, dense


class QueryTower(nn.Module):
    """u(x): mean of the history's item vectors, seed item's vector, user features (section 3.2)."""

    def __init__(self, item_width: int, transforms: Sequence[FeatureTransform], settings: TwoTowerSettings) -> None:
        super().__init__()
        self.users = UserEncoder(transforms, settings.users.dim)
        self.layers = dense([2 * item_width + self.users.width, *settings.hidden])
        self.dim = settings.hidden[-1]

    def forward(
        self, history_vectors: Tensor, history_weights: Tensor, seed_vector: Tensor, *features: Tensor
    ) -> Tensor:
        """Encode (B, T, e) histories with weights (B, T), 0 being padding, seeds (B, e) and features (B,): (B, K)."""
        total = history_weights.sum(dim=1, keepdim=True)
        mean = (history_vectors * history_weights.unsqueeze(-1)).sum(dim=1) / torch.clamp(total, min=1.0)
        names = [each.name for each in self.users.transforms]
        return self.of_mean(mean, seed_vector, dict(zip(names, features, strict=True)))

    def of_mean(self, mean: Tensor, seed_vector: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        """Encode users whose history is averaged already, (B, e), zeros for none: (B, K)."""
        people = [self.users(features)] if self.users.transforms else []
        vectors: Tensor = self.layers(torch.cat([mean, seed_vector, *people], dim=1))
        return vectors


class ServedTwoTower(nn.Module):
    """Scores <u(x), v(y)>."""

    def __init__(
        self, content: ItemContent, transforms: Sequence[FeatureTransform], settings: TwoTowerSettings
    ) -> None:
        super().__init__()
        self.items = ItemEncoder(content, settings.items, settings.id_dropout, sparse=True)
        self.query = QueryTower(self.items.width, transforms, settings)
        self.item = dense([self.items.width + self.items.details_width, *settings.hidden])

    def item_vectors(self, rows: Tensor) -> Tensor:
        """Encode (N,) items, v(y): (N, K)."""
        vectors: Tensor = self.item(torch.cat([self.items(rows), self.items.details(rows)], dim=1))
        return vectors

    def query_vectors(self, rows: Tensor, offsets: Tensor, seeds: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        """Encode B users: (B, K). `rows` are all histories, user b's begins at offsets[b]; seeds (B,), -1 for none."""
        wanted = torch.cat([rows, seeds.clamp(min=0)])
        distinct, places = torch.unique(wanted, return_inverse=True)
        vectors = self.items(distinct)
        mean = functional.embedding_bag(places[: len(rows)], vectors, offsets, mode="mean")
        seed_vectors = vectors[places[len(rows) :]] * (seeds >= 0).unsqueeze(1)
        return self.query.of_mean(mean, seed_vectors, features)
