"""Item-interaction as it is served: pairs of a log, modules over the last pairs, policies, moments without order."""

from datetime import datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_store.content import InteractionPolicy
from models.interactions import InteractionType
from shortlist_training.config_sources import InteractionSettings
from shortlist_training.errors import DataError, TrainingError
from shortlist_training.histories import History
from shortlist_training.item_interaction.serving import PairVectors, TypedVectors, policy, train_pairs
from shortlist_training.item_interaction.tokens import Sequences, shuffle_moments

VIEW, CLICK, CART, PURCHASE = (InteractionType[name] for name in ("VIEW", "CLICK", "CART", "PURCHASE"))
START = datetime(2024, 1, 1)  # noqa: DTZ001 - the tables' times are local
KEYS = pa.chunked_array([[f"i{item}" for item in range(8)]])


def table(kinds: tuple[int, ...] = (VIEW, PURCHASE), users: int = 40) -> ibis.Table:
    """Make users who stay with the items 0-3 or 4-7: each views three, then buys a fourth."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(users):
        for step, item in enumerate(rng.permutation(4)):
            kind = kinds[-1] if step == 3 else kinds[0]
            rows.append((f"u{user}", f"i{item + 4 * (user % 2)}", START + timedelta(minutes=step), kind, "FR"))
    names = ("user", "item", "time", "type", "country")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    kind = pa.array([int(value) for value in columns["type"]], pa.int8())
    return ibis.memtable(pa.table({**columns, "time": pa.array(columns["time"], pa.timestamp("us")), "type": kind}))


def trained(**changes: object) -> PairVectors:
    config = InteractionSettings(**{"dim": 8, "epochs": 20, "learning_rate": 0.05, **changes})
    return train_pairs(table(), KEYS, None, config, 1800, 0, lambda _: None)


@pytest.fixture(scope="module")
def pairs() -> PairVectors:
    return trained()


def test_pairs_are_unit_vectors_by_item_and_type(pairs: PairVectors) -> None:
    """Every (item, type) of a session is there once, ordered by item; rows of one type ascend."""
    assert sorted(zip(pairs.items.tolist(), pairs.types.tolist(), strict=True)) == list(
        zip(pairs.items.tolist(), pairs.types.tolist(), strict=True)
    )
    assert set(pairs.types.tolist()) == {int(VIEW), int(PURCHASE)}
    np.testing.assert_allclose(np.linalg.norm(pairs.vectors, axis=1), 1.0, atol=1e-5)
    rows, vectors = pairs.of_type(VIEW)
    assert (rows.tolist(), vectors.shape) == (list(range(8)), (8, 8))


def test_what_is_viewed_together_is_close(pairs: PairVectors) -> None:
    """An item's view lies nearer to the purchases of its own group than to the others'."""
    views, purchases = pairs.of_type(VIEW), pairs.of_type(PURCHASE)
    cosines = views[1] @ purchases[1].T
    same = (views[0][:, None] < 4) == (purchases[0][None, :] < 4)
    assert cosines[same].mean() > cosines[~same].mean() + 0.1


def test_one_seed_gives_the_same_pairs(pairs: PairVectors) -> None:
    """Training twice agrees to the bit."""
    assert trained().vectors.tobytes() == pairs.vectors.tobytes()


def test_vectors_without_bound_are_refused() -> None:
    """A learning rate that makes vectors grow without bound names the settings to lower."""
    with pytest.raises(TrainingError, match=r"lower item_interaction\.learning_rate or window"):
        trained(learning_rate=1e30)


def test_a_log_without_sessions_names_the_setting() -> None:
    """CLICK is no type of the method: a log of clicks has no session, and the error says what to lower."""
    config = InteractionSettings(dim=4)
    with pytest.raises(DataError, match=r"lower item_interaction\.min_events"):
        train_pairs(table((CLICK, CLICK)), KEYS, None, config, 1800, 0, lambda _: None)


def test_policies_default_to_the_types_that_are_there(pairs: PairVectors) -> None:
    """All types present are sources, the strongest is the target; types nobody uses are refused by name."""
    found = policy(pairs, InteractionSettings(last_n=3))
    assert found == InteractionPolicy((VIEW, PURCHASE), (PURCHASE,), 3)
    with pytest.raises(DataError, match=r"item_interaction\.targets names CART.*sessions have VIEW, PURCHASE"):
        policy(pairs, InteractionSettings(targets=("CART",)))


@given(seed=st.integers(0, 10_000), last_n=st.integers(1, 4), length=st.integers(0, 9))
def test_modules_are_merged_like_one_by_one(seed: int, last_n: int, length: int) -> None:
    """An item's score is its largest cosine to the last n different pairs of each source type, own items left out."""
    rng = np.random.default_rng(seed)
    by_type = {}
    for kind in (VIEW, PURCHASE):
        rows = np.flatnonzero(rng.random(7) < 0.7)
        vectors = rng.standard_normal((len(rows), 3)).astype(np.float32)
        by_type[int(kind)] = (rows, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    history = History(
        rng.integers(7, size=length), rng.choice([int(VIEW), int(PURCHASE)], size=length), np.arange(length), "FR", {}
    )
    typed = TypedVectors(by_type, 7, InteractionPolicy((VIEW, PURCHASE), (PURCHASE, CART), last_n))
    queries = []
    for kind in (VIEW, PURCHASE):
        rows, vectors = by_type[int(kind)]
        recent: list[int] = []
        for row, own in zip(history.rows[::-1].tolist(), history.types[::-1].tolist(), strict=True):
            if own == kind and row in rows and row not in recent:
                recent.append(row)
        queries += [vectors[rows.tolist().index(row)] for row in recent[:last_n]]
    expected = np.full(7, -np.inf)
    rows, vectors = by_type[int(PURCHASE)]
    for row, vector in zip(rows.tolist(), vectors, strict=True):
        if queries and row not in history.rows:
            expected[row] = max(float(vector @ query) for query in queries)
    np.testing.assert_allclose(typed.scores(history), expected, rtol=1e-5, atol=1e-6)


@given(seed=st.integers(0, 1000), size=st.integers(1, 12))
def test_shuffling_moves_tokens_only_within_their_moment(seed: int, size: int) -> None:
    """Sessions and times stay; tokens of one moment of one session may change places."""
    rng = np.random.default_rng(seed)
    cut = int(rng.integers(1, size + 1))
    moments = np.concatenate([np.sort(rng.integers(3, size=cut)), np.sort(rng.integers(3, size=size - cut))])
    before = Sequences(np.arange(size), np.array([0, cut, size]), moments)
    after = shuffle_moments(before, rng)
    assert after.moments is not None
    assert after.moments.tolist() == moments.tolist()
    for token, place in zip(after.tokens.tolist(), range(size), strict=True):
        assert (token < cut) == (place < cut)
        assert moments[token] == moments[place]


def test_moments_that_are_not_known_stay_in_order() -> None:
    """Sequences without times are not touched."""
    sequences = Sequences(np.arange(4), np.array([0, 4]))
    assert shuffle_moments(sequences, np.random.default_rng(0)) is sequences
