"""Diversity against loops: caps hold wherever k can be reached, MMR takes the best by its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.diversity import diversifies, diversify, pool_size
from server.profiles import Diversity

ITEMS = 40
RNG = np.random.default_rng(5)
CODES = (RNG.integers(-1, 4, ITEMS).astype(np.int32), RNG.integers(-1, 6, ITEMS).astype(np.int32))
VECTORS = RNG.normal(size=(ITEMS, 6)).astype(np.float32)
VECTORS[3] = 0.0  # an item without any direction


@st.composite
def fused(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Different rows with falling scores, some of them equal."""
    rows = draw(st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=ITEMS))
    scores = sorted(draw(st.lists(st.integers(0, 5), min_size=len(rows), max_size=len(rows))), reverse=True)
    return np.array(rows, dtype=np.int64), np.array(scores, dtype=np.float32)


def naive_caps(rows: list[int], wanted: int, category: int, merchant: int) -> tuple[list[int], list[int]]:
    """Places taken greedily, and places left out."""
    taken: list[int] = []
    left: list[int] = []
    for place, row in enumerate(rows):
        broken = False
        for codes, cap in zip(CODES, (category, merchant), strict=True):
            same = [other for other in taken if codes[rows[other]] == codes[row]]
            broken |= bool(cap) and codes[row] >= 0 and len(same) >= cap
        if len(taken) < wanted:
            (left if broken else taken).append(place)
    return taken, left


@settings(max_examples=250)
@given(given_=fused(), k=st.integers(1, 30), category=st.integers(0, 4), merchant=st.integers(0, 4))
def test_caps_hold_as_long_as_k_is_reached(
    given_: tuple[np.ndarray, np.ndarray], k: int, category: int, merchant: int
) -> None:
    """Greedy from the best on; where that falls short, the best of those left out fill up, after the others."""
    rows, scores = given_
    setting = Diversity(max_per_category=category, max_per_merchant=merchant)
    places = diversify(rows, scores, k, setting, CODES, VECTORS).tolist()
    taken, left = naive_caps(rows.tolist(), k, category, merchant)
    assert places == [*taken, *left[: k - len(taken)]][:k]
    assert len(places) == min(k, len(rows))


def naive_mmr(rows: np.ndarray, scores: np.ndarray, k: int, trade: float) -> list[float]:
    """The value of each choice, choosing by the definition."""
    low, high = float(scores.min()), float(scores.max())
    relevance = [(score - low) / (high - low) if high > low else 1.0 for score in scores.tolist()]
    unit = VECTORS[rows].astype(float)
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = np.where(lengths > 0, unit / np.where(lengths > 0, lengths, 1.0), 0.0)
    chosen: list[int] = []
    values = []
    while len(chosen) < min(k, len(rows)):
        best, best_value = -1, -np.inf
        for place in range(len(rows)):
            if place not in chosen:
                closest = max((float(unit[place] @ unit[other]) for other in chosen), default=0.0)
                value = trade * relevance[place] - (1 - trade) * closest
                if value > best_value + 1e-9:
                    best, best_value = place, value
        chosen.append(best)
        values.append(best_value)
    return values


@settings(max_examples=150)
@given(given_=fused(), k=st.integers(1, 12), trade=st.sampled_from([0.0, 0.3, 0.7, 0.95]))
def test_mmr_takes_the_best_by_its_definition(given_: tuple[np.ndarray, np.ndarray], k: int, trade: float) -> None:
    """Every choice is worth what the best choice of the definition is worth at that step."""
    rows, scores = given_
    setting = Diversity(mmr=trade, mmr_pool=2.0)
    places = diversify(rows, scores, k, setting, CODES, VECTORS)
    assert len(set(places.tolist())) == len(places) == min(k, len(rows))
    if not len(rows):
        return
    pool = min(2 * k, len(rows))
    assert places.max() < pool
    values = naive_mmr(rows[:pool], scores[:pool], k, trade)
    chosen = naive_mmr(rows[:pool][places], scores[:pool][places], len(places), trade)
    if scores[:pool].min() == scores[places].min() and scores[:pool].max() == scores[places].max():
        assert chosen == pytest.approx(values, abs=1e-5)


def test_mmr_by_hand() -> None:
    """Two items look alike: the second of them waits until the different one has been taken."""
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    rows, scores = np.arange(3), np.array([1.0, 0.9, 0.5], dtype=np.float32)
    assert diversify(rows, scores, 3, Diversity(mmr=0.5), CODES, vectors).tolist() == [0, 2, 1]
    assert diversify(rows, scores, 3, Diversity(mmr=1.0), CODES, vectors).tolist() == [0, 1, 2]


def test_caps_hold_within_the_pool_of_mmr() -> None:
    """With both, MMR re-orders what the caps let through, and no more than is needed of what they did not."""
    rows, scores = np.arange(ITEMS), np.arange(ITEMS, 0, -1).astype(np.float32)
    setting = Diversity(max_per_category=2, mmr=0.5, mmr_pool=3.0)
    categories = CODES[0][rows[diversify(rows, scores, 6, setting, CODES, VECTORS)]]
    assert np.bincount(categories[categories >= 0]).max() <= 2


def test_without_settings_nothing_is_done() -> None:
    """The pool is larger than k only where there is something to choose."""
    assert not diversifies(Diversity())
    assert (
        pool_size(10, Diversity()),
        pool_size(10, Diversity(max_per_merchant=1)),
        pool_size(3, Diversity(mmr=0.5)),
    ) == (
        10,
        20,
        6,
    )
