"""LED, the Lightweight Encoder-Decoder, and its sampling losses (sections 5.2 to 5.4 of the LED paper) in torch."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

SamplingLoss: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Led(nn.Module):
    """One vector v_i and one bias b_i per item; a user is the mean of the input items' vectors.

    tuning "train": the (I, d) vectors are parameters. "project": v_i = P v_i^SVD with the (d, d) matrix P and the
    biases as the only parameters, d*d + I of them (section 5.4).
    """

    base: Tensor

    def __init__(self, initial: Tensor, tuning: Literal["train", "project"]) -> None:
        super().__init__()
        items, dim = initial.shape
        self.bias = nn.Parameter(torch.zeros(items))
        self.projection: nn.Parameter | None = None
        if tuning == "train":
            self.base = nn.Parameter(initial.clone())
        else:
            self.register_buffer("base", initial.clone())
            self.projection = nn.Parameter(torch.eye(dim))

    def item_vectors(self, rows: Tensor | None = None) -> Tensor:
        """Give v_i for some rows, or all: (..., d) float32."""
        base = self.base if rows is None else self.base[rows]
        return base if self.projection is None else base @ self.projection.T

    def encode(self, items: Tensor, offsets: Tensor) -> Tensor:
        """Average the users' input items, u = 1/T sum v_t: (B, d). `items` is flat, user b starts at offsets[b].

        A user without items gets the null vector. Averaging comes before P, which then applies once per user.
        """
        mean = functional.embedding_bag(items, self.base, offsets, mode="mean")
        return mean if self.projection is None else mean @ self.projection.T

    def score_shared(self, users: Tensor, rows: Tensor) -> Tensor:
        """Score the same (N,) rows for every user, s(u,i) = <u, v_i> + b_i: (B, N)."""
        return users @ self.item_vectors(rows).T + self.bias[rows]

    def score_own(self, users: Tensor, rows: Tensor) -> Tensor:
        """Score (B, T) rows, each user's own: (B, T)."""
        return torch.einsum("bd,btd->bt", users, self.item_vectors(rows)) + self.bias[rows]


def bpr_loss(targets: Tensor, negatives: Tensor, is_target: Tensor, is_negative: Tensor) -> Tensor:
    """Bayesian Personalized Ranking over shared negatives, a scalar.

    For user u, target i and negatives n: -log sigmoid(s(u,i) - s(u,n)), summed over n in section 5.3. Here it is the
    mean over the user's negatives, then over its targets, then over users: Adam does not see the constant factor, and
    the number stays comparable when N changes.

    targets (B, T), negatives (B, N): scores. is_target (B, T), is_negative (B, N): bool, False for padding and for
    negatives that the user has interacted with.
    """
    weight = is_negative.float()
    loss = functional.softplus(negatives[:, None, :] - targets[:, :, None])
    per_target = (loss * weight[:, None, :]).sum(-1) / weight.sum(-1, keepdim=True).clamp_min(1.0)
    valid = is_target.float()
    per_user = (per_target * valid).sum(-1) / valid.sum(-1).clamp_min(1.0)
    return per_user.mean()


LOSSES: Mapping[str, SamplingLoss] = {"bpr": bpr_loss}
