"""Sessions of item-interaction tokens against hand-made logs and a naive reference."""

from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from models.interactions import InteractionType
from shortlist_training.item_interaction.tokens import session_events, tokenise, without_types

VIEW, CLICK, CART, PURCHASE = (
    int(kind) for kind in (InteractionType.VIEW, InteractionType.CLICK, InteractionType.CART, InteractionType.PURCHASE)
)
GAP_S = 100
Event = tuple[int, int, int, int]
events = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 1500), st.integers(0, 5), st.sampled_from([VIEW, CLICK, CART, PURCHASE])
    ),
    max_size=60,
)


def log(rows: list[Event]) -> Any:
    """Make a canonical table of (user, second, item, type) rows."""
    user, second, item, kind = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    table = pa.table(
        {
            "user": pa.array(user, pa.int64()),
            "time": pa.array([1_000_000 * value for value in second], pa.timestamp("us")),
            "item": pa.array(item, pa.int64()),
            "type": pa.array(kind, pa.int8()),
            "country": pa.array([""] * len(user), pa.string()),
        }
    )
    return ibis.memtable(table)


def naive_sessions(rows: list[Event], min_events: int) -> list[list[tuple[int, int]]]:
    found: list[list[tuple[int, int]]] = []
    last: tuple[int, int] | None = None
    for user, second, item, kind in sorted(row for row in rows if row[3] != CLICK):
        if last is None or last[0] != user or second - last[1] > GAP_S:
            found.append([])
        found[-1].append((item, kind))
        last = user, second
    return [session for session in found if len(session) >= min_events]


def spelled(rows: list[Event], *, typed: bool = True, min_events: int = 4, min_count: int = 1) -> list[Any]:
    found = session_events(log(rows), GAP_S, min_events)
    sequences, vocabulary = tokenise(found if typed else without_types(found), min_count)
    pairs = list(zip(vocabulary.items.tolist(), vocabulary.types.tolist(), strict=True))
    bounds = zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
    return [[pairs[token] for token in sequences.tokens[begin:end]] for begin, end in bounds]


def test_only_sessions_of_more_than_three_events_are_kept() -> None:
    """Three events within the gap are a bounce, four are a session, and a pause beyond the gap begins another."""
    bounce = [(0, second, second, VIEW) for second in (0, 1, 2)]
    session = [(0, 103, 7, VIEW), (0, 203, 8, CART), (0, 204, 7, PURCHASE), (0, 205, 7, VIEW)]
    assert spelled(bounce + session) == [[(7, VIEW), (8, CART), (7, PURCHASE), (7, VIEW)]]


def test_types_without_a_rank_do_not_count() -> None:
    """A click neither becomes a token nor makes a session long enough."""
    assert spelled([(0, 0, 1, VIEW), (0, 1, 2, VIEW), (0, 2, 3, VIEW), (0, 3, 4, CLICK)]) == []


def test_without_types_a_token_is_an_item() -> None:
    """The same sessions lose their types, and an item directly after itself is one event."""
    rows = [(0, 0, 1, VIEW), (0, 1, 1, CART), (0, 2, 2, VIEW), (0, 3, 1, PURCHASE)]
    assert spelled(rows, typed=False) == [[(1, VIEW), (2, VIEW), (1, VIEW)]]


def test_rare_tokens_are_cut_out_of_their_sessions() -> None:
    """With a minimal count of 2, tokens seen once are gone and the rest keep their order."""
    rows = [(0, 0, 1, VIEW), (0, 1, 2, VIEW), (0, 2, 1, VIEW), (0, 3, 1, CART)]
    assert spelled(rows, min_count=2) == [[(1, VIEW), (1, VIEW)]]


@settings(max_examples=12)
@given(events, st.sampled_from([1, 4]))
def test_sessions_are_those_of_a_loop_over_the_sorted_log(rows: list[Event], min_events: int) -> None:
    """Any log is cut as a naive loop cuts it; every token is counted and the vocabulary is ordered and unique."""
    assert spelled(rows, min_events=min_events) == naive_sessions(rows, min_events)
    sequences, vocabulary = tokenise(session_events(log(rows), GAP_S, min_events))
    keys = vocabulary.items.astype(np.int64) * 8 + vocabulary.types
    assert np.all(np.diff(keys) > 0)
    np.testing.assert_array_equal(np.bincount(sequences.tokens, minlength=len(keys)), vocabulary.counts)
