"""Histories of trained items, and what is held out of them."""

import numpy as np
import pytest

from shortlist_training.histories import Histories, distinct_rows, fold_in_users
from shortlist_training.metrics import fold_in
from shortlist_training.timelines import Log, distinct_histories, incidence, vocabulary

VIEW, PURCHASE = 1, 5


def log() -> Log:
    """Make six users of random timelines; the last two are held out and know items that training does not."""
    rng = np.random.default_rng(1)
    lengths = np.array([5, 1, 8, 6, 9, 7])
    items = np.concatenate([rng.integers(8 if user < 4 else 12, size=length) for user, length in enumerate(lengths)])
    return Log(
        users=[f"u{user}" for user in range(6)],
        offsets=np.r_[0, np.cumsum(lengths)],
        items=items.astype(np.int64),
        types=np.where(rng.random(len(items)) < 0.5, VIEW, PURCHASE).astype(np.int8),
        countries=["BE", "NL"],
        country=rng.integers(2, size=len(items)),
        split=np.array(["train"] * 4 + ["test"] * 2),
        times_ms=np.arange(len(items), dtype=np.int64) * 1000,
    )


@pytest.fixture(scope="module")
def histories() -> Histories:
    found = log()
    return Histories.of(found, vocabulary(found))


def test_items_that_training_does_not_know_are_left_out(histories: Histories) -> None:
    """Each user's distinct rows are those of the whole log without the unknown ones, in the same order."""
    found = log()
    expected = distinct_histories(found, np.arange(6), vocabulary(found))
    for user in range(6):
        assert distinct_rows(histories.of_user(user)).tolist() == expected[user].tolist()
    assert histories.training_counts().sum() == sum(len(history) for history in histories.training())


def test_folding_in_is_the_protocol_of_the_metrics(histories: Histories) -> None:
    """Inputs and targets equal those of `metrics.fold_in`; what is known keeps the timeline's order and repeats."""
    found = log()
    held_out = fold_in_users(histories, "test", 0.8, 3)
    inputs, targets = fold_in(distinct_histories(found, np.array([4, 5]), vocabulary(found)), 0.8, 3)
    assert (held_out.inputs != incidence(inputs, histories.items)).nnz == 0
    assert (held_out.targets != incidence(targets, histories.items)).nnz == 0
    for history, rows in zip(held_out.known, inputs, strict=True):
        assert set(history.rows.tolist()) == set(rows.tolist())
        assert (np.diff(history.times_ms) > 0).all()


def test_types_thin_inputs_and_targets(histories: Histories) -> None:
    """With types an input item was viewed and a target bought; what is known are interactions with input items."""
    everything = fold_in_users(histories, "test", 0.5, 3)
    held_out = fold_in_users(histories, "test", 0.5, 3, (VIEW,), (PURCHASE,))
    assert 0 < held_out.inputs.nnz < everything.inputs.nnz
    for place, history in enumerate(held_out.known):
        whole = next(
            each for each in (histories.of_user(4), histories.of_user(5)) if set(history.times_ms) <= set(each.times_ms)
        )
        viewed = set(whole.rows[whole.types == VIEW].tolist())
        bought = set(whole.rows[whole.types == PURCHASE].tolist())
        assert set(held_out.inputs[place].indices.tolist()) <= viewed
        assert set(held_out.targets[place].indices.tolist()) <= bought


def test_a_context_is_what_a_request_would_say(histories: Histories) -> None:
    """Length, newest time and country of a cut history; nobody's history has no newest time."""
    history = histories.of_user(2).recent(3)
    context = history.context(99)
    assert (context.history_length, context.newest_ms, context.time_ms) == (3, int(history.times_ms[-1]), 99)
    empty = history.take(slice(0, 0)).context()
    assert (empty.history_length, empty.newest_ms, empty.time_ms) == (0, 0, 0)
