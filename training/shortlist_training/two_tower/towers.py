"""The query tower and the item tower (section 3.2, figures 1 and 5), and the paper's baseline without an item tower."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from shortlist_training.two_tower.features import PADDING, UNKNOWN, FeatureSpec, FeatureTable

EMBEDDING_STD = 0.05  # small against the ReLU layers' own initialisation, so that no feature dominates at the start


def embedding_tables(sizes: Mapping[str, int], specs: Sequence[FeatureSpec]) -> nn.ModuleDict:
    """Make one table (size, dim) per vocabulary that the specs name; the towers share them, as in Yi et al. 2019."""
    tables = nn.ModuleDict()
    for spec in specs:
        if spec.kind == "dense":
            continue
        if spec.vocabulary not in tables:
            table = nn.Embedding(sizes[spec.vocabulary], spec.dim, padding_idx=PADDING)
            nn.init.normal_(table.weight, std=EMBEDDING_STD)
            with torch.no_grad():
                table.weight[PADDING] = 0.0
            tables[spec.vocabulary] = table
        found = tables[spec.vocabulary].embedding_dim
        if found != spec.dim:
            message = f"feature {spec.name} asks for dim {spec.dim} of table {spec.vocabulary}, which has {found}"
            raise ValueError(message)
    return tables


class Tower(nn.Module):
    """Embeds features, concatenates them, and applies feed-forward layers: ReLU between them, none after the last.

    hidden: layer widths; the last is K, the embedding dimension. The paper compares unnormalised inner products;
    `normalize` divides the output by its length.
    """

    def __init__(
        self, specs: Sequence[FeatureSpec], tables: nn.ModuleDict, hidden: Sequence[int], *, normalize: bool = False
    ) -> None:
        super().__init__()
        self.specs = tuple(specs)
        self.tables = tables
        self.normalize = normalize
        widths = [sum(spec.dim for spec in specs), *hidden]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Map a batch of features to vectors: (B, K) float32."""
        state = torch.cat([self._embed(spec, features[spec.name]) for spec in self.specs], dim=1)
        for number, layer in enumerate(self.layers):
            state = layer(functional.relu(state) if number else state)
        return functional.normalize(state, dim=1) if self.normalize else state

    def _embed(self, spec: FeatureSpec, values: Tensor) -> Tensor:
        if spec.kind == "dense":
            return values.unsqueeze(1)
        embedded: Tensor = self.tables[spec.vocabulary](values)
        if spec.kind == "sparse":
            return embedded
        # padding embeds to zeros, so only the count needs the mask; a query without values gets zeros
        return embedded.sum(dim=1) / (values != PADDING).sum(dim=1, keepdim=True).clamp(min=1)


class TwoTower(nn.Module):
    """Scores <u(x), v(y)> with one tower for queries and one for items.

    catalogue: the features of all I items. id_feature: the item tower's own-id column; in training its value becomes
    unknown with probability `id_dropout`, so that content and the unknown bucket learn to stand for a new item.
    """

    def __init__(
        self, query: Tower, item: Tower, catalogue: FeatureTable, *, id_feature: str, id_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.query = query
        self.item = item
        self.catalogue = catalogue
        self.id_feature = id_feature
        self.id_dropout = id_dropout

    def query_vectors(self, features: Mapping[str, Tensor]) -> Tensor:
        """Encode queries, u(x): (B, K)."""
        vectors: Tensor = self.query(features)
        return vectors

    def item_vectors(self, rows: Tensor) -> Tensor:
        """Encode items by their places in the catalogue, v(y): (N, K)."""
        features = self.catalogue.rows(rows)
        if self.training and self.id_dropout > 0.0:
            ids = features[self.id_feature]
            features[self.id_feature] = torch.where(torch.rand(len(ids)) < self.id_dropout, UNKNOWN, ids)
        vectors: Tensor = self.item(features)
        return vectors


class SoftmaxMlp(nn.Module):
    """The baseline (section 5.1): a query tower and one free vector and bias per item, no item content.

    The bias is the last component of an item's vector, and the query's is 1, so scores are inner products here too.
    """

    def __init__(self, query: Tower, items: int, dim: int) -> None:
        super().__init__()
        self.query = query
        self.classes = nn.Parameter(torch.randn(items, dim) * EMBEDDING_STD)
        self.bias = nn.Parameter(torch.zeros(items))

    def query_vectors(self, features: Mapping[str, Tensor]) -> Tensor:
        """Encode queries and append 1: (B, K + 1)."""
        vectors = self.query(features)
        return torch.cat([vectors, torch.ones_like(vectors[:, :1])], dim=1)

    def item_vectors(self, rows: Tensor) -> Tensor:
        """Gather classes with their biases: (N, K + 1)."""
        return torch.cat([self.classes[rows], self.bias[rows].unsqueeze(1)], dim=1)
