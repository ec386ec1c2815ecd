"""The logQ correction: its distribution is exact, its loss equals a naive one, and it estimates the full softmax."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist_training.two_tower.sampling import (
    expected_draws,
    in_batch_loss,
    mixed_distribution,
    power_distribution,
    shared_draws_loss,
)
from shortlist_training.two_tower.train import Pairs, Sampler, TrainConfig

COUNTS = np.array([8, 4, 2, 1, 1, 0])


def test_mixed_distribution_by_hand() -> None:
    """B = 5, B' = 6 over six items: m_j = 4 count_j / 16 + 1, and Q* divides by n = 10."""
    assert expected_draws(COUNTS, 5, 6).tolist() == [3.0, 2.0, 1.5, 1.25, 1.25, 1.0]
    np.testing.assert_allclose(mixed_distribution(COUNTS, 5, 6), [0.3, 0.2, 0.15, 0.125, 0.125, 0.1])


def test_draws_may_come_from_a_part_of_the_catalogue() -> None:
    """With an index of two items only these get uniform draws, and the sampler draws no others."""
    index = np.array([1, 4])
    assert expected_draws(COUNTS, 5, 6, index).tolist() == [2.0, 4.0, 0.5, 0.25, 3.25, 0.0]
    pairs = Pairs(np.arange(COUNTS.sum()), np.repeat(np.arange(6), COUNTS))
    sampler = Sampler(pairs, 6, TrainConfig(5, 6), np.random.default_rng(3), index)
    assert {int(item) for *_, drawn in sampler.epoch() for item in drawn} == {1, 4}
    np.testing.assert_allclose(sampler.log_draws.exp().numpy()[:5], [2.0, 4.0, 0.5, 0.25, 3.25], rtol=1e-6)


@given(
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any),
    batch=st.integers(2, 64),
    uniform=st.integers(0, 256),
)
def test_mixed_distribution_is_one(counts: list[int], batch: int, uniform: int) -> None:
    """Q* sums to 1; with B' = 0 it is the label frequency, and with B' > 0 every item has a chance."""
    mixed = mixed_distribution(np.array(counts), batch, uniform)
    assert mixed.sum() == pytest.approx(1.0)
    if uniform:
        assert (mixed > 0).all()
    else:
        np.testing.assert_allclose(mixed, np.array(counts) / sum(counts))


@pytest.mark.parametrize("config", [TrainConfig(4), TrainConfig(4, 8), TrainConfig(4, draws=9, power=0.5)])
def test_sampler_draws_as_often_as_it_says(config: TrainConfig) -> None:
    """Over many epochs, the mean number of draws of each item is exp(log_draws), for all three samplers."""
    pairs = Pairs(np.arange(COUNTS.sum()), np.repeat(np.arange(6), COUNTS))
    sampler = Sampler(pairs, 6, config, np.random.default_rng(3))
    drawn, batches = Counter[int](), 0
    for _ in range(1500):
        for _, positives, extra in sampler.epoch():
            batches += 1
            drawn.update(extra.tolist())
            if not config.draws:
                drawn.update(positives[1:].tolist())  # the negatives of row 0
    possible = [item for item in range(6) if drawn[item]]
    assert possible == ([0, 1, 2, 3, 4] if not config.uniform else list(range(6)))
    expected = sampler.log_draws.exp().numpy()
    np.testing.assert_allclose([drawn[item] / batches for item in possible], expected[possible], rtol=0.06)


def test_power_distribution_leaves_out_items_without_labels() -> None:
    """Power 0 is uniform over the baseline's vocabulary, power 1 the label frequency."""
    np.testing.assert_allclose(power_distribution(COUNTS, 0.0), [0.2] * 5 + [0.0])
    np.testing.assert_allclose(power_distribution(COUNTS, 1.0), COUNTS / 16)


def naive_in_batch(queries: torch.Tensor, items: torch.Tensor, rows: list[int], draws: list[float]) -> float:
    losses = []
    for i, query in enumerate(queries):
        own = math.exp(float(query @ items[i]))
        negatives = 0.0
        for j, row in enumerate(rows):
            if row != rows[i]:
                negatives += math.exp(float(query @ items[j])) / draws[row]
        losses.append(-math.log(own / (own + negatives)))
    return sum(losses) / len(losses)


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 6), uniform=st.integers(0, 8))
def test_loss_is_the_naive_formula(seed: int, batch: int, uniform: int) -> None:
    """Equation 5 with loops, division by m_j and without the draws that are the row's own positive."""
    rng = np.random.default_rng(seed)
    vectors = torch.from_numpy(rng.standard_normal((6, 3)))
    queries = torch.from_numpy(rng.standard_normal((batch, 3)))
    rows = torch.from_numpy(rng.integers(0, 6, size=batch + uniform))
    draws = rng.uniform(0.1, 3.0, size=6)
    found = in_batch_loss(queries, vectors[rows], rows, torch.from_numpy(np.log(draws)))
    naive = naive_in_batch(queries, vectors[rows], rows.tolist(), draws.tolist())
    assert float(found) == pytest.approx(naive, abs=1e-9)


@given(seed=st.integers(0, 10_000))
def test_both_losses_agree_on_the_same_negatives(seed: int) -> None:
    """With one row, in-batch negatives and negatives drawn apart are the same thing."""
    rng = np.random.default_rng(seed)
    vectors, query = torch.from_numpy(rng.standard_normal((6, 3))), torch.from_numpy(rng.standard_normal((1, 3)))
    rows, log_draws = torch.from_numpy(rng.integers(0, 6, size=5)), torch.from_numpy(rng.standard_normal(6))
    first = in_batch_loss(query, vectors[rows], rows, log_draws)
    second = shared_draws_loss(query, vectors[rows[:1]], vectors[rows[1:]], (rows[:1], rows[1:]), log_draws)
    assert float(first) == pytest.approx(float(second))


def test_corrected_denominator_is_the_full_softmax_in_expectation() -> None:
    """The mean over many draws of the estimated Z is sum_j exp(s_j) over the catalogue, within sampling error.

    Without the correction for the number of draws, or with log Q* of the batch alone, it is far off.
    """
    rng = np.random.default_rng(5)
    scores, batch, uniform, own, trials = rng.standard_normal(6), 4, 6, 2, 200_000
    draws = expected_draws(COUNTS, batch, uniform)
    taken = np.concatenate(
        [rng.choice(6, size=(trials, batch - 1), p=COUNTS / 16), rng.integers(6, size=(trials, uniform))], axis=1
    )
    counted = np.where(taken == own, 0.0, np.exp(scores[taken]) / draws[taken]).sum(axis=1)
    estimates = math.exp(scores[own]) + counted
    full = np.exp(scores).sum()
    assert abs(estimates.mean() - full) < 4 * estimates.std() / math.sqrt(trials)
    literal = math.exp(scores[own]) + counted * (batch - 1 + uniform)
    assert abs(literal.mean() - full) > 1.0


@pytest.mark.parametrize("uniform", [4000, 12_000])
def test_gradient_is_that_of_the_full_softmax(uniform: int) -> None:
    """With many draws the loss and its gradient become those of equations 2 and 3 over the whole catalogue."""
    rng = np.random.default_rng(6)
    batch = 400
    vectors = torch.from_numpy(rng.standard_normal((6, 3))).requires_grad_()
    query = torch.from_numpy(rng.standard_normal((1, 3))).expand(batch, 3)
    labels = rng.choice(6, size=batch, p=COUNTS / 16)
    rows = torch.from_numpy(np.concatenate([labels, rng.integers(6, size=uniform)]))
    log_draws = torch.from_numpy(np.log(expected_draws(COUNTS, batch, uniform)))
    sampled = in_batch_loss(query, vectors[rows], rows, log_draws)
    full = torch.nn.functional.cross_entropy(query @ vectors.T, torch.from_numpy(labels))
    gradients = [torch.autograd.grad(loss, vectors)[0] for loss in (sampled, full)]
    assert float(sampled.detach()) == pytest.approx(float(full.detach()), abs=0.03)
    torch.testing.assert_close(gradients[0], gradients[1], atol=0.02, rtol=0.0)
