"""PDN's four nets in torch: TrigNet, SimNet, direct net and bias net (sections 4.2 to 4.6 of the paper).

Scalar-based, with MEG of eq. 10: a path weighs softplus(t_uj + s_ji). All weights are positive; nothing can be against
an item, there is only more or less for it.
"""

import math

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shortlist_training.pdn.behaviour import BehaviourField
from shortlist_training.pdn.cooccurrence import BUCKETS, STATISTICS
from shortlist_training.pdn.features import COUNT_CODES, Profiles
from shortlist_training.pdn.tables import table_sum


class PdnConfig(msgspec.Struct, frozen=True):
    """Sizes of PDN and which of its parts take part.

    id_dim, field_dim: width of an id's embedding and of any other field's. hidden: width of the MLPs. direct_dim: k of
    eq. 11. bias_popularity: give the bias net the item's popularity besides the user's activity; it then goes at
    serving. path_start: the first value of t + s; base rates are low and there are hundreds of paths. linear_offset:
    start SimNet where a path weighs EASE's and SLIM's mean weight + offset instead (`warm_start`), None at random.
    direct_start: added to d_ui; at 2 the softplus of a small d_ui is almost a straight line. factor_weight: start the
    direct net at this part of the product of a matrix factorization's factors, and leave it there; None: at random.
    behaviour: give TrigNet the field a_uj, where the log has one. late_power: a trigger weighs lateness^late_power then
    at the start.
    """

    id_dim: int = 16
    field_dim: int = 8
    hidden: int = 16
    direct_dim: int = 64
    direct: bool = True
    bias: bool = True
    bias_popularity: bool = False
    path_start: float = -7.0
    linear_offset: float | None = 0.02
    direct_start: float = 2.0
    factor_weight: float | None = 0.15
    behaviour: bool = True
    late_power: float = 0.6


BIAS_START = -4.0
SLOPE_START = 8.0
NO_LOGIT = -1e9


class UserField(nn.Module):
    """E(z_u): embeddings of id, profile fields and activity, concatenated: (B, d_u)."""

    codes: Tensor

    def __init__(self, profiles: Profiles, config: PdnConfig) -> None:
        super().__init__()
        users = len(profiles.users.codes)
        self.register_buffer("codes", torch.from_numpy(profiles.users.codes))
        self.id = _embedding(users, config.id_dim)
        self.fields = nn.ModuleList(_embedding(size, config.field_dim) for size in profiles.users.sizes)
        self.activity = _embedding(COUNT_CODES, config.field_dim)
        self.width = config.id_dim + config.field_dim * (len(self.fields) + 1)

    def forward(self, users: Tensor, activity: Tensor) -> Tensor:
        """Embed (B,) user rows with their (B,) activity codes."""
        codes = self.codes[users]
        known = [field(codes[:, place]) for place, field in enumerate(self.fields)]
        return torch.cat([self.id(users), *known, self.activity(activity)], dim=1)


class ItemField(nn.Module):
    """E(x): embeddings of id, year, genres (their mean) and popularity, concatenated: (N, d_i)."""

    codes: Tensor
    genres: Tensor

    def __init__(self, profiles: Profiles, config: PdnConfig) -> None:
        super().__init__()
        self.register_buffer("codes", torch.from_numpy(profiles.items.codes))
        self.register_buffer("genres", torch.from_numpy(profiles.genres))
        self.id = _embedding(len(profiles.genres), config.id_dim)
        self.fields = nn.ModuleList(_embedding(size, config.field_dim) for size in profiles.items.sizes)
        self.genre = nn.Linear(profiles.genres.shape[1], config.field_dim, bias=False)
        self.popularity = _embedding(COUNT_CODES, config.field_dim)
        self.width = config.id_dim + config.field_dim * (len(self.fields) + 2)

    def forward(self, items: Tensor, popularity: Tensor) -> Tensor:
        """Embed (N,) item rows; `popularity` holds the codes of all items, (I,)."""
        codes = self.codes[items]
        known = [field(codes[:, place]) for place, field in enumerate(self.fields)]
        return torch.cat(
            [self.id(items), *known, self.genre(self.genres[items]), self.popularity(popularity[items])], 1
        )


class SimNet(nn.Module):
    """s_ji = MLP(CAT(E(x_j), E(c_ji), E(x_i))), eq. 9, for whole blocks of pairs.

    The first layer of an MLP over a concatenation is a sum of one matrix product per part. The items' products are
    made once per item instead of once per pair, and a bucket's product is an entry of a table, so a pair costs one
    addition of ready vectors. This is the same function, not an approximation.
    """

    offsets: Tensor

    def __init__(self, item_width: int, config: PdnConfig) -> None:
        super().__init__()
        self.trigger = nn.Linear(item_width, config.hidden)
        self.target = nn.Linear(item_width, config.hidden, bias=False)
        self.pair = nn.Embedding(len(STATISTICS) * (BUCKETS + 1), config.hidden)
        nn.init.normal_(self.pair.weight, std=0.1)
        self.out = nn.Linear(config.hidden, 1)
        self.register_buffer("offsets", torch.arange(len(STATISTICS)) * (BUCKETS + 1))

    def forward(self, trigger: Tensor, target: Tensor, buckets: Tensor) -> Tensor:
        """Relate (T, d_i) trigger and (P, d_i) target embeddings with their (T, P, S) int64 buckets: (T, P)."""
        rows, columns, _ = buckets.shape
        known = table_sum(self.pair.weight, (buckets + self.offsets).flatten(0, 1))
        first = known.view(rows, columns, -1) + self.trigger(trigger)[:, None, :] + self.target(target)[None, :, :]
        related: Tensor = self.out(functional.leaky_relu(first)).squeeze(-1)
        return related


class Pdn(nn.Module):
    """The whole network. Direct net and bias net have embeddings of their own (section 4.4).

    `slope` is for the listwise loss only: what a user's score is multiplied by to be a logit, by activity. Like the
    bias net's additive weight it is the same for all of a user's items, and is not served. So is `selection`: the log
    has items from all of a user's past, while serving asks for the next one.
    """

    def __init__(self, profiles: Profiles, config: PdnConfig) -> None:
        super().__init__()
        self.config = config
        self.users, self.items = UserField(profiles, config), ItemField(profiles, config)
        behaviour = profiles.behaviour if config.behaviour else None
        self.behaviour = BehaviourField(behaviour, config.field_dim) if behaviour else None
        more = self.behaviour.width if self.behaviour else 0
        self.trig = _mlp(self.users.width + self.items.width + more, config.hidden, 1)
        self.sim = SimNet(self.items.width, config)
        wide = msgspec.structs.replace(config, id_dim=config.direct_dim)
        self.direct_users, self.direct_items = UserField(profiles, wide), ItemField(profiles, wide)
        self.user_tower = _mlp(self.direct_users.width, 2 * config.direct_dim, config.direct_dim)
        self.item_tower = _mlp(self.direct_items.width, 2 * config.direct_dim, config.direct_dim)
        self.bias_activity = _embedding(COUNT_CODES, 1)
        self.bias_popularity = _embedding(COUNT_CODES, 1)
        self.slope = _embedding(COUNT_CODES, 1)
        with torch.no_grad():
            self.sim.out.bias.fill_(config.path_start)
            self.slope.weight.fill_(math.log(SLOPE_START))

    def triggers(
        self, users: Tensor, activity: Tensor, owner: Tensor, items: Tensor, popularity: Tensor, late: Tensor
    ) -> Tensor:
        """Give t_uj of eq. 8 for (L,) paths: user users[owner[l]] and trigger items[l]."""
        fields = [self.users(users, activity)[owner], self.items(items, popularity)]
        if self.behaviour is not None:
            fields.append(self.behaviour(users[owner], activity[owner], items, late))
        weight: Tensor = self.trig(torch.cat(fields, dim=1)).squeeze(-1)
        return weight

    def similarity(self, triggers: Tensor, targets: Tensor, buckets: Tensor, popularity: Tensor) -> Tensor:
        """Give s_ji of eq. 9 for all (T,) x (P,) pairs: (T, P)."""
        related: Tensor = self.sim(self.items(triggers, popularity), self.items(targets, popularity), buckets)
        return related

    def direct_user(self, users: Tensor, activity: Tensor) -> Tensor:
        """Give p_u of eq. 11: (B, k)."""
        tower: Tensor = self.user_tower(self.direct_users(users, activity))
        return tower

    def direct_item(self, items: Tensor, popularity: Tensor) -> Tensor:
        """Give q_i of eq. 11: (P, k)."""
        tower: Tensor = self.item_tower(self.direct_items(items, popularity))
        return tower

    def direct_weight(self, people: Tensor, targets: Tensor) -> Tensor:
        """Turn p_u (B, k) and q_i (P, k) into softplus(d_ui + start), the first term of eq. 12: (B, P)."""
        if not self.config.direct:
            return torch.zeros(len(people), len(targets))
        return functional.softplus(people @ targets.T + self.config.direct_start)

    def bias_weight(self, activity: Tensor, popularity: Tensor) -> Tensor:
        """Give softplus(y_bias) of eq. 12 for (B,) activity and (P,) popularity codes: (B, P). Never served."""
        if not self.config.bias:
            return torch.zeros(len(activity), len(popularity))
        logit = self.bias_activity(activity) + BIAS_START
        if self.config.bias_popularity:
            logit = logit + self.bias_popularity(popularity).T
        return functional.softplus(logit).expand(len(activity), len(popularity))

    def slopes(self, activity: Tensor) -> Tensor:
        """Give what scores of (B,) activity codes are multiplied by to be logits: (B, 1). Without bias net, one."""
        slope: Tensor = self.slope(activity if self.config.bias else torch.zeros_like(activity))
        return slope.exp()

    def selection(self, users: Tensor, activity: Tensor, items: Tensor, late: Tensor) -> Tensor:
        """Give what makes (P,) items of (B,) users likelier in the log than next, as a logit: (B, P). Never served."""
        if self.behaviour is None or not self.config.bias:
            return torch.zeros(len(users), len(items))
        return self.behaviour.selection(users, activity, items, late)


def path_weights(similarity: Tensor, trigger: Tensor) -> Tensor:
    """MEG, eq. 10: ln(1 + e^t e^s) for (L, P) similarities and (L,) trigger weights."""
    return functional.softplus(similarity + trigger[:, None])


def cross_entropy(score: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the binary cross-entropy of p = 1 - exp(-y), eq. 13: -log p for positives, y for negatives.

    score: (B, P) y > 0. label: (B, P) float32, 1 positive, 0 negative. weight: (B, P), 0 leaves a pair out.
    """
    positive = -torch.log(-torch.expm1(-score.clamp_min(1e-7)))
    return (torch.where(label > 0, positive, score) * weight).sum() / weight.sum()


def listwise(score: Tensor, label: Tensor, weight: Tensor, slope: Tensor, selection: Tensor | float = 0.0) -> Tensor:
    """Weighted mean over positives of -log(e^ay / (e^ay + sum over the user's negatives of e^ay')), a the slope.

    score, label: (B, P). weight: (B, P); 0 leaves a pair out, and a positive's is its share. slope: (B, 1). selection:
    (B, P), added to the logit ay. Adding
    the same to all of a user's scores changes nothing: unlike eq. 13 it leaves room for weights below the usual.
    """
    logit = score * slope + selection
    left_out = (label > 0) | (weight == 0)
    against = torch.logsumexp(logit.masked_fill(left_out, NO_LOGIT), dim=1, keepdim=True)
    asked = weight * (label > 0)
    return (functional.softplus(against - logit) * asked).sum() / asked.sum().clamp_min(1e-12)


def to_tensor(array: NDArray[np.int64]) -> Tensor:
    """Copy int64 rows into a tensor."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))


def _embedding(size: int, width: int) -> nn.Embedding:
    table = nn.Embedding(size, width)
    nn.init.normal_(table.weight, std=0.05)
    return table


def _mlp(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(), nn.Linear(hidden, out))
