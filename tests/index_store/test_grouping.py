"""The best of many scores are those that sorting all of them would give."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from index_store.grouping import best_places


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 6_000), k=st.integers(0, 700), ties=st.booleans())
def test_best_places_are_those_of_a_sort(seed: int, count: int, k: int, *, ties: bool) -> None:
    """Best first, equal ones by lower place or by lower row, however many there are."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=count).astype(np.float32)
    if ties:
        scores = np.round(scores)
    rows = rng.permutation(10 * count)[:count]
    assert best_places(scores, k).tolist() == np.lexsort((np.arange(count), -scores))[:k].tolist()
    assert best_places(scores, k, rows).tolist() == np.lexsort((rows, -scores))[:k].tolist()
