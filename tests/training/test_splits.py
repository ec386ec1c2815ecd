"""The user split and the arrays made of it: nothing of a held-out user reaches training."""

from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist_training.config import CooccurrenceConfig, SplitConfig
from shortlist_training.cooccurrence import pair_counts
from shortlist_training.ingest import ingest
from shortlist_training.splits import distinct_items, of_split, split_users
from shortlist_training.timelines import Log, distinct_histories, incidence, index_in, vocabulary


@given(
    items=st.lists(st.integers(1, 12), min_size=1, max_size=60),
    min_items=st.integers(2, 8),
    seed=st.integers(0, 99),
)
def test_split_sizes_and_eligibility(items: list[int], min_items: int, seed: int) -> None:
    """Every user is in one split; held-out users have enough items and are the asked share of those who have."""
    users = [f"u{number}" for number in range(len(items))]
    config = SplitConfig(validation=0.2, test=0.1, min_items=min_items)
    table = split_users(users, items, config, seed)
    assert table["user"].to_pylist() == sorted(users)
    split = dict(zip(table["user"].to_pylist(), table["split"].to_pylist(), strict=True))
    eligible = [user for user, count in zip(users, items, strict=True) if count >= min_items]
    held_out = {name: [user for user in users if split[user] == name] for name in ("validation", "test")}
    assert {user for members in held_out.values() for user in members} <= set(eligible)
    assert len(held_out["validation"]) == round(len(eligible) * 0.2)
    assert len(held_out["test"]) == round(len(eligible) * 0.1)


def test_split_does_not_depend_on_the_order_of_users() -> None:
    """The same users and seed give the same split in whatever order they come; another seed gives another."""
    users, items = [f"u{number:03}" for number in range(100)], [9] * 100
    first = split_users(users, items, SplitConfig(), 1)
    assert split_users(users[::-1], items, SplitConfig(), 1).equals(first)
    assert not split_users(users, items, SplitConfig(), 2).equals(first)


def test_nothing_of_a_held_out_user_is_counted(shop: Any) -> None:
    """Pairs, vocabulary and training histories are the same when held-out users' interactions are deleted."""
    connection = ibis.duckdb.connect()
    found = ingest(connection, shop.load())
    log, items = found.interactions.to_pyarrow(), found.items
    connection.con.register("log", log)
    counts = distinct_items(connection.table("log")).to_pyarrow()
    splits = split_users(
        counts["user"].to_pylist(), counts["items"].to_pylist(), SplitConfig(validation=0.2, test=0.2, min_items=3), 7
    )
    connection.con.register("splits", splits)
    config = CooccurrenceConfig(min_count=1)
    pairs = pair_counts(of_split(connection.table("log"), connection.table("splits"), "train"), config, 1800)

    train_users = {
        user
        for user, split in zip(splits["user"].to_pylist(), splits["split"].to_pylist(), strict=True)
        if split == "train"
    }
    alone = log.filter(pa.array([user in train_users for user in log["user"].to_pylist()]))
    connection.con.register("alone", alone)
    assert pair_counts(connection.table("alone"), config, 1800).to_pyarrow().equals(pairs.to_pyarrow())

    whole = Log.of(log, items["item"], splits)
    only = splits.filter(pa.array([split == "train" for split in splits["split"].to_pylist()]))
    partial = Log.of(alone, items["item"], only)
    np.testing.assert_array_equal(vocabulary(whole), vocabulary(partial))
    members = [whole.members("train"), partial.members("train")]
    histories = [
        distinct_histories(part, users, vocabulary(whole))
        for part, users in zip([whole, partial], members, strict=True)
    ]
    for left, right in zip(*histories, strict=True):
        np.testing.assert_array_equal(left, right)


def tiny_log() -> Log:
    interactions = pa.table(
        {
            "user": ["a", "a", "a", "b"],
            "item": ["y", "x", "y", "z"],
            "country": ["GB", "GB", "FR", "GB"],
            "type": pa.array([1, 5, 1, 1], pa.int8()),
            "time": pa.array([1_000, 2_000_999, 3_000_000, 7_000_000], pa.timestamp("us")),
        }
    )
    splits = pa.table({"user": ["a", "b"], "split": ["train", "test"]})
    return Log.of(interactions, pa.chunked_array([["x", "y", "z"]]), splits)


def test_log_reads_tables_into_arrays() -> None:
    """Items become places in the item table, users get their slices, countries their sorted codes."""
    log = tiny_log()
    assert log.items.tolist() == [1, 0, 1, 2]
    assert log.offsets.tolist() == [0, 3, 4]
    assert (log.countries, log.country.tolist()) == (["FR", "GB"], [1, 1, 0, 1])
    assert log.is_train().tolist() == [True, True, True, False]
    assert log.times_ms.tolist() == [1, 2000, 3000, 7000]
    assert [log.countries[home] for home in log.homes()] == ["FR", "GB"]
    assert vocabulary(log).tolist() == [0, 1]


def test_histories_are_distinct_in_order_and_within_the_vocabulary() -> None:
    """A repeated item keeps its first place, an item outside the vocabulary is left out."""
    log = tiny_log()
    histories = distinct_histories(log, np.array([0, 1]), vocabulary(log))
    assert [history.tolist() for history in histories] == [[1, 0], []]
    np.testing.assert_array_equal(incidence(histories, 2).toarray(), [[1, 1], [0, 0]])


def test_unordered_interactions_are_refused() -> None:
    """A log that is not ordered by user would give users each other's items, so it is refused."""
    interactions = pa.table(
        {"user": ["b", "a"], "item": ["x", "x"], "country": ["GB", "GB"], "type": pa.array([1, 1], pa.int8())}
    )
    splits = pa.table({"user": ["a", "b"], "split": ["train", "train"]})
    with pytest.raises(ValueError, match="not ordered by user"):
        Log.of(interactions, pa.chunked_array([["x"]]), splits)


def test_tables_that_do_not_belong_together_are_refused() -> None:
    """An item that the item table does not have is an error, not item 0."""
    with pytest.raises(ValueError, match="does not have"):
        index_in(pa.chunked_array([["x", "q"]]), pa.chunked_array([["x"]]))
