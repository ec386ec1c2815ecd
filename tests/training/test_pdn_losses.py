"""PDN's losses and path weights, by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from shortlist_training.pdn.model import cross_entropy, listwise, path_weights
from shortlist_training.pdn.tables import table_sum
from shortlist_training.pdn.train import TrainConfig, pair_weights


def test_a_path_weighs_the_softplus_of_both_hops() -> None:
    """Eq. 10 by hand: ln(1 + e^t e^s)."""
    found = path_weights(torch.tensor([[0.0, 1.0]]), torch.tensor([-2.0]))
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(-1))]
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-6)


def test_cross_entropy_by_hand() -> None:
    """Eq. 13 with p = 1 - exp(-y): -log p for a positive, y for a negative, and a weight of 0 leaves a pair out."""
    score, label = torch.tensor([[0.5, 2.0, 9.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    found = cross_entropy(score, label, torch.tensor([[1.0, 3.0, 0.0]]))
    assert float(found) == pytest.approx((-math.log(1 - math.exp(-0.5)) + 3 * 2.0) / 4, rel=1e-6)


def test_cross_entropy_of_a_positive_without_any_path_is_finite() -> None:
    """A score of 0 is as unlikely as can be, not infinitely so."""
    score = torch.zeros(1, 1, requires_grad=True)
    loss = cross_entropy(score, torch.ones(1, 1), torch.ones(1, 1))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(score.grad).all()


def test_the_listwise_loss_by_hand() -> None:
    """Each positive against the negatives only: not against other positives, nor what weighs nothing."""
    score = torch.tensor([[2.0, 1.0, 3.0, 0.5, 9.0]])
    label = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0]])
    weight = torch.tensor([[1.0, 5.0, 3.0, 7.0, 0.0]])
    against = math.exp(2 * 1.0) + math.exp(2 * 0.5)
    first, second = (-math.log(math.exp(2 * y) / (math.exp(2 * y) + against)) for y in (2.0, 3.0))
    found = listwise(score, label, weight, torch.tensor([[2.0]]))
    assert float(found) == pytest.approx((first + 3 * second) / 4, rel=1e-6)


def test_the_listwise_loss_ignores_what_all_of_a_users_scores_share() -> None:
    """A constant per user, such as n offsets, changes neither the loss nor its gradient."""
    torch.manual_seed(5)
    label, weight = (torch.rand(3, 8) < 0.4).float(), torch.rand(3, 8)
    grads, found = [], []
    for shift in (0.0, 5.0):
        score = torch.linspace(0.1, 2.0, 24).view(3, 8).requires_grad_()
        loss = listwise(score + shift * torch.tensor([[1.0], [2.0], [3.0]]), label, weight, torch.full((3, 1), 2.0))
        loss.backward()
        grads.append(score.grad)
        found.append(loss.detach())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-5)


def test_the_listwise_loss_of_a_user_without_negatives_is_nothing() -> None:
    """A user who has all of the pool is no loss, and does not spoil the gradient of the others."""
    score = torch.tensor([[1.0, 2.0], [0.5, 0.5]], requires_grad=True)
    loss = listwise(score, torch.tensor([[1.0, 1.0], [1.0, 0.0]]), torch.ones(2, 2), torch.ones(2, 1))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(2.0) / 3)
    assert score.grad is not None
    np.testing.assert_allclose(score.grad.numpy(), [[0.0, 0.0], [-0.5 / 3, 0.5 / 3]], atol=1e-6)


def test_table_sum_has_the_gradient_of_embedding_bag() -> None:
    """The fast gradient equals torch's."""
    index = torch.randint(0, 7, (30, 3), generator=torch.Generator().manual_seed(1))
    upstream = torch.randn(30, 5, generator=torch.Generator().manual_seed(2))
    grads = []
    for of in (table_sum, lambda table, rows: nn.functional.embedding_bag(rows, table, mode="sum")):
        table = torch.arange(35.0).reshape(7, 5).requires_grad_()
        (of(table, index) * upstream).sum().backward()
        grads.append(table.grad)
    torch.testing.assert_close(grads[0], grads[1])


def test_negatives_weigh_what_was_asked_for() -> None:
    """Over all items a user's negatives weigh `negatives` times as much as the user's positives."""
    label = np.array([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=np.float32)
    weight = pair_weights(label, np.array([2, 1]), 5, TrainConfig(negatives=4.0, user_power=1.0))
    positive, negative = (weight * label).sum(1), (weight * (1 - label)).sum(1)
    np.testing.assert_allclose(positive, [1.0, 1.0])
    np.testing.assert_allclose(negative / positive, [4.0, 4.0])
