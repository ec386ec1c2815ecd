"""Features: unknown values have a bucket, padding is not a value, and tables refuse what does not fit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist_training.two_tower.features import (
    FIRST_KNOWN,
    PADDING,
    UNKNOWN,
    FeatureTable,
    Vocabulary,
    bucket_bounds,
    bucketize,
    pad,
)


def test_unknown_values_go_to_the_unknown_bucket() -> None:
    """A value that was too rare or never there gets `UNKNOWN`; known ones get dense ids in sorted order."""
    vocabulary = Vocabulary.build(["b", "a", "b", "a", "rare"], min_count=2)
    assert vocabulary.encode(["a", "b", "rare", "never", ""]).tolist() == [2, 3, UNKNOWN, UNKNOWN, UNKNOWN]
    assert vocabulary.size == 4


@given(known=st.lists(st.text(max_size=3)), asked=st.lists(st.text(max_size=3)))
def test_ids_fit_the_embedding_table(known: list[str], asked: list[str]) -> None:
    """No value gets padding's id or one beyond the table, and exactly the values without a place are unknown."""
    vocabulary = Vocabulary.build(known)
    ids = vocabulary.encode(asked)
    assert all(PADDING < number < vocabulary.size for number in ids)
    assert [number == UNKNOWN for number in ids] == [value not in known for value in asked]


def test_lists_are_cut_and_padded() -> None:
    """Longer lists lose their end, shorter ones are filled with padding."""
    padded = pad([np.array([5, 6, 7]), np.array([], dtype=np.int64), np.array([8])], 2)
    assert padded.tolist() == [[5, 6], [0, 0], [8, 0]]


def test_numbers_go_to_their_bucket_or_to_unknown() -> None:
    """Buckets are equally full, their bounds belong to the upper one, and a missing number is unknown."""
    bounds = bucket_bounds(np.array([1.0, 2.0, 3.0, 4.0, np.nan]), 2)
    assert bounds.tolist() == [2.5]
    found = bucketize(np.array([-9.0, 2.4, 2.5, 99.0, np.nan]), bounds)
    assert found.tolist() == [FIRST_KNOWN, FIRST_KNOWN, FIRST_KNOWN + 1, FIRST_KNOWN + 1, UNKNOWN]


def test_a_table_gathers_rows_of_every_column() -> None:
    """Rows come in the order asked for, from columns of any width."""
    table = FeatureTable.of({"a": np.array([1, 2, 3]), "b": np.array([[1, 0], [2, 0], [3, 3]])})
    rows = table.rows(torch.tensor([2, 0]))
    assert len(table) == 3
    assert rows["a"].tolist() == [3, 1]
    assert rows["b"].tolist() == [[3, 3], [1, 0]]


def test_columns_of_different_length_are_refused() -> None:
    """The error names every column with its length."""
    with pytest.raises(ValueError, match="one length, found a 2, b 3"):
        FeatureTable.of({"a": np.zeros(2, dtype=np.int64), "b": np.zeros(3, dtype=np.int64)})
