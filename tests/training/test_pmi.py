"""PMI and its factorization against hand-computed and naive values."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from shortlist_training import pmi
from shortlist_training.config import SvdConfig
from shortlist_training.pmi import initial_vectors, pmi_matrix, svd_vectors


def pmi_of(pairs: dict[tuple[int, int], int], items: int, *, power: float = 0.75, positive: bool = False) -> np.ndarray:
    ordered = sorted(pairs)
    return pmi_matrix(
        np.array([i for i, _ in ordered], dtype=np.int64),
        np.array([j for _, j in ordered], dtype=np.int64),
        np.array([pairs[pair] for pair in ordered], dtype=np.int64),
        items,
        context_power=power,
        positive=positive,
    ).toarray()


def test_two_pairs_by_hand() -> None:
    """With counts (0,1)=3 and (1,2)=1, marginals are 3/8, 4/8, 1/8 and PMI is log(p(i,j) / (p(i) q(j)))."""
    found = pmi_of({(0, 1): 3, (1, 2): 1}, 3, power=1.0)
    assert found[0, 1] == pytest.approx(math.log((3 / 8) / (3 / 8 * 4 / 8)))
    assert found[1, 0] == pytest.approx(math.log(2))
    assert found[2, 1] == pytest.approx(math.log((1 / 8) / (1 / 8 * 4 / 8)))
    assert found[0, 2] == 0.0


def test_the_context_distribution_is_smoothed_and_renormalised() -> None:
    """With power 0.75 the context probability is p^0.75 over the sum of all of them, so the matrix is not symmetric."""
    found = pmi_of({(0, 1): 3, (1, 2): 1}, 3)
    powers = [(3 / 8) ** 0.75, (4 / 8) ** 0.75, (1 / 8) ** 0.75]
    assert found[0, 1] == pytest.approx(math.log((3 / 8) / ((3 / 8) * powers[1] / sum(powers))))
    assert found[1, 0] == pytest.approx(math.log((3 / 8) / ((4 / 8) * powers[0] / sum(powers))))


@st.composite
def pair_tables(draw: st.DrawFn) -> dict[tuple[int, int], int]:
    places = st.integers(0, 6)
    pairs = draw(st.lists(st.tuples(places, places).filter(lambda p: p[0] < p[1]), min_size=1, unique=True))
    return {pair: draw(st.integers(1, 50)) for pair in pairs}


@given(pairs=pair_tables(), power=st.sampled_from([0.5, 0.75, 1.0]), positive=st.booleans())
def test_pmi_equals_the_definition(*, pairs: dict[tuple[int, int], int], power: float, positive: bool) -> None:
    """For any counts the sparse computation equals the formula written out pair by pair."""
    both = pairs | {(j, i): count for (i, j), count in pairs.items()}
    total = sum(both.values())
    marginal = [sum(count for (i, _), count in both.items() if i == item) / total for item in range(7)]
    context = [p**power for p in marginal]
    expected = np.zeros((7, 7))
    for (i, j), count in both.items():
        value = math.log(count / total / (marginal[i] * context[j] / sum(context)))
        expected[i, j] = max(value, 0.0) if positive else value
    np.testing.assert_allclose(pmi_of(pairs, 7, power=power, positive=positive), expected, atol=1e-12)


def test_no_pairs_give_an_empty_matrix() -> None:
    """Without any pair the matrix is all zeros instead of NaN."""
    assert not pmi_of({}, 4).any()


def test_svd_gives_u_sqrt_s() -> None:
    """For a full-rank symmetric positive matrix the vectors' Gram matrix is the matrix itself."""
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(6, 6))

    matrix = sp.csr_matrix(factor @ factor.T)
    vectors = svd_vectors(matrix, SvdConfig(dim=6), seed=1)
    np.testing.assert_allclose(vectors @ vectors.T, matrix.toarray(), atol=1e-4)


def test_a_large_matrix_is_factorized_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors are those of double precision up to what floats hold."""
    counts = sp.random(60, 60, density=0.3, random_state=3)
    matrix = sp.csr_matrix(counts + counts.T)
    double = svd_vectors(matrix, SvdConfig(dim=10), seed=1)
    monkeypatch.setattr(pmi, "SINGLE_FROM", 60)
    single = svd_vectors(matrix, SvdConfig(dim=10), seed=1)
    assert (single != double).any()
    np.testing.assert_allclose(single, double, atol=1e-4)


def test_items_without_pairs_get_the_null_vector() -> None:
    """An item that never co-occurs has no direction, and fewer items than dimensions leave the others zero."""
    matrix = sp.csr_matrix(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    vectors = svd_vectors(matrix, SvdConfig(dim=5), seed=1)
    assert vectors.shape == (3, 5)
    assert not vectors[2].any()
    assert not vectors[:, 3:].any()


def test_normalised_vectors_all_have_the_asked_length() -> None:
    """`normalize` sets every length, without it only the root mean square; null vectors stay null either way."""
    vectors = np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]], dtype=np.float32)
    each = initial_vectors(vectors, 2.0, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(each, axis=1), [2.0, 2.0, 0.0], rtol=1e-6)
    overall = initial_vectors(vectors, 2.0, normalize=False)
    assert np.sqrt((np.linalg.norm(overall, axis=1) ** 2).mean()) == pytest.approx(2.0)
    assert np.linalg.norm(overall[0]) == pytest.approx(5 * np.linalg.norm(overall[1]))
