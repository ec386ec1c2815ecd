"""Lateness and the behaviour field a_uj: by hand, against a plain regression, and without a look at any label."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import torch

from shortlist_training.leave_one_out import Cases, hold_out_one
from shortlist_training.neighbourhood import LinearConfig
from shortlist_training.pdn.features import (
    COUNT_CODES,
    GROWTH,
    Behaviour,
    Fields,
    Profiles,
    activity_codes,
    read_behaviour,
    returned_users,
)
from shortlist_training.pdn.inference import serve
from shortlist_training.pdn.lateness import PRIOR_USERS, WIDTH, late_codes, late_values, lateness, weighed
from shortlist_training.pdn.model import Pdn, PdnConfig, listwise, path_weights
from shortlist_training.pdn.train import TrainConfig, batch_loss, sample, scores
from shortlist_training.pdn.views import Views, look, views
from shortlist_training.pdn.warm_start import start_from_lateness

USERS, ITEMS, DAY = 40, 24, 86_400
BACK = 7
LINEAR = LinearConfig(3.0, 0.1, 2.0)


def a_log(users: int = USERS) -> sp.csr_matrix:
    """Short histories have the first items only."""
    rng = np.random.default_rng(2)
    reach = rng.integers(6, ITEMS + 1, size=users)
    return sp.csr_matrix(((np.arange(ITEMS) < reach[:, None]) & (rng.random((users, ITEMS)) < 0.7)).astype(np.float32))


@pytest.fixture(scope="module")
def cases() -> Cases:
    return hold_out_one(a_log(), 3, negatives=3)


@pytest.fixture(scope="module")
def seen(cases: Cases) -> Views:
    return views(cases.history, 4, LINEAR, 1, lambda _a, _b, _c: None)


def profiles() -> Profiles:
    returned = np.arange(USERS) == BACK
    return Profiles(
        users=Fields(np.zeros((USERS, 1), dtype=np.int64), (1,)),
        items=Fields(np.zeros((ITEMS, 1), dtype=np.int64), (1,)),
        genres=np.ones((ITEMS, 1), dtype=np.float32),
        genre_names=("a",),
        behaviour=Behaviour(np.array([2 * ITEMS + 3, 5 * ITEMS]), returned, ITEMS),
    )


def a_model(**sizes: bool) -> Pdn:
    torch.manual_seed(4)
    return Pdn(profiles(), PdnConfig(id_dim=4, field_dim=3, hidden=6, direct_dim=4, path_start=-1.0, **sizes))


def test_lateness_is_the_elasticity_of_a_plain_regression() -> None:
    """x_i on log n by weighted least squares, at the mean of log n; items that all users have come earliest."""
    history = a_log(300)
    dense, length = history.toarray(), np.log(np.diff(history.indptr))
    found = lateness(history)
    for code in (4, 7):
        kernel = np.exp(-0.5 * ((length - (code - 0.5) * np.log(GROWTH)) / WIDTH) ** 2)
        kernel /= kernel.sum()
        design = np.stack([np.ones(300), length - kernel @ length], axis=1)
        share, slope = np.linalg.solve(design.T @ (kernel[:, None] * design), design.T @ (kernel[:, None] * dense))
        raw = np.exp(-0.5 * ((length - (code - 0.5) * np.log(GROWTH)) / WIDTH) ** 2)
        prior = dense.mean(0) * share.sum() / dense.mean(0).sum() * PRIOR_USERS / raw.sum()
        expected = np.log(np.clip((slope + prior) / (share + prior), 0.1, 5.0))
        np.testing.assert_allclose(found[code], expected, atol=1e-4)
        assert found[code, 0] < 0 < found[code, ITEMS - 1]


def test_an_item_that_grows_with_the_history_is_neither_early_nor_late() -> None:
    """As n doubles, one item's share stays, one's doubles, one's grows fourfold: 0, 0.96 and 1.73, drawn towards 1."""
    rows = np.zeros((80, 51), dtype=np.float32)
    rows[:, 0] = 1.0
    rows[40:60, 1] = rows[40:80, 2] = rows[:10, 1] = 1.0
    rows[:10, 2] = 1.0
    for user in range(80):  # fill up to 8 and to 16 items
        wanted = (8 if user < 40 else 16) - int(rows[user].sum())
        rows[user, 3 + (np.arange(wanted) + user) % 48] = 1.0
    found = np.exp(lateness(sp.csr_matrix(rows))[6])
    assert 0.0 < found[0] < 0.5
    assert 0.25 / np.log(2) / 0.375 < found[1] < 1.0
    assert 1.0 < found[2] < 0.75 / np.log(2) / 0.625


def test_codes_keep_the_value_within_half_a_class() -> None:
    """A class's middle is at most half a class away; class 0 says nothing."""
    values = np.linspace(np.log(0.1), np.log(5.0), 200).astype(np.float32)
    codes = late_codes(values)
    assert (codes.min(), codes.max()) == (1, len(late_values()) - 1)
    assert np.abs(late_values()[codes] - values).max() <= 0.5 * (np.log(50.0) / (len(late_values()) - 1)) + 1e-6
    assert late_values()[0] == 0.0


def test_a_users_own_history_is_not_in_the_lateness_of_its_fold(cases: Cases, seen: Views) -> None:
    """Training on a user sees the lateness of the users outside of its fold only."""
    changed = cases.history.tolil()
    changed[4] = 1 - cases.history[4].toarray()
    fold = int(seen.fold[4])
    found = look(sp.csr_matrix(changed)[seen.fold != fold], LINEAR, seen.edges)
    np.testing.assert_array_equal(seen.held_out[fold].late, found.late)


def test_who_is_back_asks_more_than_a_day_after_the_latest_possible_sign_up() -> None:
    """By hand, the last to sign up first: a later request than that of somebody who signed up later shows a return."""
    requests = np.array([10 * DAY, 10 * DAY + 5, 12 * DAY, 9 * DAY, 10 * DAY, 10 * DAY + 1, 8 * DAY])
    assert returned_users(requests).tolist() == [False, False, True, False, False, True, False]


def a_reading(tmp_path: Path, item: int, rating: int, *, liked: bool) -> Behaviour:
    """Write three users' logs whose test rows hold `item` and `rating`, and read the behaviour."""
    log = {
        "ncf_user": [0, 0, 1, 1, 2, 2],
        "ncf_item": [4, item, 2, item, 5, item],
        "is_test": [False, True] * 3,
        "rating_ge3": [False, liked, True, liked, False, liked],
    }
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    requests = {
        "ncf_user": [0, 1, 2],
        "user_id": [7, 9, 8],
        "ncf_item": [item] * 3,
        "rating": [rating] * 3,
        "timestamp": [5 * DAY, 5 * DAY + 9, 7 * DAY],
    }
    pq.write_table(pa.table(requests), tmp_path / "requests.parquet")
    return read_behaviour(tmp_path / "log.parquet", tmp_path / "requests.parquet")


def test_no_label_is_read(tmp_path: Path) -> None:
    """Test items and their ratings change nothing; disliked pairs of the training log and returns are as by hand."""
    first = a_reading(tmp_path, 0, 5, liked=True)
    second = a_reading(tmp_path, 1, 1, liked=False)
    for found in (first, second):
        assert found.items == 6
        assert found.disliked.tolist() == [0 * 6 + 4, 2 * 6 + 5]
        assert found.returned.tolist() == [False, False, True]  # in order of sign-up: rows 0, 2, 1


def test_triggers_are_weighed_by_their_users_activity(cases: Cases, seen: Views) -> None:
    """Each entry weighs lateness^power of its item at its user's activity; who is back has ones."""
    behaviour = profiles().behaviour
    assert behaviour is not None
    found = weighed(cases.history, seen.everybody.late, behaviour, 0.5)
    code = seen.everybody.late[activity_codes(cases.history)[3], cases.history[3].indices]
    np.testing.assert_allclose(found[3].data, np.exp(0.5 * late_values()[code]), rtol=1e-6)
    assert set(found[BACK].data.tolist()) == {1.0}


def test_targets_are_drawn_by_their_odds() -> None:
    """An item with three times the odds is held out three times as often."""
    history = sp.csr_matrix(np.tile([1.0, 1.0, 0.0, 0.0], (4000, 1)).astype(np.float32))
    odds = sp.csr_matrix((np.tile([1.0, 3.0], 4000), history.indices, history.indptr), shape=history.shape)
    found = hold_out_one(history, 1, negatives=2, odds=odds)
    assert (found.targets == 1).mean() == pytest.approx(0.75, abs=0.03)


def test_the_field_knows_dislikes_and_returns(seen: Views) -> None:
    """Exactly the pairs of the log are disliked; a user who is back has code 0 for every trigger."""
    field = a_model().behaviour
    assert field is not None
    users, items = torch.tensor([2, 2, 5, 39, 0]), torch.tensor([3, 4, 0, 23, 3])
    assert field.dislikes(users, items).tolist() == [True, False, True, False, False]
    late = torch.from_numpy(seen.everybody.late)[torch.tensor([5, 5]), torch.tensor([1, 1])]
    known, back = field.codes(torch.tensor([3, BACK]), late).tolist()
    assert (known, back) == (int(late[0]), 0)


def test_trignet_starts_at_the_power_of_lateness(cases: Cases, seen: Views) -> None:
    """With all other units silent, two triggers of a user differ by power * log lateness, and not for who is back."""
    model = a_model()
    with torch.no_grad():
        model.trig[2].weight.zero_()
        model.trig[2].bias.zero_()
    start_from_lateness(model, 0.6)
    served = serve(model, cases.history, seen.everybody)
    items, weight = served.triggers_of(3)
    code = seen.everybody.late[activity_codes(cases.history)[3], items]
    np.testing.assert_allclose(weight, 0.6 * late_values()[code], atol=1e-5)
    np.testing.assert_allclose(served.triggers_of(BACK)[1], 0.0, atol=1e-5)


def test_a_model_without_the_field_is_not_started() -> None:
    """The error says which field is missing, and a log without behaviour makes no field."""
    model = Pdn(replace(profiles(), behaviour=None), PdnConfig(hidden=4))
    assert model.behaviour is None
    with pytest.raises(ValueError, match="behaviour: the model"):
        start_from_lateness(model, 0.6)


def test_training_and_serving_weigh_triggers_alike(cases: Cases, seen: Views) -> None:
    """A batch's paths, a positive's counted for one more, are the sums that serving makes of its own weights."""
    model = a_model(bias=False, direct=False)
    users, pool = np.array([2, BACK, 17]), np.arange(ITEMS)
    batch = sample(cases, activity_codes(cases.history), users, pool, TrainConfig(), np.random.default_rng(0))
    served = serve(model, cases.history, seen.everybody)
    with torch.no_grad():
        found = scores(model, batch, seen.everybody).numpy()
    for row, user in enumerate(users):
        items, weight = served.triggers_of(int(user))
        paths = path_weights(torch.from_numpy(served.similarity[items]), torch.from_numpy(weight)).numpy()
        others = (items[:, None] != pool).sum(0)
        np.testing.assert_allclose(found[row], paths.sum(0) * len(items) / others, rtol=1e-4)


def test_the_bias_net_takes_lateness_from_the_logit(cases: Cases, seen: Views) -> None:
    """With it the loss is that of scores less log lateness / slope, nothing for who is back; without, the scores'."""
    users, pool = np.array([1, BACK]), np.arange(ITEMS)
    activity = activity_codes(cases.history)
    batch = sample(cases, activity, users, pool, TrainConfig(), np.random.default_rng(0))
    late = late_values()[seen.everybody.late[activity[users]]] * np.array([[1.0], [0.0]], dtype=np.float32)
    for bias in (True, False):
        model = a_model(bias=bias)
        with torch.no_grad():
            slope = model.slopes(batch.activity)
            score = scores(model, batch, seen.everybody) - bias * torch.from_numpy(late) / slope
            found = batch_loss(model, batch, seen.everybody, TrainConfig())
        assert float(found) == pytest.approx(float(listwise(score, batch.label, batch.weight, slope)), rel=1e-5)


def test_activity_codes_are_rows_of_the_table(seen: Views) -> None:
    """Every class of activity has a row, so that any user is served."""
    assert seen.everybody.late.shape == (COUNT_CODES, ITEMS)
