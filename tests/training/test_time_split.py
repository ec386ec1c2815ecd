"""The time split and its recall: what is asked for lies after what was learned from, over all items."""

from datetime import datetime

import ibis
import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from shortlist_training.time_split import (
    GROUPS,
    RECALL_AT,
    TimeSplit,
    baskets,
    first_takes,
    label_ranks,
    mean_over_runs,
    mean_over_users,
    popularity_groups,
    recall_at,
    recall_by_group,
)


def at(day: int, hour: int = 9) -> datetime:
    return datetime(2024, 1, day, hour)  # noqa: DTZ001 - the tables' times are local


SPLIT = TimeSplit(at(10, 0), at(20, 0), at(30, 0))


def log() -> ibis.Table:
    rows = [
        ("a", "x", at(1)),
        ("a", "y", at(1, 15)),
        ("a", "x", at(5)),
        ("a", "z", at(10, 0)),
        ("b", "y", at(19)),
        ("b", "w", at(20, 0)),
        ("b", "y", at(29)),
        ("b", "x", at(30, 0)),
    ]
    users, items, times = zip(*rows, strict=True)
    table = pa.table({"user": users, "item": items, "time": pa.array(times, pa.timestamp("us")), "country": ["GB"] * 8})
    return ibis.memtable(table)


def test_a_row_belongs_to_the_span_that_its_time_lies_in() -> None:
    """A cut belongs to the later span, and what comes at or after the end belongs to none."""
    named = SPLIT.name(log()).order_by("user", "time").to_pyarrow()
    train, validation, test = ["train"] * 3, ["validation"] * 2, ["test"] * 2
    assert named["split"].to_pylist() == [*train, *validation, *test, None]


def test_spans_must_follow_each_other() -> None:
    """A validation span of no length is an error that shows the split."""
    with pytest.raises(ValueError, match="train_end < validation_end < test_end, found"):
        TimeSplit(at(10), at(10), at(30))


def test_baskets_are_days_and_first_takes_are_first() -> None:
    """A user's days are numbered from 0; an item bought again counts only in its first basket."""
    found = first_takes(baskets(log())).order_by("user", "basket", "item").to_pyarrow()
    rows = list(zip(*(found[name].to_pylist() for name in ("user", "item", "basket")), strict=True))
    assert rows == [("a", "x", 0), ("a", "y", 0), ("a", "z", 2), ("b", "y", 0), ("b", "w", 1), ("b", "x", 3)]


def test_groups_part_the_items_by_training_popularity() -> None:
    """Items without interactions are cold, the most frequent share of the others is head, equal counts by row."""
    groups = popularity_groups(np.array([0, 5, 9, 5, 1, 0, 2]), head_share=0.4)
    members = {group: np.flatnonzero(mask).tolist() for group, mask in groups.items()}
    assert members == {"all": list(range(7)), "head": [1, 2], "tail": [3, 4, 6], "cold": [0, 5]}


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=30), share=st.floats(0, 1))
def test_every_item_is_in_exactly_one_group(counts: list[int], share: float) -> None:
    """Head, tail and cold part the catalogue, whatever the counts."""
    groups = popularity_groups(np.array(counts), share)
    assert tuple(groups) == GROUPS
    assert (np.sum([groups[name] for name in ("head", "tail", "cold")], axis=0) == 1).all()


@given(seed=st.integers(0, 10_000), queries=st.integers(1, 150), items=st.integers(2, 12))
def test_ranks_are_those_of_a_full_sort(seed: int, queries: int, items: int) -> None:
    """A label's rank is its place in the sorted list of items that are not excluded, ties by lower item."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, size=(queries, items))  # 0 nothing, 1 excluded, 2 label
    scores = rng.integers(0, 4, size=(queries, items)).astype(np.float32)
    excluded, labels = sp.csr_matrix((kind == 1).astype(np.float32)), sp.csr_matrix((kind == 2).astype(np.float32))
    ranks = label_ranks(lambda rows: scores[rows], excluded, labels)
    naive = []
    for query in range(queries):
        allowed = sorted(np.flatnonzero(kind[query] != 1), key=lambda item: (-scores[query, item], item))
        naive += [allowed.index(item) for item in np.flatnonzero(kind[query] == 2)]
    assert ranks.tolist() == naive


def test_ranking_leaves_the_scores_alone() -> None:
    """Excluded items are masked in a copy: a scorer may give the same array twice."""
    scores = np.ones((1, 3), dtype=np.float32)
    one = sp.csr_matrix(np.array([[1.0, 0.0, 0.0]]))
    label_ranks(lambda _: scores, one, sp.csr_matrix(np.array([[0.0, 0.0, 1.0]])))
    assert np.isfinite(scores).all()


def test_recall_counts_pairs_and_its_interval_users() -> None:
    """Three hits of four pairs are 0.75; an interval over one user's pairs has no width, over two users it has."""
    ranks = np.array([0, 9, 10, 3])
    one = recall_at(ranks, np.zeros(4, dtype=np.int64), 10, 50, 1)
    assert (one.value, one.low, one.high, one.labels) == (0.75, 0.75, 0.75, 4)
    two = recall_at(ranks, np.array([0, 0, 1, 1]), 10, 200, 1)
    assert (two.value, two.low, two.high) == (0.75, 0.5, 1.0)


def test_recall_of_no_labels_is_not_measured() -> None:
    """A group without labels has no recall, rather than a zero."""
    empty = np.zeros(0)
    found = mean_over_users(empty, empty.astype(np.int64), 10, 1)
    assert (found.value, found.low, found.high, found.labels) == (None, None, None, 0)


def test_groups_are_measured_apart() -> None:
    """Each group's recall averages only the labels that belong to it."""
    labels = sp.csr_matrix(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]))
    groups = popularity_groups(np.array([9, 1, 0]), head_share=0.5)
    found = recall_by_group(np.array([0, 20, 60, 70]), labels, np.array([3, 4]), groups, 20, 1)
    values = {group: [found[group, k].value for k in RECALL_AT] for group in GROUPS}
    assert values["head"] == [1.0, 1.0, 1.0]
    assert values["tail"] == [0.0, 0.5, 1.0]
    assert values["cold"] == [0.0, 0.0, 1.0]
    assert found["all", 50].value == 0.5


def test_trainings_widen_the_interval() -> None:
    """Two trainings that agree have the interval of one; two that differ a wider one around the same mean."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(50), 4)
    values = rng.random(200)
    one = mean_over_users(values, users, 400, 1)
    agreeing = mean_over_runs(np.stack([values, values]), users, 400, 1)
    differing = mean_over_runs(np.stack([values + 0.2, values - 0.2]), users, 400, 1)
    assert agreeing.value == differing.value == pytest.approx(one.value)
    widths = [found.high - found.low for found in (one, agreeing, differing) if found.high and found.low]
    assert widths[1] == pytest.approx(widths[0], rel=0.2)
    assert widths[2] > 3 * widths[0]
