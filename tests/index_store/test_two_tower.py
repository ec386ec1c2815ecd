"""The two-tower shard: queries are encoded with the country's input vectors, and searched as LED's are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_store.index import ExactIndex
from index_store.manifest import TwoTowerEntry
from index_store.two_tower import TwoTowerShard
from models.encoder import OnnxEncoder
from models.features import UserContext
from models.two_tower import NO_SEED
from tiny_sources import INPUT_DIM, MAX_HISTORY, TOWER_DIM, TinyEncoders

SIZE = 30


@pytest.fixture(scope="module")
def encoders() -> TinyEncoders:
    """Random weights."""
    return TinyEncoders.random(np.random.default_rng(5))


@pytest.fixture(scope="module")
def opened(encoders: TinyEncoders) -> OnnxEncoder:
    """The query tower, opened."""
    return OnnxEncoder.open(encoders.two_tower.onnx(), encoders.two_tower.spec)


def shard_of(rng: np.random.Generator) -> TwoTowerShard:
    """30 random items, searched exactly."""
    facts = {"recall_k": 1, "recall_target": 1.0, "recall": 1.0, "queries": 0, "own_queries": 0, "curve": ()}
    entry = TwoTowerEntry(dim=TOWER_DIM, engine="exact", input_dim=INPUT_DIM, **facts)
    vectors = rng.normal(size=(SIZE, TOWER_DIM)).astype(np.float32)
    taken = rng.normal(size=(SIZE, INPUT_DIM)).astype(np.float32)
    return TwoTowerShard(entry, vectors, taken, ExactIndex(vectors))


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.lists(st.tuples(st.integers(0, 30), st.integers(-1, SIZE - 1)), max_size=6),
)
def test_a_batch_of_users_is_encoded_as_one_by_one(
    encoders: TinyEncoders, opened: OnnxEncoder, seed: int, users: list[tuple[int, int]]
) -> None:
    """The mean of the recent history's input vectors, the seed's, and the features, for histories of any length."""
    rng = np.random.default_rng(seed)
    shard = shard_of(rng)
    histories = [rng.integers(0, SIZE, size=length) for length, _ in users]
    contexts = [UserContext("US", int(rng.integers(0, 2**40)), 0, length, {"tier": "gold"}) for length, _ in users]
    found = shard.encode(opened, histories, [row for _, row in users], contexts)
    assert found.shape == (len(users), TOWER_DIM)
    for vector, history, (_, row), context in zip(found, histories, users, contexts, strict=True):
        recent = shard.input_vectors[history[-MAX_HISTORY:]]
        mean = recent.mean(axis=0) if len(recent) else np.zeros(INPUT_DIM)
        item = shard.input_vectors[row] if row != NO_SEED else np.zeros(INPUT_DIM)
        features = encoders.two_tower._features(opened.transforms.inputs([context]), 0)
        np.testing.assert_allclose(vector, features + (mean + item) @ encoders.two_tower.projection, atol=1e-4)


def test_scores_are_inner_products() -> None:
    """The best rows of a query, best first."""
    rng = np.random.default_rng(3)
    shard = shard_of(rng)
    user = rng.normal(size=(1, TOWER_DIM)).astype(np.float32)
    found = shard.search(user, 5)
    products = shard.vectors @ user[0]
    assert found.rows[0].tolist() == np.argsort(-products)[:5].tolist()
    np.testing.assert_allclose(found.scores[0], np.sort(products)[::-1][:5], rtol=1e-5)
