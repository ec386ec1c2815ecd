"""Negatives and the sampled softmax with logQ correction (equations 4 and 5).

The full softmax needs Z(x) = sum over all items j of exp<u, v_j>. From n drawn negatives, of which item j is expected
m_j = n Q_j times, it is estimated without bias, the positive y counted once and draws of y itself left out:

    Z(x) ~ exp<u, v_y> + sum over draws j != y of exp(<u, v_j> - log m_j)

    E[Z] = exp<u, v_y> + sum over items j != y of m_j exp<u, v_j> / m_j = Z(x)

Equation 5 writes log Q*_j where this has log m_j = log n + log Q*_j. The constant log n matters, because the positive's
term has none: without it the negatives weigh n times too much. A draw that equals the row's own positive (in a small
catalogue there are many) is masked: equation 5 would call the positive its own negative.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def expected_draws(
    label_counts: NDArray[np.int64], batch: int, uniform: int, index: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """How often each of I items is expected among one row's negatives: m_j, (I,) float64.

    A row's negatives are the other batch - 1 positives, distributed as labels are, f_j = count_j / sum of counts, and
    `uniform` draws with replacement from all I items (section 3.3):

        m_j = (B - 1) f_j + B' / I,   n = B - 1 + B',   Q*_j = m_j / n

    index: distinct items that the uniform draws are taken from instead of all I, for I its length; the others get
    none of them.
    """
    share = np.full(len(label_counts), uniform / len(label_counts))
    if index is not None:
        share[:] = 0.0
        share[index] = uniform / len(index)
    return np.asarray((batch - 1) * label_counts / label_counts.sum() + share)


def mixed_distribution(label_counts: NDArray[np.int64], batch: int, uniform: int) -> NDArray[np.float64]:
    """Compute Q*, the chance of each item to be one drawn negative: (I,) float64, sums to 1."""
    return expected_draws(label_counts, batch, uniform) / (batch - 1 + uniform)


def power_distribution(label_counts: NDArray[np.int64], power: float) -> NDArray[np.float64]:
    """Compute count^power / sum over the items that have labels; the others get 0: (I,) float64."""
    weight = np.where(label_counts > 0, np.maximum(label_counts, 1).astype(np.float64) ** power, 0.0)
    return np.asarray(weight / weight.sum())


def corrected_loss(positives: Tensor, negatives: Tensor, log_draws: Tensor, is_hit: Tensor) -> Tensor:
    """Average -log(exp s_y / (exp s_y + sum_j exp(s_j - log m_j))) over rows, a scalar (equation 5).

    positives (B,), negatives (B, N): scores. log_draws (N,): log m_j of each column. is_hit (B, N): bool, true where
    the column is the row's own positive.
    """
    corrected = (negatives - log_draws).masked_fill(is_hit, -torch.inf)
    return (torch.logsumexp(torch.cat([positives.unsqueeze(1), corrected], dim=1), dim=1) - positives).mean()


def in_batch_loss(queries: Tensor, items: Tensor, rows: Tensor, log_draws: Tensor) -> Tensor:
    """Loss of a batch whose first B item vectors are the rows' positives; all others are negatives, a scalar.

    queries (B, K), items (B + B', K): U and V of figure 3. rows (B + B',): the items' places in the catalogue.
    log_draws (I,): log m_j. B' = 0 is batch negative sampling.
    """
    scores = queries @ items.T
    size = len(queries)
    is_hit = rows[:size].unsqueeze(1) == rows.unsqueeze(0)
    return corrected_loss(scores.diagonal(), scores, log_draws[rows], is_hit)


def shared_draws_loss(
    queries: Tensor, positives: Tensor, negatives: Tensor, hits: tuple[Tensor, Tensor], log_draws: Tensor
) -> Tensor:
    """Sampled softmax where all rows share N negatives drawn apart from the batch, a scalar.

    positives (B, K), negatives (N, K): item vectors; hits: their catalogue places (B,), (N,). log_draws (I,).
    """
    own, drawn = hits
    is_hit = own.unsqueeze(1) == drawn.unsqueeze(0)
    return corrected_loss((queries * positives).sum(dim=1), queries @ negatives.T, log_draws[drawn], is_hit)
