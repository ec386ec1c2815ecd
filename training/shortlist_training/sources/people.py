"""What a model reads of users: the inputs that `models.features` makes, embedded."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.features import UNKNOWN, FeatureTransform, Transforms, UserContext

UNKNOWN_SHARE = 0.02
"""How often a category is called unknown in training, so that values met only when serving have a trained row."""

EMBEDDING_STD = 0.05


class UserEncoder(nn.Module):
    """Embeds categories and buckets, passes numbers on, and concatenates: (B, width) float32."""

    def __init__(self, transforms: Sequence[FeatureTransform], dim: int) -> None:
        super().__init__()
        self.transforms = tuple(transforms)
        self.tables = nn.ModuleDict(
            {each.name: _table(each.size, dim) for each in self.transforms if each.kind != "number"}
        )
        self.width = sum(1 if each.kind == "number" else dim for each in self.transforms)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Embed (B,) inputs by name."""
        return torch.cat([self._embed(each, features[each.name]) for each in self.transforms], dim=1)

    def _embed(self, each: FeatureTransform, values: Tensor) -> Tensor:
        if each.kind == "number":
            return values.unsqueeze(1)
        if self.training and each.kind == "category":
            values = torch.where(torch.rand(len(values)) < UNKNOWN_SHARE, UNKNOWN, values)
        embedded: Tensor = self.tables[each.name](values)
        return embedded


def _table(size: int, dim: int) -> nn.Embedding:
    table = nn.Embedding(size, dim)
    nn.init.normal_(table.weight, std=EMBEDDING_STD)
    return table


def user_tensors(transforms: Transforms, contexts: Sequence[UserContext]) -> dict[str, Tensor]:
    """Make the inputs of B users as tensors, each (B,)."""
    return {name: torch.from_numpy(values) for name, values in transforms.inputs(contexts).items()}


def dense(widths: Sequence[int]) -> nn.Sequential:
    """Stack linear layers with ReLU between them, and none after the last."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        layers += [nn.ReLU()] if number else []
        layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)
