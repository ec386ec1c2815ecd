"""Sessions and pair counts, computed by DuckDB, against hand-computed cases and a naive reference."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import combinations

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist_training.config import CooccurrenceConfig
from shortlist_training.cooccurrence import pair_counts
from shortlist_training.splits import positions, sessions

START = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
Event = tuple[str, str, int]  # user, item, minute


@pytest.fixture(scope="module")
def connection() -> ibis.BaseBackend:
    return ibis.duckdb.connect()


def log(events: list[Event]) -> pa.Table:
    return pa.table(
        {
            "user": pa.array([user for user, _, _ in events], pa.string()),
            "item": pa.array([item for _, item, _ in events], pa.string()),
            "time": pa.array([START + timedelta(minutes=minute) for _, _, minute in events], pa.timestamp("us")),
            "type": pa.array([1] * len(events), pa.int8()),
            "country": pa.array(["GB"] * len(events), pa.string()),
        }
    )


def counted(
    connection: ibis.BaseBackend, events: list[Event], config: CooccurrenceConfig
) -> dict[tuple[str, str], int]:
    connection.con.register("log", log(events))
    rows = pair_counts(connection.table("log"), config, gap_s=1800).to_pyarrow().to_pylist()
    return {(row["item_i"], row["item_j"]): row["count"] for row in rows}


def naive(events: list[Event], config: CooccurrenceConfig) -> dict[tuple[str, str], int]:
    timelines: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for user, item, minute in events:
        timelines[user].append((minute, item))
    total: Counter[tuple[str, str]] = Counter()
    for timeline in timelines.values():
        recent = list(enumerate(sorted(timeline)))[-config.max_history :]
        session, units = 0, defaultdict(list)
        for place, (position, (minute, item)) in enumerate(recent):
            if config.within == "session" and place and minute - recent[place - 1][1][0] > 30:
                session += 1
            units[session].append((position, item))
        for unit in units.values():
            total.update(
                {
                    (min(a, b), max(a, b))
                    for (p, a), (q, b) in combinations(unit, 2)
                    if a != b and (config.window == 0 or q - p <= config.window)
                }
            )
    return {pair: count for pair, count in total.items() if count >= config.min_count}


def test_pairs_by_hand(connection: ibis.BaseBackend) -> None:
    """Two users share the pair a-b, one of them twice: it counts 2; an item never pairs with itself."""
    events = [("u", "a", 0), ("u", "b", 1), ("u", "a", 2), ("v", "b", 0), ("v", "a", 9), ("v", "c", 10)]
    found = counted(connection, events, CooccurrenceConfig(min_count=1))
    assert found == {("a", "b"): 2, ("a", "c"): 1, ("b", "c"): 1}


def test_window_counts_positions(connection: ibis.BaseBackend) -> None:
    """With a window of 1 only neighbours pair, however long ago they were."""
    events = [("u", "a", 0), ("u", "b", 1000), ("u", "c", 2000)]
    found = counted(connection, events, CooccurrenceConfig(min_count=1, window=1))
    assert found == {("a", "b"): 1, ("b", "c"): 1}


def test_a_pause_ends_a_session(connection: ibis.BaseBackend) -> None:
    """Items before and after a pause longer than the gap pair in the timeline but not in a session."""
    events = [("u", "a", 0), ("u", "b", 30), ("u", "c", 61)]
    assert counted(connection, events, CooccurrenceConfig(min_count=1, within="session")) == {("a", "b"): 1}
    connection.con.register("log", log(events))
    located = positions(connection.table("log"))
    rows = sessions(located, 1800).order_by("position").to_pyarrow()
    assert rows["session"].to_pylist() == [0, 0, 1]


def test_only_the_newest_interactions_pair(connection: ibis.BaseBackend) -> None:
    """`max_history` keeps the end of a timeline."""
    events = [("u", "a", 0), ("u", "b", 1), ("u", "c", 2)]
    assert counted(connection, events, CooccurrenceConfig(min_count=1, max_history=2)) == {("b", "c"): 1}


@settings(max_examples=25)
@given(
    events=st.lists(
        st.tuples(st.sampled_from("uvw"), st.sampled_from("abcde"), st.integers(0, 150)), min_size=1, max_size=30
    ),
    within=st.sampled_from(["timeline", "session"]),
    window=st.integers(0, 3),
    max_history=st.integers(1, 12),
    min_count=st.integers(1, 2),
)
def test_counts_equal_a_naive_loop(
    connection: ibis.BaseBackend, events: list[Event], within: str, window: int, max_history: int, min_count: int
) -> None:
    """For any log and settings the query counts what nested loops over the timelines count."""
    config = CooccurrenceConfig(within=within, window=window, max_history=max_history, min_count=min_count)
    assert counted(connection, events, config) == naive(events, config)
