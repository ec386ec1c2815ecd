"""PDN's inputs: triggers with their behaviour fields, as a loop over the history gives them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features import FeatureTransform, Transforms, UserContext
from models.pdn import COUNT_CODES, POSITION_CODES, count_codes, position_codes, triggers_of, trignet_inputs

HISTORY = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), max_size=20)


@settings(max_examples=300)
@given(history=HISTORY, max_history=st.integers(1, 25))
def test_triggers_are_the_distinct_items_with_their_newest_type_count_and_position(
    history: list[tuple[int, int]], max_history: int
) -> None:
    """Over the last `max_history` interactions only, ascending by row."""
    rows, types = (np.array([pair[place] for pair in history], dtype=np.int64) for place in (0, 1))
    found = triggers_of(rows, types, max_history)
    recent = history[-max_history:][::-1]
    expected = sorted({row for row, _ in recent})
    places = [next(place for place, (other, _) in enumerate(recent) if other == row) for row in expected]
    assert found.rows.tolist() == expected
    assert found.types.tolist() == [recent[place][1] for place in places]
    assert found.counts.tolist() == [sum(other == row for other, _ in recent) for row in expected]
    assert found.positions.tolist() == places
    for column in (found.rows, found.types, found.counts, found.positions):
        assert column.dtype == np.int64


@pytest.mark.parametrize(
    ("count", "code"), [(1, 0), (2, 1), (3, 2), (4, 3), (7, 3), (8, 4), (15, 4), (16, 5), (64, 7), (10**9, 7)]
)
def test_counts_are_cut_at_powers_of_two(count: int, code: int) -> None:
    """1, 2, 3, 4 to 7, 8 to 15, and so on, up to the last class."""
    assert count_codes(np.array([count])).tolist() == [code]
    assert code < COUNT_CODES


@pytest.mark.parametrize(
    ("position", "code"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (1023, 10), (1024, 11), (10**9, 11)]
)
def test_positions_are_cut_at_powers_of_two(position: int, code: int) -> None:
    """0, 1, 2 to 3, 4 to 7, and so on, up to the last class."""
    assert position_codes(np.array([position])).tolist() == [code]
    assert code < POSITION_CODES


@settings(max_examples=100)
@given(histories=st.lists(HISTORY, min_size=1, max_size=4))
def test_all_users_triggers_stand_in_one_batch_with_their_owners(histories: list[list[tuple[int, int]]]) -> None:
    """User by user in the order given; a user without triggers takes no place."""
    vectors = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    triggers = [
        triggers_of(*(np.array([pair[place] for pair in history], dtype=np.int64) for place in (0, 1)), 20)
        for history in histories
    ]
    transforms = Transforms((FeatureTransform("country", "country", "category", values=("FR",)),))
    found = trignet_inputs(vectors, triggers, [UserContext("FR")] * len(histories), transforms)
    flat = [(owner, place) for owner, mine in enumerate(triggers) for place in range(len(mine.rows))]
    assert found["trigger_owner"].tolist() == [owner for owner, _ in flat]
    assert found["trigger_type"].tolist() == [triggers[owner].types[place] for owner, place in flat]
    assert np.array_equal(
        found["trigger_vectors"], vectors[[int(triggers[owner].rows[place]) for owner, place in flat]].reshape(-1, 3)
    )
    assert {found[name].dtype for name in ("trigger_owner", "trigger_type", "trigger_count", "trigger_position")} == {
        np.dtype(np.int64)
    }
    assert found["country"].tolist() == [2] * len(histories)
