"""Recall by history length and popularity, against counting one user at a time; and what steps cost."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist_training.groups import (
    K,
    by_history,
    by_popularity,
    deciles,
    group_sizes,
    length_groups,
    recall_of_strangers,
)
from shortlist_training.histories import HeldOut
from shortlist_training.metrics import per_user_metrics


def held_out(rng: np.random.Generator, users: int, items: int) -> HeldOut:
    inputs = sp.csr_matrix((rng.random((users, items)) < rng.random((users, 1))).astype(np.float32))
    targets = (rng.random((users, items)) < 0.3).astype(np.float32)
    targets[:, 0] = 1.0
    with_one = inputs.tolil()
    with_one[:, 1] = 1.0
    return HeldOut([], with_one.tocsr(), sp.csr_matrix(targets))


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000))
def test_groups_are_counted_like_one_by_one(seed: int) -> None:
    """Users' recalls average per length; targets found divide by targets per decile; sizes add up."""
    rng = np.random.default_rng(seed)
    users, items = 6, 60
    test = held_out(rng, users, items)
    ranked = np.stack([rng.permutation(items)[:40] for _ in range(users)])
    counts = rng.integers(0, 9, size=items).astype(np.float32)
    recall = per_user_metrics(ranked, test.targets)["recall@20"]
    lengths = np.diff(test.inputs.indptr)
    found = by_history(ranked, test)
    for low, high in ((1, 4), (5, 9), (10, 19), (20, 49)):
        own = (lengths >= low) & (lengths <= high)
        assert (f"{low}-{high}" in found) == own.any()
        if own.any():
            assert found[f"{low}-{high}"] == pytest.approx(recall[own].mean())
    assert recall_of_strangers(ranked, test) == pytest.approx(recall.mean())
    decile = deciles(counts)
    assert np.bincount(decile).tolist() == [6] * 10
    assert (np.diff(counts[np.argsort(decile, kind="stable")]) >= -8).all()
    shares = by_popularity(ranked, test, counts)
    hits, wanted = np.zeros(10), np.zeros(10)
    for user in range(users):
        for target in test.targets[user].indices:
            wanted[decile[target]] += 1
            hits[decile[target]] += target in ranked[user, :K]
    for at in range(10):
        assert shares.get(str(at + 1), 0.0) == pytest.approx(hits[at] / wanted[at] if wanted[at] else 0.0)
    sizes = group_sizes(test, counts)
    assert sum(sizes[f"length {name}"] for name in length_groups()) == users
    assert sum(size for name, size in sizes.items() if name.startswith("decile")) == test.targets.nnz


def test_deciles_order_items_by_popularity() -> None:
    """The rarest tenth comes first; equal ones by row."""
    counts = np.array([5, 1, 1, 9, 2, 3, 8, 7, 6, 4], dtype=np.float32)
    assert deciles(counts).tolist() == [5, 0, 1, 9, 2, 3, 8, 7, 6, 4]


MEASURED_APART = """
import numpy as np
from shortlist_training.costs import measured

for size in (10_000_000, 1):
    with measured() as meter:
        assert np.ones(size).sum() == size
    print(meter.cost.wall_s, meter.cost.cpu_s, meter.cost.peak_mib)
"""


def test_a_step_costs_time_and_memory() -> None:
    """Allocating 80 MB shows in the peak of a block and not in that of the next.

    In a process of its own: in this one, earlier tests have left memory that is used before any more is asked for.
    """
    done = subprocess.run([sys.executable, "-c", MEASURED_APART], check=True, capture_output=True, text=True)
    (wall_s, cpu_s, large), (_, _, small) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert large > small + 50
    assert 0.0 <= cpu_s <= wall_s + 1.0
