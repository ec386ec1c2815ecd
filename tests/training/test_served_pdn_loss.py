"""What greedy retrieval loses: every m and k measured like one by one, against the whole model."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pdn import Triggers
from shortlist_training.config_sources import PdnSettings
from shortlist_training.histories import HeldOut, nobody
from shortlist_training.metrics import per_user_metrics, ratio_interval, top_rows
from shortlist_training.pdn.serving_index import EncodedUser, PathIndex, retrieve
from shortlist_training.pdn.serving_loss import METRIC, Grid, Paths, greedy_report, lost, recalls
from shortlist_training.records import Score

ITEMS, USERS, CANDIDATES = 60, 5, 8


def drawn_paths(rng: np.random.Generator, *, direct: bool) -> Paths:
    """Draw an index with gaps, and users with 0 to 6 triggers, as good as any that training gives."""
    neighbours = np.stack([rng.permutation(ITEMS)[:CANDIDATES] for _ in range(ITEMS)]).astype(np.int32)
    scores = -np.sort(rng.random((ITEMS, CANDIDATES)), axis=1)
    gaps = np.arange(CANDIDATES) >= rng.integers(0, CANDIDATES + 1, size=ITEMS)[:, None]
    neighbours[gaps], scores[gaps] = -1, -np.inf
    users = []
    for _ in range(USERS):
        rows = np.sort(rng.permutation(ITEMS)[: int(rng.integers(7))])
        none = np.zeros(len(rows), dtype=np.int64)
        weights, vector = rng.standard_normal((2, max(len(rows), 4))).astype(np.float32)
        users.append(EncodedUser(Triggers(rows, none, none, none), weights[: len(rows)], vector[:4]))
    items = rng.standard_normal((ITEMS, 4)).astype(np.float32)
    return Paths(PathIndex(neighbours, scores.astype(np.float16)), users, items if direct else None)


def drawn_users(rng: np.random.Generator, paths: Paths) -> HeldOut:
    """Draw what is to be found of them: never what they have, everybody something."""
    inputs, targets = (np.zeros((USERS, ITEMS), dtype=np.float32) for _ in range(2))
    for place, user in enumerate(paths.users):
        inputs[place, user.triggers.rows] = 1.0
        others = np.setdiff1d(np.arange(ITEMS), user.triggers.rows)
        targets[place, rng.permutation(others)[: int(rng.integers(1, 30))]] = 1.0
    return HeldOut([nobody("NL")] * USERS, sp.csr_matrix(inputs), sp.csr_matrix(targets))


def naive_scores(paths: Paths, user: EncodedUser, m: int, k: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Score by the retrieval that golden cases are computed with."""
    found = np.full(ITEMS, -np.inf, dtype=np.float32)
    nothing = np.full(ITEMS, -np.inf, dtype=np.float32)
    direct = nothing if paths.item_vectors is None else paths.item_vectors @ user.vector
    if len(user.weights):
        rows, scores = retrieve(paths.index.best(k), user.triggers.rows, user.weights, direct, m)
        found[rows] = scores
    return found


def naive_whole(paths: Paths, user: EncodedUser) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Sum equation 12 of every item, path by path."""
    direct = np.zeros(ITEMS) if paths.item_vectors is None else np.log1p(np.exp(paths.item_vectors @ user.vector))
    for j, t in zip(user.triggers.rows, user.weights, strict=True):
        for i, s in zip(paths.index.neighbours[j], paths.index.scores[j], strict=True):
            if i >= 0:
                direct[i] += math.log1p(math.exp(float(t) + float(s)))
    found: np.ndarray[tuple[int], np.dtype[np.float32]] = direct.astype(np.float32)
    return found


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), direct=st.booleans())
def test_a_grid_is_every_m_and_k_measured_alone(seed: int, direct: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Recall@20 of each is that of retrieval with these numbers; the whole model's is that of all paths and items."""
    rng = np.random.default_rng(seed)
    paths = drawn_paths(rng, direct=direct)
    users = drawn_users(rng, paths)
    found, whole = recalls(paths, users, Grid([1, 3, 6], [2, 5, CANDIDATES]))
    assert list(found) == [(m, k) for k in (2, 5, CANDIDATES) for m in (1, 3, 6)]
    for (m, k), values in found.items():
        scores = np.stack([naive_scores(paths, user, m, k) for user in paths.users])
        expected = per_user_metrics(top_rows(scores, users.inputs, ITEMS), users.targets)[METRIC]
        np.testing.assert_allclose(values, expected, err_msg=f"m {m}, k {k}")
    every = np.stack([naive_whole(paths, user) for user in paths.users])
    expected = per_user_metrics(top_rows(every, users.inputs, ITEMS), users.targets)[METRIC]
    np.testing.assert_allclose(whole, expected)


def test_what_is_lost_is_paired_by_user() -> None:
    """Half of everybody's recall is lost with certainty, however much the users differ; of nothing, nothing is."""
    whole = np.linspace(0.1, 1.0, 40)
    one = lost(whole / 2, whole, 200, 0)
    assert (one.mean, one.low, one.high) == pytest.approx((0.5, 0.5, 0.5))
    assert lost(np.zeros(3), np.zeros(3), 200, 0) == Score(0.0, 0.0, 0.0)
    unequal = lost(np.where(np.arange(40) % 2, whole, 0.0), whole, 200, 0)
    assert unequal.low < unequal.mean < unequal.high


def test_a_ratio_leaves_out_samples_that_say_nothing() -> None:
    """Of two users one has nothing to find: the ratio is the other's in every sample that has it."""
    low, high = ratio_interval(np.array([0.0, 0.3]), np.array([0.0, 0.6]), 50, 0)
    assert (low, high) == pytest.approx((0.5, 0.5))


def test_the_report_has_the_published_numbers_and_all() -> None:
    """The grid goes up to all triggers and all candidates, where what is lost are items that no path leads to."""
    grid = Grid.of(PdnSettings(triggers=30, neighbours=7, by_log=12, by_profile=3, max_history=40))
    assert (list(grid.triggers), list(grid.neighbours)) == ([10, 20, 30, 40], [7, 10, 15])
    rng = np.random.default_rng(1)
    paths = drawn_paths(rng, direct=True)
    report = greedy_report(paths, drawn_users(rng, paths), grid, 50, 0)
    assert report.users == USERS
    assert len(report.losses) == 12
    assert all(one.lost.mean == pytest.approx(1 - one.recall / report.whole) for one in report.losses)
