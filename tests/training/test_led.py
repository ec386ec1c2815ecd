"""The LED model and its training; the losses have a file of their own."""

import msgspec
import numpy as np
import pytest
import torch

from shortlist_training.config import LedConfig
from shortlist_training.led import Led
from shortlist_training.metrics import fold_in
from shortlist_training.roles import Roles
from shortlist_training.timelines import incidence
from shortlist_training.train import (
    Validation,
    batches,
    input_and_target,
    led_scores,
    negative_distribution,
    train,
)


def test_train_learns_every_vector_and_bias() -> None:
    """With `train` the parameters are I vectors of d and I biases."""
    model = Led(torch.randn(11, 4), "train")
    assert sum(parameter.numel() for parameter in model.parameters()) == 11 * 4 + 11


def test_project_learns_only_the_projection_and_biases() -> None:
    """With `project` exactly d*d + I numbers are trained, and gradients reach all of them but not the SVD vectors."""
    model = Led(torch.randn(11, 4), "project")
    assert sum(parameter.numel() for parameter in model.parameters()) == 4 * 4 + 11
    users = model.encode(torch.tensor([1, 2, 3]), torch.tensor([0, 2]))
    model.score_shared(users, torch.arange(11)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    assert not model.base.requires_grad


def test_project_scores_through_the_gram_matrix_of_p() -> None:
    """s(u, i) = <P^T P u_svd, v_svd> + b, as section 5.4 rewrites it."""
    svd = torch.randn(9, 3)
    model = Led(svd, "project")
    with torch.no_grad():
        assert model.projection is not None
        model.projection.copy_(torch.randn(3, 3))
        model.bias.copy_(torch.randn(9))
        users = model.encode(torch.tensor([4, 7]), torch.tensor([0]))
        p = model.projection
        expected = svd @ (p.T @ p @ svd[[4, 7]].mean(0)) + model.bias
        torch.testing.assert_close(model.score_shared(users, torch.arange(9))[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tuning", ["train", "project"])
def test_a_user_is_the_mean_of_the_input_items(tuning: str) -> None:
    """Encoding averages the item vectors, an empty history is the null vector, and both score paths agree."""
    model = Led(torch.randn(9, 3), tuning)
    with torch.no_grad():
        users = model.encode(torch.tensor([0, 5, 8]), torch.tensor([0, 0, 1]))
        vectors = model.item_vectors()
        torch.testing.assert_close(users, torch.stack([torch.zeros(3), vectors[0], (vectors[5] + vectors[8]) / 2]))
        shared = model.score_shared(users, torch.tensor([2, 6]))
        own = model.score_own(users, torch.tensor([[2, 6]] * 3))
        torch.testing.assert_close(shared, own)


def test_random_and_time_splits_partition_a_history() -> None:
    """Without dropout input and target are the whole history; by time the target is its newest part."""
    history = np.arange(10, dtype=np.int64)
    rng = np.random.default_rng(0)
    by_time = input_and_target(Roles(history), LedConfig(split_by="time", dropout=0.0), rng)
    assert [part.tolist() for part in by_time] == [list(range(8)), [8, 9]]
    at_random = input_and_target(Roles(history), LedConfig(dropout=0.0), rng)
    assert sorted(np.concatenate(at_random).tolist()) == list(range(10))
    assert len(at_random[1]) == 2


def test_dropout_leaves_at_least_one_input() -> None:
    """However strong the dropout, a user keeps some input, and two items always give one target."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        inputs, targets = input_and_target(Roles(np.array([3, 4])), LedConfig(dropout=0.99), rng)
        assert len(inputs) == len(targets) == 1


def test_negatives_are_never_the_users_own_items() -> None:
    """A batch masks the negatives that the user has, and covers every user once."""
    histories = [np.array([0, 1, 2]), np.array([3, 4]), np.array([0, 4, 5])]
    known = incidence(histories, 6)
    config = LedConfig(batch_users=2, negatives=100, dropout=0.0)
    seen = 0
    for batch in batches(
        [Roles(rows) for rows in histories], known, negative_distribution(known, 0.0), config, np.random.default_rng(0)
    ):
        assert batch.pool.tolist() == [0, 1, 2, 3, 4, 5]
        assert batch.in_pool.all()
        for row in range(len(batch.targets)):
            own = set(batch.targets[row][batch.is_target[row]].tolist())
            assert own.isdisjoint(batch.pool[batch.is_negative[row]].tolist())
            seen += 1
    assert seen == 3


def test_negative_distribution_follows_popularity() -> None:
    """Power 0 is uniform; power 1 is proportional to the number of users, at least 1 each."""
    known = incidence([np.array([0, 1]), np.array([0])], 3)
    np.testing.assert_allclose(negative_distribution(known, 0.0), [1 / 3] * 3)
    np.testing.assert_allclose(negative_distribution(known, 1.0), [2 / 4, 1 / 4, 1 / 4])


@pytest.mark.parametrize("tuning", ["train", "project"])
def test_training_learns_what_goes_together(tuning: str) -> None:
    """On users who stay within one of two groups of items, validation NDCG rises well above the untrained model's."""
    rng = np.random.default_rng(0)
    histories = [rng.permutation(10)[:5] + 10 * (user % 2) for user in range(120)]
    inputs, targets = fold_in(histories[100:], 0.6, seed=0)
    validation = Validation(incidence(inputs, 20), incidence(targets, 20))
    initial = rng.standard_normal((20, 8)).astype(np.float32)
    config = LedConfig(
        tuning=tuning, epochs=25, learning_rate=0.02, batch_users=20, dropout=0.0, patience=25, threads=1
    )
    seen = []
    trained = train(histories[:100], initial, validation, config, 0, seen.append)
    assert trained.epochs[trained.best].ndcg > trained.epochs[0].ndcg + 0.1
    assert trained.best == max(range(len(seen)), key=lambda number: seen[number].ndcg)


def test_training_stops_when_validation_stops_improving() -> None:
    """With a learning rate that wrecks the model, training ends `patience` epochs after the best checkpoint."""
    histories = [np.array([0, 1, 2, 3])] * 4
    validation = Validation(incidence([np.array([0])], 4), incidence([np.array([1])], 4))
    config = LedConfig(epochs=50, patience=3, learning_rate=1e-9, threads=1)
    trained = train(histories, np.eye(4, dtype=np.float32), validation, config, 0, lambda _: None)
    assert (trained.best, len(trained.epochs)) == (0, 4)


def test_scores_are_mean_dot_plus_bias() -> None:
    """The numpy scores used in evaluation are <mean of input vectors, v_i> + b_i; no input leaves the bias."""
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], dtype=np.float32)
    biases = np.array([0.5, 0.0, -1.0], dtype=np.float32)
    scores = led_scores(incidence([np.array([0, 1]), np.zeros(0, dtype=np.int64)], 3), vectors, biases)
    np.testing.assert_allclose(scores, [[1.0, 2.0, 0.5], [0.5, 0.0, -1.0]])


def test_country_biases_learn_what_a_country_wants() -> None:
    """Of users alike but for their country, each country's own item gets the higher bias; without, there is none."""
    rng = np.random.default_rng(0)
    users = [Roles(np.array([*rng.permutation(4)[:2], 4 + user % 2]), country=user % 2) for user in range(80)]
    inputs = incidence([np.array([0, 1])] * 2, 6)
    validation = Validation(inputs, incidence([np.array([4]), np.array([5])], 6), np.array([0, 1]))
    initial = np.zeros((6, 2), dtype=np.float32)
    config = LedConfig(epochs=20, learning_rate=0.05, batch_users=20, dropout=0.0, patience=20, per_country_biases=True)
    trained = train(users, initial, validation, config, 0, lambda _: None, countries=2)
    assert trained.country_biases.shape == (2, 6)
    assert trained.country_biases[0, 4] > trained.country_biases[0, 5]
    assert trained.country_biases[1, 5] > trained.country_biases[1, 4]
    strong = msgspec.structs.replace(config, country_regularization=100.0)
    held = train(users, initial, validation, strong, 0, lambda _: None, countries=2)
    assert np.abs(held.country_biases).max() < np.abs(trained.country_biases).max() / 2
    plain = msgspec.structs.replace(config, per_country_biases=False)
    assert train(users, initial, validation, plain, 0, lambda _: None, countries=2).country_biases.shape == (0, 6)
