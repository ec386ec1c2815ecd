"""PDN as it is served (Li et al. 2021, sections 4.2 to 4.6): nets that know users by their features, not by an id.

The first layer of an MLP over a concatenation is a sum of one product per part. TrigNet's part of the item is computed
once per item (`trigger_vectors`), and its fields' parts are tables, so the graph that is served holds no item.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.features import FeatureTransform
from models.interactions import InteractionType
from models.pdn import COUNT_CODES, POSITION_CODES
from shortlist_training.config_sources import PdnSettings
from shortlist_training.pdn.serving_candidates import LEAST_COSINE, number_of_statistics
from shortlist_training.sources.content import ItemContent, ItemEncoder
from shortlist_training.sources.people import UserEncoder, dense
from shortlist_training.train import SPARSE_FROM

PATH_START = -1.0
DIRECT_START = -4.0
FIELD_STD = 0.05
TYPES = max(InteractionType) + 1


class TrigNet(nn.Module):
    """t_uj = MLP(CAT(E(z_u), E(a_uj), E(x_j))), equation 8, given the items' share of the first layer."""

    def __init__(self, transforms: Sequence[FeatureTransform], settings: PdnSettings) -> None:
        super().__init__()
        self.users = UserEncoder(transforms, settings.users.dim)
        self.user = nn.Linear(self.users.width, settings.hidden, bias=False)
        self.types = nn.Embedding(TYPES, settings.hidden)
        self.counts = nn.Embedding(COUNT_CODES, settings.hidden)
        self.positions = nn.Embedding(POSITION_CODES, settings.hidden)
        self.out = nn.Linear(settings.hidden, 1)
        for table in (self.types, self.counts, self.positions):
            nn.init.normal_(table.weight, std=FIELD_STD)

    def forward(
        self,
        trigger_vectors: Tensor,
        trigger_owner: Tensor,
        trigger_type: Tensor,
        trigger_count: Tensor,
        trigger_position: Tensor,
        *features: Tensor,
    ) -> Tensor:
        """Weigh L triggers of B users: (L,). Inputs as in `models.pdn.trignet_inputs`."""
        names = [each.name for each in self.users.transforms]
        people = self.user(self.users(dict(zip(names, features, strict=True))))
        fields = self.types(trigger_type) + self.counts(trigger_count) + self.positions(trigger_position)
        first = trigger_vectors + people.index_select(0, trigger_owner) + fields
        weights: Tensor = self.out(functional.leaky_relu(first)).squeeze(-1)
        return weights


class DirectUser(nn.Module):
    """`[p_u, 1]` of equation 11; the 1 picks up what is added to every product."""

    def __init__(self, transforms: Sequence[FeatureTransform], settings: PdnSettings) -> None:
        super().__init__()
        self.users = UserEncoder(transforms, settings.users.dim)
        self.layers = dense([self.users.width, 2 * settings.hidden, settings.direct_dim])
        self.dim = settings.direct_dim + 1

    def forward(self, *features: Tensor) -> Tensor:
        """Encode B users: (B, direct_dim + 1)."""
        names = [each.name for each in self.users.transforms]
        person = self.layers(self.users(dict(zip(names, features, strict=True))))
        return torch.cat([person, torch.ones_like(person[:, :1])], dim=1)


class SimNet(nn.Module):
    """s_ji = MLP(CAT(E(x_j), E(c_ji), E(x_i))), equation 9, for a list of pairs.

    Begins at `statistic_power` times the log of the pair's cosine, so that the first paths weigh what item-based
    collaborative filtering gives them; only hidden unit 0 knows of that.
    """

    def __init__(self, item_width: int, settings: PdnSettings) -> None:
        super().__init__()
        self.trigger = nn.Linear(item_width, settings.hidden)
        self.target = nn.Linear(item_width, settings.hidden, bias=False)
        self.pair = nn.Linear(number_of_statistics(settings.ease_lambda), settings.hidden, bias=False)
        self.out = nn.Linear(settings.hidden, 1)
        with torch.no_grad():
            self.pair.weight[0] = 0.0
            self.pair.weight[0, 0] = settings.statistic_power
            for layer in (self.trigger, self.target):
                layer.weight[0] = 0.0
            self.trigger.bias[0] = 0.0
            self.out.weight *= 0.1
            self.out.weight[0, 0] = 1.0

    def forward(self, trigger: Tensor, target: Tensor, statistics: Tensor) -> Tensor:
        """Relate n pairs, given both items' shares of the first layer (n, hidden) and the statistics (n, s): (n,)."""
        related: Tensor = self.out(functional.leaky_relu(trigger + target + self.pair(statistics))).squeeze(-1)
        return related


class ServedPdn(nn.Module):
    """All nets. The direct net has embeddings of its own (section 4.4); the bias net is for training only.

    From `SPARSE_FROM` items on their tables' gradients are sparse.
    """

    def __init__(
        self,
        content: ItemContent,
        transforms: Sequence[FeatureTransform],
        settings: PdnSettings,
        path_start: float = PATH_START,
    ) -> None:
        super().__init__()
        sparse = len(content.ids) >= SPARSE_FROM
        self.items = ItemEncoder(content, settings.items, sparse=sparse)
        self.trigger_item = nn.Linear(self.items.width, settings.hidden)
        self.trignet = TrigNet(transforms, settings)
        self.simnet = SimNet(self.items.width, settings)
        self.direct_user = DirectUser(transforms, settings)
        self.direct_items = ItemEncoder(content, settings.items, sparse=sparse)
        width = self.direct_items.width + self.direct_items.details_width
        self.direct_item = dense([width, 2 * settings.hidden, settings.direct_dim])
        self.direct_start = nn.Parameter(torch.tensor(DIRECT_START))
        self.bias_users = UserEncoder(transforms, 1)
        with torch.no_grad():
            self.simnet.out.bias.fill_(path_start + settings.statistic_power * math.log(LEAST_COSINE))

    def trigger_vectors(self, rows: Tensor) -> Tensor:
        """Give the items' share of TrigNet's first layer: (N, hidden)."""
        shares: Tensor = self.trigger_item(self.items(rows))
        return shares

    def item_vectors(self, rows: Tensor) -> Tensor:
        """Give `[q_i, c]`: (N, direct_dim + 1)."""
        embedded = torch.cat([self.direct_items(rows), self.direct_items.details(rows)], dim=1)
        vectors = self.direct_item(embedded)
        return torch.cat([vectors, self.direct_start.expand(len(rows), 1)], dim=1)

    def similarity(self, triggers: Tensor, targets: Tensor, statistics: Tensor) -> Tensor:
        """Give s_ji of n pairs: (n,). Every item is embedded once, however many pairs it is in."""
        items, places = torch.unique(torch.cat([triggers, targets]), return_inverse=True)
        embedded = self.items(items)
        left = self.simnet.trigger(embedded).index_select(0, places[: len(triggers)])
        right = self.simnet.target(embedded).index_select(0, places[len(triggers) :])
        related: Tensor = self.simnet(left, right, statistics)
        return related

    def bias_weight(self, features: dict[str, Tensor]) -> Tensor:
        """Give softplus(y_bias) of equation 12, what a user's activity alone explains: (B, 1)."""
        return functional.softplus(self.bias_users(features).sum(dim=1, keepdim=True) + DIRECT_START)


def cross_entropy(score: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the cross-entropy of p = 1 - exp(-y), equation 13: -log p for positives, y for negatives."""
    positive = -torch.log(-torch.expm1(-score.clamp_min(1e-7)))
    return (torch.where(label, positive, score) * weight).sum() / weight.sum().clamp_min(1e-9)
