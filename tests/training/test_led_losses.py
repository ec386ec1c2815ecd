"""LED's losses against the formulas of section 5.3, written out for one target at a time."""

import itertools
import math
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist_training.config import LedConfig
from shortlist_training.led import (
    LOSSES,
    Led,
    Scores,
    average,
    bpr_loss,
    css_loss,
    multinomial_loss,
    negative_sampling_loss,
)
from shortlist_training.metrics import fold_in
from shortlist_training.roles import Roles
from shortlist_training.timelines import incidence
from shortlist_training.train import (
    SPARSE_FROM,
    Validation,
    batches,
    count_in_pool,
    initial_bias,
    input_and_target,
    negative_distribution,
    steps_sparsely,
    train,
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def some_scores(seed: int, users: int, targets: int, negatives: int) -> Scores:
    """Draw scores of a catalogue of 9 rows; a pool of 9 is all of them, others are random, some rows in it twice."""
    rng = np.random.default_rng(seed)
    everything = torch.from_numpy(rng.normal(0, 2, (users, 9)).astype(np.float32))
    rows = torch.from_numpy(np.stack([rng.permutation(9)[:targets] for _ in range(users)]))
    drawn = np.tile(np.arange(9), (users, 1)) if negatives == 9 else rng.integers(9, size=(users, negatives))
    pool = torch.from_numpy(drawn)
    return Scores(
        targets=everything.gather(1, rows),
        is_target=torch.from_numpy(rng.random((users, targets)) < 0.7),
        pool=everything.gather(1, pool),
        is_negative=torch.from_numpy(rng.random((users, negatives)) < 0.7),
        in_pool=(rows[:, :, None] == pool[:, None, :]).sum(2),
        items=9,
    )


def naive(loss: str, scores: Scores, user: int, target: int) -> float:
    """Write one target's loss as section 5.3 does."""
    s_target = float(scores.targets[user, target])
    pool = scores.pool[user].tolist()
    unknown = [score for score, is_new in zip(pool, scores.is_negative[user].tolist(), strict=True) if is_new]
    if loss == "bpr":
        return sum(-math.log(sigmoid(s_target - score)) for score in unknown) / max(len(unknown), 1)
    if loss == "ns":
        return -math.log(sigmoid(s_target)) - sum(math.log(1 - sigmoid(score)) for score in unknown)
    if loss == "mult":
        return math.log(sum(math.exp(score) for score in pool)) - s_target
    if int(scores.in_pool[user, target]):
        pool = [score for score in pool if score != s_target]
    z = math.exp(s_target)
    if pool:
        z += (scores.items - 1) / len(pool) * sum(math.exp(score) for score in pool)
    return math.log(z) - s_target


SIZES: dict[str, Any] = {
    "seed": st.integers(0, 10_000),
    "users": st.integers(1, 4),
    "targets": st.integers(1, 4),
    "negatives": st.integers(2, 9),
}


@pytest.mark.parametrize("loss", LOSSES)
@given(**SIZES)
def test_every_loss_equals_its_formula(loss: str, seed: int, users: int, targets: int, negatives: int) -> None:
    """The vectorised loss is, target by target, what section 5.3 writes."""
    scores = some_scores(seed, users, targets, negatives)
    expected = [[naive(loss, scores, user, target) for target in range(targets)] for user in range(users)]
    np.testing.assert_allclose(LOSSES[loss](scores).numpy(), expected, atol=1e-4, rtol=1e-4)


@given(seed=st.integers(0, 10_000), users=st.integers(1, 4), targets=st.integers(1, 4))
def test_css_over_all_items_is_the_full_softmax(seed: int, users: int, targets: int) -> None:
    """With every item in the pool the estimate of Z is Z."""
    scores = some_scores(seed, users, targets, 9)
    torch.testing.assert_close(css_loss(scores), multinomial_loss(scores), atol=1e-4, rtol=1e-4)


def test_css_estimates_z_without_bias() -> None:
    """Averaged over all pools of 3 of 8 items, the estimated Z is the true one, be the target in the pool or not."""
    scores = torch.from_numpy(np.random.default_rng(3).normal(0, 1, 8).astype(np.float32))
    pools = torch.tensor(list(itertools.combinations(range(8), 3)))
    yes = torch.ones(len(pools), 1, dtype=torch.bool)
    in_pool = (pools == 0).sum(1, keepdim=True)
    target = scores[:1].expand(len(pools), 1)
    found = css_loss(Scores(target, yes, scores[pools], yes.expand(-1, 3), in_pool, 8)) + target
    assert found.exp().mean().item() == pytest.approx(scores.exp().sum().item(), rel=1e-4)


def test_css_with_one_negative_is_bpr_with_a_margin() -> None:
    """As section 5.3 notes, the margin is log(I - 1)."""
    target, negative, items = torch.tensor([[0.3]]), torch.tensor([[1.1]]), 50
    yes, no = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.bool)
    shifted = Scores(target, yes, negative + math.log(items - 1), yes, no, items)
    torch.testing.assert_close(css_loss(Scores(target, yes, negative, yes, no, items)), bpr_loss(shifted))


@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_scores_give_finite_losses_and_gradients(loss: str) -> None:
    """Scores of +-200, and a pool that is nothing but the target, neither overflow nor give NaN gradients."""
    targets = torch.tensor([[200.0, -200.0], [3.0, 0.0]], requires_grad=True)
    pool = torch.tensor([[-200.0, 200.0], [3.0, -200.0]], requires_grad=True)
    yes = torch.ones(2, 2, dtype=torch.bool)
    in_pool = torch.tensor([[True, True], [True, False]])
    found = average(LOSSES[loss](Scores(targets, yes, pool, yes, in_pool, 5)), yes, "user")
    found.backward()
    for value in (found, targets.grad, pool.grad):
        assert value is not None
        assert torch.isfinite(value).all()


def test_averages_weigh_users_or_targets() -> None:
    """A user with losses 1 and 3, another with 10: by user (2 + 10) / 2, by target 14 / 3; padding counts nowhere."""
    losses = torch.tensor([[1.0, 3.0], [10.0, 99.0]])
    valid = torch.tensor([[True, True], [True, False]])
    assert average(losses, valid, "user").item() == pytest.approx(6.0)
    assert average(losses, valid, "target").item() == pytest.approx(14 / 3)


def test_negative_sampling_is_finite_without_negatives() -> None:
    """A user who has interacted with the whole pool is trained on positives alone."""
    no = torch.zeros(1, 2, dtype=torch.bool)
    scores = Scores(torch.tensor([[0.0]]), ~no[:, :1], torch.tensor([[1.0, 2.0]]), no, no[:, :1], 5)
    assert negative_sampling_loss(scores).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("loss", ["mult", "mult-css", "ns"])
def test_reconstructing_losses_have_the_same_items_in_input_and_target(loss: str) -> None:
    """Without dropout input and target are the history; dropout thins the input only (section 6.3)."""
    history, rng = np.arange(40, dtype=np.int64), np.random.default_rng(0)
    inputs, targets = input_and_target(Roles(history), LedConfig(loss=loss, dropout=0.0), rng)
    assert inputs.tolist() == targets.tolist() == history.tolist()
    inputs, targets = input_and_target(Roles(history), LedConfig(loss=loss, dropout=0.5), rng)
    assert set(inputs) < set(targets) == set(history)
    _, targets = input_and_target(Roles(history), LedConfig(loss=loss, max_targets=7), rng)
    assert len(set(targets.tolist())) == 7


def test_the_full_loss_has_all_items_in_its_pool() -> None:
    """`mult` needs no negatives: whatever their number, the pool is the catalogue, and it marks every target."""
    histories = [np.array([0, 5]), np.array([1, 2, 3])]
    known = incidence(histories, 6)
    config = LedConfig(loss="mult", negatives=2)
    (batch,) = batches(
        [Roles(rows) for rows in histories], known, negative_distribution(known, 0.0), config, np.random.default_rng(0)
    )
    assert batch.pool.tolist() == list(range(6))
    assert batch.in_pool.all()


@given(seed=st.integers(0, 10_000), users=st.integers(1, 5), negatives=st.integers(1, 9))
def test_pools_of_users_are_scored_and_counted_like_one_by_one(seed: int, users: int, negatives: int) -> None:
    """Scores of (B, N) pools and how often targets are in them equal what each user gives alone."""
    rng = np.random.default_rng(seed)
    pool, targets = rng.integers(7, size=(users, negatives)), rng.integers(7, size=(users, 3))
    model = Led(torch.from_numpy(rng.standard_normal((7, 2)).astype(np.float32)), "train")
    vectors = torch.from_numpy(rng.standard_normal((users, 2)).astype(np.float32))
    with torch.no_grad():
        model.bias.copy_(torch.arange(7.0))
        found = model.score_pool(vectors, torch.from_numpy(pool))
        torch.testing.assert_close(found, model.score_own(vectors, torch.from_numpy(pool)))
    for user in range(users):
        counts = [pool[user].tolist().count(target) for target in targets[user].tolist()]
        assert count_in_pool(targets, pool, 7)[user].tolist() == counts
        alone = count_in_pool(targets[user : user + 1], pool[user], 7)
        assert alone.tolist() == [counts]


def test_every_user_may_have_a_pool_of_its_own() -> None:
    """With negatives_per "user" the pool is (B, N), and what the user has is masked in its row."""
    histories = [np.array([0, 1, 2]), np.array([3, 4]), np.array([0, 4, 5])]
    known = incidence(histories, 6)
    config = LedConfig(batch_users=3, negatives=50, negatives_per="user")
    (batch,) = batches(
        [Roles(rows) for rows in histories], known, negative_distribution(known, 0.0), config, np.random.default_rng(0)
    )
    assert batch.pool.shape == batch.is_negative.shape == (3, 50)
    allowed = [set(batch.pool[row][batch.is_negative[row]].tolist()) for row in range(3)]
    assert sorted(map(sorted, allowed)) == [[0, 1, 2, 5], [1, 2, 3], [3, 4, 5]]


@pytest.mark.parametrize("per", ["batch", "user"])
@pytest.mark.parametrize("tuning", ["train", "project"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_what_goes_together(loss: str, tuning: str, per: str) -> None:
    """On users who stay within one of two groups of items, each loss lifts validation NDCG well above the start."""
    rng = np.random.default_rng(0)
    histories = [rng.permutation(10)[:5] + 10 * (user % 2) for user in range(120)]
    inputs, targets = fold_in(histories[100:], 0.6, seed=0)
    validation = Validation(incidence(inputs, 20), incidence(targets, 20))
    initial = rng.standard_normal((20, 8)).astype(np.float32)
    config = LedConfig(
        loss=loss,
        tuning=tuning,
        epochs=12,
        learning_rate=0.03,
        batch_users=20,
        dropout=0.3,
        negatives=8,
        negatives_per=per,
        patience=12,
    )
    trained = train(histories[:100], initial, validation, config, 0, lambda _: None)
    again = train(histories[:100], initial, validation, config, 0, lambda _: None)
    assert trained.epochs[trained.best].ndcg > trained.epochs[0].ndcg + 0.1
    assert trained.vectors.tobytes() == again.vectors.tobytes()


def test_css_refuses_negatives_by_popularity() -> None:
    """The estimate of Z holds for uniform negatives only."""
    with pytest.raises(ValueError, match="negative_power = 0"):
        LedConfig(loss="mult-css", negative_power=0.75)


def test_negative_sampling_starts_from_the_odds_of_its_positive() -> None:
    """Its biases begin at -log N, so that one target and N negatives together weigh the same; others begin at 0."""
    start = initial_bias(LedConfig(loss="ns", negatives=100))
    assert 100 * sigmoid(start) == pytest.approx(sigmoid(-start), rel=0.01)
    assert {initial_bias(LedConfig(loss=loss)) for loss in ("mult", "mult-css", "bpr")} == {0.0}


@pytest.mark.parametrize("per", ["batch", "user"])
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "mult"])
def test_a_large_catalogue_learns_alike(loss: str, per: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step over the vectors in use is Adam's over all; later ones learn as much, the same every time."""
    rng = np.random.default_rng(0)
    histories = [rng.permutation(10)[:5] + 10 * (user % 2) for user in range(120)]
    inputs, targets = fold_in(histories[100:], 0.6, seed=0)
    validation = Validation(incidence(inputs, 22), incidence(targets, 22))
    initial = rng.standard_normal((22, 8)).astype(np.float32)
    first = LedConfig(loss=loss, epochs=1, batch_users=100, negatives=8, negatives_per=per, learning_rate=0.03)
    longer = msgspec.structs.replace(first, epochs=12, batch_users=20, patience=12)
    dense = train(histories[:100], initial, validation, first, 0, lambda _: None)
    monkeypatch.setattr("shortlist_training.train.SPARSE_FROM", 20)
    sparse = train(histories[:100], initial, validation, first, 0, lambda _: None)
    assert sparse.best == dense.best == 1
    assert sparse.epochs[1].loss == pytest.approx(dense.epochs[1].loss)
    np.testing.assert_allclose(sparse.vectors, dense.vectors, atol=3e-3)  # a step is 0.03
    trained, again = (train(histories[:100], initial, validation, longer, 0, lambda _: None) for _ in range(2))
    assert trained.epochs[trained.best].ndcg > trained.epochs[0].ndcg + 0.1
    assert trained.vectors.tobytes() == again.vectors.tobytes()


def test_some_settings_touch_every_vector() -> None:
    """A full softmax, weight decay and one matrix for all need a step over all vectors, as small catalogues take."""
    assert steps_sparsely(LedConfig(), SPARSE_FROM)
    assert not steps_sparsely(LedConfig(), SPARSE_FROM - 1)
    for config in (LedConfig(loss="mult"), LedConfig(weight_decay=0.1), LedConfig(tuning="project")):
        assert not steps_sparsely(config, SPARSE_FROM)
