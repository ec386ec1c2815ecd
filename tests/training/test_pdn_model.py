"""PDN's equations, batches and serving against naive loops over paths."""

import math
from typing import Any, Literal

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import nn

from shortlist_training.leave_one_out import Cases, hold_out_one
from shortlist_training.neighbourhood import LinearConfig
from shortlist_training.pdn.cooccurrence import BUCKETS, STATISTICS
from shortlist_training.pdn.features import Fields, Profiles, activity_codes
from shortlist_training.pdn.greedy import greedy_scorer, retrieve
from shortlist_training.pdn.inference import Served, serve
from shortlist_training.pdn.model import Pdn, PdnConfig, to_tensor
from shortlist_training.pdn.pairs import build_index, candidate_pairs
from shortlist_training.pdn.train import TrainConfig, epoch_batches, sample, scores, train
from shortlist_training.pdn.views import Views, views
from shortlist_training.pdn.warm_start import FactorConfig, factorize, start_from_factors, start_from_linear

USERS, ITEMS, GENRES = 40, 24, 3


def ignore(_label: str, _done: int, _total: int) -> None:
    pass


def profiles() -> Profiles:
    rng = np.random.default_rng(1)
    genres = (rng.random((ITEMS, GENRES)) < 0.5).astype(np.float32)
    genres[genres.sum(1) == 0, 0] = 1.0
    return Profiles(
        users=Fields(rng.integers(0, 2, size=(USERS, 2)), (2, 2)),
        items=Fields(rng.integers(0, 4, size=(ITEMS, 1)), (4,)),
        genres=genres / genres.sum(1, keepdims=True),
        genre_names=("a", "b", "c"),
    )


@pytest.fixture(scope="module")
def cases() -> Cases:
    rng = np.random.default_rng(2)
    likes = 0.1 + 0.6 * (np.arange(USERS)[:, None] % 2 == np.arange(ITEMS) % 2)
    return hold_out_one(sp.csr_matrix((rng.random((USERS, ITEMS)) < likes).astype(np.float32)), 3, negatives=5)


@pytest.fixture(scope="module")
def seen(cases: Cases) -> Views:
    return views(cases.history, 4, LinearConfig(3.0, 0.1, 2.0), 1, ignore)


@pytest.fixture(scope="module")
def model(seen: Views) -> Pdn:
    torch.manual_seed(4)
    pdn = Pdn(profiles(), PdnConfig(id_dim=4, field_dim=3, hidden=6, direct_dim=4, path_start=-1.0, direct_start=-1.0))
    start_from_linear(pdn, seen.edges, 0.05)
    with torch.no_grad():
        for parameter in pdn.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return pdn


def naive_similarity(model: Pdn, view: Any, j: int, i: int) -> float:
    """SimNet as the paper writes it: one MLP on the concatenation of E(x_j), E(c_ji) and E(x_i)."""
    popularity = to_tensor(view.popularity)
    first = torch.cat([model.sim.trigger.weight, model.sim.pair.weight.T, model.sim.target.weight], dim=1)
    one_hot = torch.zeros(len(model.sim.pair.weight))
    for place in range(len(STATISTICS)):
        one_hot[place * (BUCKETS + 1) + int(view.buckets[place, j, i])] = 1.0
    x_j, x_i = (model.items(torch.tensor([item]), popularity)[0] for item in (j, i))
    hidden = first @ torch.cat([x_j, one_hot, x_i]) + model.sim.trigger.bias
    return float(model.sim.out(nn.functional.leaky_relu(hidden)).detach())


def naive_score(model: Pdn, served: Served, user: int, item: int) -> float:
    """Eq. 12 without bias, path by path."""
    found = math.log1p(math.exp(float(served.people[user] @ served.items[item]) + model.config.direct_start))
    for j, weight in zip(*served.triggers_of(user), strict=True):
        if j != item:
            found += math.log1p(math.exp(float(weight)) * math.exp(float(served.similarity[j, item])))
    return found


def test_without_bias_net_one_slope_serves_all() -> None:
    """The slope depends on activity only with the bias net."""
    activity = torch.tensor([1, 2])
    for bias, alike in ((True, False), (False, True)):
        pdn = Pdn(profiles(), PdnConfig(hidden=4, bias=bias))
        with torch.no_grad():
            pdn.slope.weight[2] += 1.0
        first, second = pdn.slopes(activity).flatten().tolist()
        assert (first == second) is alike


def test_simnet_is_an_mlp_on_the_concatenation(model: Pdn, seen: Views, cases: Cases) -> None:
    """Products made once per item and table entries give eq. 9's value for every pair; none with itself."""
    served = serve(model, cases.history, seen.everybody)
    for j, i in ((0, 1), (5, 2), (23, 22)):
        expected = naive_similarity(model, seen.everybody, j, i)
        assert served.similarity[j, i] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert np.isneginf(np.diag(served.similarity)).all()


def test_training_and_serving_compute_the_same_score(model: Pdn, seen: Views, cases: Cases) -> None:
    """A batch's y without bias is what serving gives for the same view; a positive's paths count for one more."""
    activity = activity_codes(cases.history)
    users, pool = np.array([3, 0, 17]), np.arange(0, ITEMS, 2)
    batch = sample(cases, activity, users, pool, TrainConfig(), np.random.default_rng(0))
    with torch.no_grad():
        popularity = to_tensor(seen.everybody.popularity)
        bias = model.bias_weight(batch.activity, popularity[batch.pool])
        found = (scores(model, batch, seen.everybody) - bias).numpy()
    served = serve(model, cases.history, seen.everybody)
    expected = np.array([[naive_score(model, served, user, item) for item in pool] for user in users])
    direct = served.direct_weight(users, served.items[pool])
    count = np.diff(cases.history.indptr)[users][:, None]
    more = count / (count - cases.history[users][:, pool].toarray())
    np.testing.assert_allclose(found, (expected - direct) * more + direct, rtol=1e-4)
    np.testing.assert_allclose(served.score_all(users)[:, pool], expected, rtol=1e-4)
    np.testing.assert_allclose(served.score_pairs(users, np.tile(pool, (3, 1))), expected, rtol=1e-4)


def test_a_capped_history_keeps_the_size_of_the_sum(seen: Views, cases: Cases) -> None:
    """Where all paths weigh the same, the sum of those taken is scaled to all triggers."""
    users, pool = np.arange(5), np.arange(4)
    fitting = TrainConfig(max_triggers=3)
    batch = sample(cases, activity_codes(cases.history), users, pool, fitting, np.random.default_rng(0))
    assert (np.bincount(batch.owner.numpy(), minlength=5) <= 3).all()
    pdn = Pdn(profiles(), PdnConfig(hidden=4, direct=False, bias=False))
    with torch.no_grad():
        for parameter in [*pdn.sim.parameters(), *pdn.trig.parameters()]:
            parameter.zero_()
        found = scores(pdn, batch, seen.everybody).numpy()
    expected = np.diff(cases.history.indptr)[:5, None] * math.log(2.0)
    np.testing.assert_allclose(found, np.tile(expected, (1, 4)), rtol=1e-5)


def test_held_out_targets_are_like_any_unknown_item(cases: Cases) -> None:
    """A validation target is no trigger and no positive, and weighs what all other negatives of its user weigh."""
    activity, pool = activity_codes(cases.history), np.arange(ITEMS)
    batch = sample(cases, activity, np.arange(USERS), pool, TrainConfig(), np.random.default_rng(0))
    at = (np.arange(USERS), cases.targets)
    assert not batch.label.numpy()[at].any()
    negative = np.where(batch.label.numpy() > 0, 0.0, batch.weight.numpy())
    np.testing.assert_array_equal(batch.weight.numpy()[at], negative.max(1))
    assert not ((batch.triggers.numpy() == cases.targets[batch.owner.numpy()]).any())


def test_an_epoch_has_every_user_once_in_its_own_fold(seen: Views, cases: Cases) -> None:
    """Batches of one fold only, so that each is scored with the view that has not seen its users."""
    users: list[NDArray[np.int64]] = []
    for fold, batch in epoch_batches(cases, seen.fold, TrainConfig(batch_users=7, pool=9), np.random.default_rng(0)):
        assert (seen.fold[batch.users.numpy()] == fold).all()
        assert len(set(batch.pool.tolist())) == 9
        users.append(batch.users.numpy())
    np.testing.assert_array_equal(np.sort(np.concatenate(users)), np.arange(USERS))


def test_the_warm_start_weighs_paths_as_linear_cf_does(seen: Views) -> None:
    """At first a path weighs the linear bucket's mean plus the offset, never below a part of the offset."""
    offset = 0.5
    pdn = Pdn(profiles(), PdnConfig(hidden=4))
    start_from_linear(pdn, seen.edges, offset)
    served = serve(pdn, sp.csr_matrix(np.ones((USERS, ITEMS), dtype=np.float32)), seen.everybody)
    bucket = seen.everybody.buckets[STATISTICS.index("linear")].astype(int) - 1
    expected = seen.edges.linear_means[bucket] + offset
    off = ~np.eye(ITEMS, dtype=bool)
    found = np.log1p(np.exp(served.similarity))
    np.testing.assert_allclose(found[off], np.maximum(expected, 0.025)[off], rtol=1e-3)


def test_the_direct_net_starts_at_the_factors_and_stays(cases: Cases) -> None:
    """d_ui is the weighted product of the factors, whatever the other fields, and nothing of it learns."""
    factors = factorize(cases.history, FactorConfig(factors=4, iterations=3), 1)
    pdn = Pdn(profiles(), PdnConfig(hidden=4, direct_dim=4))
    start_from_factors(pdn, factors, 0.3)
    with torch.no_grad():
        people = pdn.direct_user(torch.arange(USERS), torch.arange(USERS) % 3)
        found = people @ pdn.direct_item(torch.arange(ITEMS), torch.arange(ITEMS) % 5).T
    np.testing.assert_allclose(found.numpy(), 0.3 * factors.users @ factors.items.T, rtol=1e-3, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in pdn.user_tower.parameters())
    assert not pdn.direct_items.id.weight.requires_grad


def test_factors_of_another_width_are_refused(cases: Cases) -> None:
    """The message names the setting and both widths."""
    factors = factorize(cases.history, FactorConfig(factors=3, iterations=1), 1)
    with pytest.raises(ValueError, match="direct_dim: 4, but the factors to start from have 3"):
        start_from_factors(Pdn(profiles(), PdnConfig(hidden=4, direct_dim=4)), factors, 0.3)


def test_factors_predict_the_log(cases: Cases) -> None:
    """What users have gets more than what they do not have, and a seed gives the same factors again."""
    first, second = (factorize(cases.history, FactorConfig(factors=4), 1) for _ in range(2))
    np.testing.assert_array_equal(first.users, second.users)
    found, known = first.users @ first.items.T, cases.history.toarray() > 0
    assert found[known].mean() > 1.5 * found[~known].mean()


def test_greedy_with_everything_is_the_whole_model(model: Pdn, seen: Views, cases: Cases) -> None:
    """All triggers and all items in the index lose nothing (eq. 14 is then eq. 12 without bias)."""
    served = serve(model, cases.history, seen.everybody)
    index = build_index(model, seen.everybody, profiles(), ITEMS - 1, ITEMS, ITEMS)
    users = np.arange(6)
    np.testing.assert_allclose(
        greedy_scorer(served, index, ITEMS)(users), served.score_all(users), rtol=1e-4, atol=1e-5
    )


def test_greedy_is_equation_14(model: Pdn, seen: Views, cases: Cases) -> None:
    """Top-m triggers, softplus of both hops summed per candidate, direct weight once; other pairs weigh their mean."""
    served = serve(model, cases.history, seen.everybody)
    index = build_index(model, seen.everybody, profiles(), 4, 10, 6)
    triggers, weight = served.triggers_of(9)
    top = np.argsort(-weight, kind="stable")[:3]
    reached = {int(item) for place in top for item in index.items[triggers[place]]}
    total = dict.fromkeys(reached, 0.0)
    for place in top:
        j = triggers[place]
        known = dict(zip(index.items[j].tolist(), index.similarity[j].tolist(), strict=True))
        for item in reached:
            total[item] += math.log1p(math.exp(float(weight[place]) + known.get(item, float(index.rest[j]))))
    candidates, found = retrieve(served, index, 9, 3)
    assert candidates.tolist() == sorted(total)
    direct = served.direct_weight(np.array([9]), served.items[candidates])[0]
    np.testing.assert_allclose(found, [total[item] for item in sorted(total)] + direct, rtol=1e-5)


def test_candidates_come_from_the_log_and_from_profiles(seen: Views) -> None:
    """An item is never its own candidate, and each source brings as many as asked."""
    known = profiles()
    found = candidate_pairs(2, seen.everybody, known, 5, 0)
    together = seen.everybody.buckets[STATISTICS.index("count"), 2].astype(int)
    assert len(found) == 5
    assert 2 not in found
    others = np.setdiff1d(np.arange(ITEMS), [*found, 2])
    assert together[found].min() >= together[others].max()
    by_profile = candidate_pairs(2, seen.everybody, known, 0, 4)
    shared = known.genres @ known.genres[2] / np.linalg.norm(known.genres, axis=1)
    rest = np.setdiff1d(np.arange(ITEMS), [*by_profile, 2])
    assert shared[by_profile].min() >= shared[rest].max() - 1e-4


def test_the_index_holds_the_best_of_the_candidates(model: Pdn, seen: Views, cases: Cases) -> None:
    """SimNet ranks each item's candidates and the best k stay, with their s_ji."""
    served = serve(model, cases.history, seen.everybody)
    index = build_index(model, seen.everybody, profiles(), 3, 8, 4)
    for item in range(ITEMS):
        rows = candidate_pairs(item, seen.everybody, profiles(), 8, 4)
        best = rows[np.argsort(-served.similarity[item, rows], kind="stable")[:3]]
        np.testing.assert_array_equal(index.items[item], best)
        np.testing.assert_allclose(index.similarity[item], served.similarity[item, best], rtol=1e-4)
        others = np.setdiff1d(rows, best)
        mean = math.log(np.exp(served.similarity[item, others]).mean())
        assert index.rest[item] == pytest.approx(mean, rel=1e-4)


@pytest.mark.parametrize("loss", ["listwise", "cross_entropy"])
def test_training_lowers_the_loss_and_repeats(
    seen: Views, cases: Cases, loss: Literal["listwise", "cross_entropy"]
) -> None:
    """The same seed gives the same epochs, and the loss goes down."""
    sizes = PdnConfig(id_dim=4, field_dim=2, hidden=4, direct_dim=4, linear_offset=None, direct_start=-4.0)
    fitting = TrainConfig(loss=loss, epochs=5, patience=9, batch_users=8, pool=12, learning_rate=0.02, warm_up=1)
    runs = [train(cases, seen, None, profiles(), sizes, fitting, 3, lambda _: None)[1] for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0][-1].loss < runs[0][1].loss


def test_parts_that_are_left_out_add_nothing(seen: Views, cases: Cases) -> None:
    """Without direct net and bias net a score is the sum over paths alone."""
    pdn = Pdn(profiles(), PdnConfig(direct=False, bias=False))
    served = serve(pdn, cases.history, seen.everybody)
    triggers, weight = served.triggers_of(1)
    expected = np.log1p(np.exp(served.similarity[triggers] + weight[:, None])).sum(0)
    np.testing.assert_allclose(served.score_all(np.array([1]))[0], expected, rtol=1e-4)
    assert not pdn.bias_weight(torch.tensor([1]), torch.tensor([0, 1])).any()
