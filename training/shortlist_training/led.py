"""LED, the Lightweight Encoder-Decoder, and its losses (sections 5.2 to 5.4 of the LED paper) in torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss: TypeAlias = Callable[["Scores"], Tensor]
"""Gives every target's loss, (B, T); `average` makes them one number."""

_LEAST_REST = 1e-6  # a pool that is nearly all target: keeps log(1 - share) finite


class Led(nn.Module):
    """One vector v_i and one bias b_i per item; a user is the mean of the input items' vectors.

    tuning "train": the (I, d) vectors are parameters. "project": v_i = P v_i^SVD with the (d, d) matrix P and the
    biases as the only parameters, d*d + I of them (section 5.4).
    countries: C adds a bias per country, b_i + b_(i,c); 0 leaves it out. sparse: the vectors' gradients name only the
    rows in use, which `score_all` cannot.
    """

    base: Tensor

    def __init__(
        self,
        initial: Tensor,
        tuning: Literal["train", "project"],
        bias: float = 0.0,
        countries: int = 0,
        *,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        self.sparse = sparse
        items, dim = initial.shape
        self.bias = nn.Parameter(torch.full((items,), bias))
        self.country_bias = nn.Parameter(torch.zeros(countries, items)) if countries else None
        self.projection: nn.Parameter | None = None
        if tuning == "train":
            self.base = nn.Parameter(initial.clone())
        else:
            self.register_buffer("base", initial.clone())
            self.projection = nn.Parameter(torch.eye(dim))

    def item_vectors(self, rows: Tensor | None = None) -> Tensor:
        """Give v_i for some rows, or all: (..., d) float32."""
        if rows is None:
            base = self.base
        else:
            base = functional.embedding(rows, self.base, sparse=True) if self.sparse else self.base[rows]
        return base if self.projection is None else base @ self.projection.T

    def encode(self, items: Tensor, offsets: Tensor, shares: Tensor | None = None) -> Tensor:
        """Average the users' input items, u = 1/T sum v_t: (B, d). `items` is flat, user b starts at offsets[b].

        A user without items gets the null vector. Shares (n,), each user's
        adding up to 1, take the place of 1/T. Averaging comes before P, which then applies once per user.
        """
        if shares is None:
            mean = functional.embedding_bag(items, self.base, offsets, mode="mean", sparse=self.sparse)
        else:
            mean = functional.embedding_bag(items, self.base, offsets, mode="sum", per_sample_weights=shares)
        return mean if self.projection is None else mean @ self.projection.T

    def score_shared(self, users: Tensor, rows: Tensor) -> Tensor:
        """Score the same (N,) rows for every user, s(u,i) = <u, v_i> + b_i: (B, N)."""
        return users @ self.item_vectors(rows).T + self.bias[rows]

    def score_all(self, users: Tensor) -> Tensor:
        """Score every row for every user: (B, I)."""
        return users @ self.item_vectors().T + self.bias

    def score_pool(self, users: Tensor, pool: Tensor) -> Tensor:
        """Score a pool of rows: (N,) is the same for all users, (B, N) is each user's own. Gives (B, N).

        Users' own pools overlap, so every row of any of them is scored once.
        """
        if pool.dim() == 1:
            return self.score_shared(users, pool)
        rows, place = torch.unique(pool, return_inverse=True)
        return self.score_shared(users, rows).gather(1, place)

    def score_own(self, users: Tensor, rows: Tensor) -> Tensor:
        """Score (B, T) rows, each user's own: (B, T)."""
        return torch.einsum("bd,btd->bt", users, self.item_vectors(rows)) + self.bias[rows]

    def country_share(self, countries: Tensor, rows: Tensor) -> Tensor:
        """Give b_(i,c) for users of (B,) countries and (N,) shared or (B, T) own rows: (B, N) or (B, T); 0 without."""
        if self.country_bias is None:
            return torch.zeros(1)
        if rows.dim() == 1:
            return self.country_bias[countries].index_select(1, rows)
        return self.country_bias[countries].gather(1, rows)


@dataclass(frozen=True)
class Scores:
    """What a loss compares, for B users with up to T targets each and N rows that serve all of a user's targets.

    targets (B, T), pool (B, N): scores, float32. is_target (B, T): False for padding. is_negative (B, N): False where
    the user has interacted with the row. in_pool (B, T): how often the target is itself among the N rows. items: I.
    """

    targets: Tensor
    is_target: Tensor
    pool: Tensor
    is_negative: Tensor
    in_pool: Tensor
    items: int


def bpr_loss(scores: Scores) -> Tensor:
    """Bayesian Personalized Ranking over shared negatives: (B, T).

    For user u, target i and negatives n: -log sigmoid(s(u,i) - s(u,n)), summed over n in section 5.3. Here it is the
    mean over the user's negatives: Adam does not see the constant factor, and the number stays comparable when N
    changes.
    """
    weight = scores.is_negative.float()
    loss = functional.softplus(scores.pool[:, None, :] - scores.targets[:, :, None])
    return (loss * weight[:, None, :]).sum(-1) / weight.sum(-1, keepdim=True).clamp_min(1.0)


def multinomial_loss(scores: Scores) -> Tensor:
    """Compute -log pi(i|u) = log Z(u) - s(u,i) over the full catalogue, which the pool has to be: (B, T)."""
    return torch.logsumexp(scores.pool, 1, keepdim=True) - scores.targets


def css_loss(scores: Scores) -> Tensor:
    """Compute log Z_i - s(u,i) with Complementarity Sum Sampling's Z_i, per target (section 5.3): (B, T).

    Z_i = exp(s(u,i)) + (I-1)/N sum_n exp(s(u,n)), n uniform among all rows but i. The user's other items are part of
    Z(u), so they stay; a target that is itself in the pool is taken out of the sum and of N. A pool of all rows thus
    gives Z(u) exactly.
    """
    summed = torch.logsumexp(scores.pool, 1, keepdim=True)
    times = scores.in_pool.float()
    own_share = times * torch.exp((scores.targets - summed).clamp_max(0.0))
    without_own = torch.log1p(-own_share.clamp_max(1.0 - _LEAST_REST))
    count = (scores.pool.shape[1] - times).clamp_min(1.0)
    others = summed + without_own + torch.log((scores.items - 1) / count)
    return torch.logaddexp(scores.targets, others) - scores.targets


def negative_sampling_loss(scores: Scores) -> Tensor:
    """Compute -log sigmoid(s(u,i)) - sum_n log(1 - sigmoid(s(u,n))), per target: (B, T)."""
    negatives = (functional.softplus(scores.pool) * scores.is_negative.float()).sum(1, keepdim=True)
    return functional.softplus(-scores.targets) + negatives


def average(per_target: Tensor, is_target: Tensor, weighting: Literal["user", "target"]) -> Tensor:
    """Average a loss per target (B, T) to a scalar, over each user's targets first, or over all targets alike."""
    valid = is_target.float()
    if weighting == "target":
        return (per_target * valid).sum() / valid.sum().clamp_min(1.0)
    per_user = (per_target * valid).sum(-1) / valid.sum(-1).clamp_min(1.0)
    return per_user.mean()


LOSSES: Mapping[str, Loss] = {
    "mult": multinomial_loss,
    "mult-css": css_loss,
    "bpr": bpr_loss,
    "ns": negative_sampling_loss,
}
RECONSTRUCTING = frozenset({"mult", "mult-css", "ns"})
"""Losses whose targets are all of the user's items, those of the input among them (section 6.3)."""
