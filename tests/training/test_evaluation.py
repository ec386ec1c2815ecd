"""The evaluation's measures against public libraries: torchmetrics, scikit-learn and scipy."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import bootstrap
from sklearn.metrics import ndcg_score
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_recall,
)

from shortlist_training.evaluation import (
    NDCG_AT,
    RECALL_AT,
    coverage,
    deciles,
    evaluate_scores,
    hit_rates,
    hit_ratio,
    interval,
    label_ranks,
    mean_over_users,
    ndcg_of_one,
    per_user_metrics,
    ranks_among,
    recall_at,
    top_rows,
    user_interval,
)
from shortlist_training.hit_rate import Wanted

ITEMS = 130
cases = settings(max_examples=25)
Scores = NDArray[np.float32]


def drawn(seed: int, users: int = 4, share: float = 0.4) -> tuple[Scores, NDArray[np.bool_]]:
    """Draw scores without ties and, for each user, at least one relevant item."""
    rng = np.random.default_rng(seed)
    scores = np.stack([rng.permutation(ITEMS) for _ in range(users)]).astype(np.float32)
    relevant = rng.random((users, ITEMS)) < rng.uniform(0.01, share, (users, 1))
    relevant[np.arange(users), rng.integers(ITEMS, size=users)] = True
    return scores, relevant


def pair(scores: Scores, relevant: NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(scores), torch.from_numpy(relevant)


@cases
@given(seed=st.integers(0, 10_000))
def test_recall_is_that_of_torchmetrics_with_the_smaller_denominator(seed: int) -> None:
    """Mult-VAE's recall@k divides by min(k, targets) where torchmetrics divides by all targets."""
    scores, relevant = drawn(seed)
    found = per_user_metrics(top_rows(scores, sp.csr_matrix(scores.shape), NDCG_AT), sp.csr_matrix(relevant))
    for user, wanted in enumerate(relevant.sum(1)):
        for k in RECALL_AT:
            theirs = retrieval_recall(*pair(scores[user], relevant[user]), top_k=k).item()
            assert found[f"recall@{k}"][user] * min(k, wanted) / wanted == pytest.approx(theirs, abs=1e-6)


@cases
@given(seed=st.integers(0, 10_000))
def test_ndcg_is_that_of_both_libraries(seed: int) -> None:
    """NDCG@100 with 0/1 gains equals scikit-learn's and torchmetrics'."""
    scores, relevant = drawn(seed, share=0.95)
    found = per_user_metrics(top_rows(scores, sp.csr_matrix(scores.shape), NDCG_AT), sp.csr_matrix(relevant))
    for user in range(len(scores)):
        theirs = ndcg_score(relevant[user : user + 1].astype(int), scores[user : user + 1], k=NDCG_AT)
        assert found[f"ndcg@{NDCG_AT}"][user] == pytest.approx(theirs)
        torch_has = retrieval_normalized_dcg(*pair(scores[user], relevant[user]), top_k=NDCG_AT).item()
        assert theirs == pytest.approx(torch_has, abs=1e-5)


@cases
@given(seed=st.integers(0, 10_000))
def test_inputs_are_left_out_as_if_they_were_not_in_the_catalogue(seed: int) -> None:
    """Of a user with an input history torchmetrics is shown the other items only."""
    scores, targets = drawn(seed, users=3)
    seen = (np.random.default_rng(seed + 1).random(targets.shape) < 0.2) & ~targets
    found = evaluate_scores(lambda _: scores, sp.csr_matrix(seen.astype(np.float32)), sp.csr_matrix(targets))
    for user in range(len(scores)):
        left = ~seen[user]
        theirs = retrieval_normalized_dcg(*pair(scores[user, left], targets[user, left]), top_k=NDCG_AT).item()
        assert found[f"ndcg@{NDCG_AT}"][user] == pytest.approx(theirs, abs=1e-5)


@cases
@given(seed=st.integers(0, 10_000), k=st.integers(1, 20))
def test_leave_one_out_measures_are_those_of_torchmetrics(seed: int, k: int) -> None:
    """HR@k and NDCG@k of a target among 100 candidates."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(100).astype(np.float32)
    target = np.arange(100) == rng.integers(100)
    place = np.array([1 + int((scores > scores[target]).sum())])
    assert hit_ratio(place, k)[0] == retrieval_hit_rate(*pair(scores, target), top_k=k).item()
    theirs = retrieval_normalized_dcg(*pair(scores, target), top_k=k).item()
    assert ndcg_of_one(place, k)[0] == pytest.approx(theirs, abs=1e-6)


class Fixed:
    """Scores of a table, one row per source item."""

    def __init__(self, table: Scores) -> None:
        self._table = table
        self.covered: NDArray[np.bool_] = np.ones(len(table), dtype=np.bool_)

    def scores(self, rows: NDArray[np.int64]) -> Scores:
        return self._table[rows].copy()


@cases
@given(seed=st.integers(0, 10_000), size=st.integers(1, 60))
def test_the_hit_rate_is_recall_when_every_item_is_wanted_once(seed: int, size: int) -> None:
    """Equation 3 with q = 1 is torchmetrics' recall of the candidate set, and recall_at is its mean over pairs."""
    scores, relevant = drawn(seed)
    query, item = relevant.nonzero()
    nothing = [np.zeros(0, dtype=np.int64)] * len(scores)
    sources = [np.array([row]) for row in range(len(scores))]
    wanted = Wanted(sources, nothing, query.astype(np.int64), item.astype(np.int64), np.ones(len(query)))
    places = ranks_among(Fixed(scores), wanted)
    theirs = [retrieval_recall(*pair(own, mine), top_k=size).item() for own, mine in zip(scores, relevant, strict=True)]
    np.testing.assert_allclose(hit_rates(places, wanted, size), theirs, atol=1e-6)
    by_label = label_ranks(lambda rows: scores[rows], sp.csr_matrix(scores.shape), sp.csr_matrix(relevant))
    np.testing.assert_array_equal(by_label, places)
    pooled = recall_at(by_label, query.astype(np.int64), size, 10, 1)
    assert pooled.value == pytest.approx(np.average(theirs, weights=relevant.sum(1)), abs=1e-6)


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    """Both ends agree with scipy's to a tenth of the width; one query per user makes the others the same."""
    values = np.random.default_rng(3).random(200)
    theirs = bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1))
    expected = (theirs.confidence_interval.low, theirs.confidence_interval.high)
    width = expected[1] - expected[0]
    alone = np.arange(200)
    pooled = mean_over_users(values, alone, 4000, 1)
    for found in (interval(values, 4000, 1), user_interval(values, alone, 4000, 1), (pooled.low, pooled.high)):
        assert found == pytest.approx(expected, abs=width / 10)


def test_coverage_and_deciles_by_hand() -> None:
    """Of three active items one is covered, one not and one unknown: 1/3 of the items, 6 of 10 events."""
    covered = np.array([True, False])
    assert coverage(covered, np.array([0, 1, -1]), np.array([6, 3, 1])) == (pytest.approx(1 / 3), pytest.approx(0.6))
    assert deciles(np.array([9, 1, 5, 0, 3, 7, 2, 8, 4, 6])).tolist() == [9, 1, 5, 0, 3, 7, 2, 8, 4, 6]
