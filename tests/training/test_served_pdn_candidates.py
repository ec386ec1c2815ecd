"""Which pairs of items the served PDN's index chooses from."""

import math
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist_training.pdn.serving_candidates import (
    LEAST_COSINE,
    LEAST_WEIGHT,
    STATISTICS,
    CandidatePairs,
    Cooccurrence,
    candidate_pairs,
    profile_matrix,
)

NO_PROFILES = sp.csr_matrix((6, 1), dtype=np.float32)


def pairs_of(found: CandidatePairs) -> dict[tuple[int, int], list[float]]:
    return {
        (int(j), int(i)): values.astype(float).tolist()
        for j, i, values in zip(found.triggers(), found.targets, found.statistics, strict=True)
    }


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000), users=st.integers(1, 8), by_log=st.integers(1, 6), power=st.sampled_from([0.0, 0.5])
)
def test_candidates_of_the_log_are_counted_like_one_by_one(seed: int, users: int, by_log: int, power: float) -> None:
    """Weighted cosine, count and lift of every pair by their definitions; the best `by_log` of each trigger stay."""
    rng = np.random.default_rng(seed)
    owned = (rng.random((users, 6)) < 0.5).astype(np.float32)
    rows = np.flatnonzero(rng.random(6) < 0.8)
    found = pairs_of(candidate_pairs(Cooccurrence(sp.csr_matrix(owned), power), NO_PROFILES, rows, by_log, 0))
    weight = np.maximum(owned.sum(1), 1.0) ** -power
    expected: dict[tuple[int, int], list[float]] = {}
    for place, j in enumerate(rows):
        ranked = []
        for other, i in enumerate(rows):
            both = owned[:, j] * owned[:, i]
            if i != j and both.any():
                mass = [(weight * owned[:, item]).sum() for item in (j, i)]
                cosine = (weight * both).sum() / math.sqrt(mass[0] * mass[1])
                lift = math.log(users * both.sum() / (owned[:, j].sum() * owned[:, i].sum()))
                popularity = math.log1p(owned[:, i].sum())
                values = [math.log(cosine / LEAST_COSINE), math.log1p(both.sum()), lift, 0.0, 1.0, popularity]
                ranked.append((-round(cosine, 9), other, values))
        expected |= {(place, other): values for _, other, values in sorted(ranked)[:by_log]}
    assert found.keys() == expected.keys() or len(found) == len(expected)  # equal cosines may differ in the last bit
    for pair in found.keys() & expected.keys():
        np.testing.assert_allclose(found[pair], expected[pair], atol=0.01)


def test_eases_weight_is_one_more_statistic() -> None:
    """b_ji of EASE's closed form over the whole log, also where rows are only some items; the others are as before."""
    rng = np.random.default_rng(3)
    owned = (rng.random((40, 6)) < 0.4).astype(np.float64)
    rows = np.array([0, 2, 3, 5])
    half = owned[:20]
    for history, scale in ((owned, 1.0), (half, 2.0)):
        log = Cooccurrence(sp.csr_matrix(history), 0.5, scale, ease_lambda=8.0)
        with_ease = pairs_of(candidate_pairs(log, NO_PROFILES, rows, 3, 0))
        without = pairs_of(candidate_pairs(Cooccurrence(sp.csr_matrix(history), 0.5, scale), NO_PROFILES, rows, 3, 0))
        precision = np.linalg.inv(history.T @ history + 8.0 / scale * np.eye(6))
        assert with_ease.keys() == without.keys() != set()
        for (j, i), values in with_ease.items():
            weight = -precision[rows[j], rows[i]] / precision[rows[i], rows[i]]
            assert values[-1] == pytest.approx(math.copysign(math.log1p(abs(weight) / LEAST_WEIGHT), weight), abs=0.01)
            assert values[:-1] == without[j, i]


def test_alike_items_are_candidates_without_a_log() -> None:
    """Items of one category or rare title word become candidates although nobody has both."""
    words = np.array([[2, 0], [2, 0], [3, 0], [4, 0], [5, 0], [1, 0]])
    # a word of 2 in 6 titles is common: give the category the say
    profiles = profile_matrix(np.tile(words, (10, 1)), np.repeat(np.arange(30) + 2, 2), 60)
    nobody = Cooccurrence(sp.csr_matrix((1, 60), dtype=np.float32), 0.5)
    found = pairs_of(candidate_pairs(nobody, profiles, np.arange(60), 5, 1))
    assert set(found) == {(row, row ^ 1) for row in range(60)}
    assert all(values[3] > 0.99 and values[4] == 0.0 for values in found.values())


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), block=st.integers(1, 9), by_profile=st.integers(0, 3))
def test_candidates_are_the_same_however_many_are_found_at_once(seed: int, block: int, by_profile: int) -> None:
    """Pairs of several blocks are those of one; what they have in common is measured without candidates by it, too."""
    rng = np.random.default_rng(seed)
    log = Cooccurrence(sp.csr_matrix((rng.random((6, 12)) < 0.4).astype(np.float32)), 0.5)
    profiles = sp.csr_matrix((rng.random((12, 5)) * (rng.random((12, 5)) < 0.5)).astype(np.float32))
    rows = np.flatnonzero(rng.random(12) < 0.8)
    whole = pairs_of(candidate_pairs(log, profiles, rows, 4, by_profile))
    with patch("shortlist_training.pdn.serving_candidates.BLOCK", block):
        assert pairs_of(candidate_pairs(log, profiles, rows, 4, by_profile)) == whole
    alike = (profiles @ profiles.T).toarray()
    for (j, i), values in whole.items():
        assert values[STATISTICS.index("alike")] == pytest.approx(alike[rows[j], rows[i]], abs=1e-3)


def test_without_attributes_nothing_is_alike() -> None:
    """No titles and no categories leave candidates to the log."""
    assert profile_matrix(None, None, 4).nnz == 0
