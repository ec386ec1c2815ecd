"""Mult-DAE and Mult-VAE against dense formulas, and that they learn."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist_training.autoencoders import (
    Autoencoder,
    AutoencoderConfig,
    bags_of,
    multinomial_likelihood,
    train_autoencoder,
)
from shortlist_training.metrics import fold_in
from shortlist_training.timelines import incidence
from shortlist_training.train import Validation

SMALL = {"embedding": 12, "latent": 4, "batch_users": 20}


def histories() -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    return incidence([rng.permutation(10)[:5] + 10 * (user % 2) for user in range(120)], 20)


@given(seed=st.integers(0, 1000), users=st.integers(1, 6))
def test_bags_are_rows_of_length_one(seed: int, users: int) -> None:
    """Without dropout the bags spell x / |x|, also for users without any item."""
    rng = np.random.default_rng(seed)
    dense = (rng.random((users, 9)) < 0.3).astype(np.float32)
    bags = bags_of(sp.csr_matrix(dense), 0.5, None)
    found = torch.nn.functional.embedding_bag(
        bags.items, torch.eye(9), bags.offsets, mode="sum", per_sample_weights=bags.weights
    )
    expected = dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1.0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_dropout_keeps_the_expected_input() -> None:
    """About half of the entries are left and they are twice as large, so that the mean input stays."""
    matrix = sp.csr_matrix(np.ones((400, 25), dtype=np.float32))
    bags = bags_of(matrix, 0.5, np.random.default_rng(0))
    assert len(bags.items) == pytest.approx(5000, rel=0.05)
    assert torch.allclose(bags.weights, torch.tensor(2.0 / 5.0))


@pytest.mark.parametrize("model_name", ["Mult-DAE", "Mult-VAE"])
def test_the_network_is_two_tanh_layers_on_each_side(model_name: str) -> None:
    """At evaluation the logits equal the dense I-600-200-600-I formulas, with the Gaussian's mean for Mult-VAE."""
    torch.manual_seed(0)
    variational = model_name == "Mult-VAE"
    model = Autoencoder(20, AutoencoderConfig(variational=variational, **SMALL)).eval()
    users = histories()[:3]
    with torch.no_grad():
        logits, divergence = model(bags_of(users, 0.5, None))
        dense = torch.from_numpy(users.toarray() / np.sqrt(5, dtype=np.float32))
        encoded = model.to_latent(torch.tanh(dense @ model.first + model.first_bias))
        latent = encoded[:, :4] if variational else torch.tanh(encoded)
        torch.testing.assert_close(logits, model.output(torch.tanh(model.from_latent(latent))))
        normal = torch.distributions.Normal
        if variational:
            posterior = normal(encoded[:, :4], torch.exp(0.5 * encoded[:, 4:]))
            expected = torch.distributions.kl_divergence(posterior, normal(0.0, 1.0)).sum(1)
            torch.testing.assert_close(divergence, expected)
        else:
            assert not divergence.any()


def test_likelihood_is_that_of_the_items() -> None:
    """Two users: log softmax summed over their items, averaged."""
    logits = torch.tensor([[0.0, 0.0], [0.0, float(np.log(3))]])
    items = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    expected = (2 * np.log(0.5) + np.log(0.75)) / 2
    assert multinomial_likelihood(logits, items).item() == pytest.approx(expected)


@pytest.mark.parametrize("model_name", ["Mult-DAE", "Mult-VAE"])
def test_training_learns_and_repeats(model_name: str) -> None:
    """Validation NDCG rises, the best epoch's parameters are the ones kept, and a seed gives the same scores again."""
    matrix = histories()
    inputs, targets = fold_in([matrix[user].indices.astype(np.int64) for user in range(100, 120)], 0.6, seed=0)
    validation = Validation(incidence(inputs, 20), incidence(targets, 20))
    config = AutoencoderConfig(
        model_name == "Mult-VAE", **SMALL, learning_rate=0.01, epochs=15, patience=15, anneal_steps=20
    )
    seen = []
    trained = train_autoencoder(matrix[:100], validation, config, 3, seen.append)
    assert seen[trained.best - 1].ndcg == max(epoch.ndcg for epoch in seen)
    assert seen[trained.best - 1].ndcg > seen[0].ndcg + 0.05
    again = train_autoencoder(matrix[:100], validation, config, 3, lambda _: None)
    np.testing.assert_array_equal(trained.score(validation.inputs), again.score(validation.inputs))


def test_training_stops_when_validation_does_not_improve() -> None:
    """Nothing learnt for `patience` epochs after the first ends training."""
    matrix = histories()
    validation = Validation(matrix[:5], matrix[5:10])
    config = AutoencoderConfig(variational=False, **SMALL, learning_rate=1e-12, epochs=40, patience=3)
    assert len(train_autoencoder(matrix, validation, config, 0, lambda _: None).epochs) == 4
