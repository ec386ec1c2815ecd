"""LED's weights by type and age on the way from a project to a bundle."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from index_store.bundle import load_bundle
from index_store.errors import GoldenMismatch
from index_store.golden import replay_golden
from index_store.publish import publish
from models.history_weights import DAY_MS, HistoryWeights
from shortlist_training.assemble import Provenance, SourceSet, TrainedItems, assemble
from shortlist_training.catalogue import Catalogue
from shortlist_training.config import PublishConfig
from shortlist_training.config_models import LedConfig
from shortlist_training.evaluate import Learned, scorers
from shortlist_training.histories import Histories, fold_in_users
from shortlist_training.timelines import Log
from tiny_bundle import POLICY

ITEMS, USERS, LENGTH = 30, 12, 6
WEIGHTS = HistoryWeights({"CART": 3.0}, 5.0)


@pytest.fixture(scope="module")
def log() -> Log:
    """Users with views and carts, a few days apart."""
    rng = np.random.default_rng(4)
    items = np.concatenate([rng.permutation(ITEMS)[:LENGTH] for _ in range(USERS)])
    return Log(
        users=[f"user{number:02}" for number in range(USERS)],
        offsets=np.arange(0, USERS * LENGTH + 1, LENGTH),
        items=items.astype(np.int64),
        types=rng.choice([1, 4], USERS * LENGTH).astype(np.int8),
        countries=["FR"],
        country=np.zeros(USERS * LENGTH, dtype=np.int64),
        split=np.array(["train"] * (USERS - 2) + ["validation", "test"]),
        times_ms=np.tile(np.arange(1, LENGTH + 1) * 3 * DAY_MS, USERS),
    )


def trained(weights: HistoryWeights | None) -> TrainedItems:
    """Random vectors of all items."""
    rng = np.random.default_rng(5)
    vectors, biases = rng.normal(size=(ITEMS, 4)).astype(np.float32), rng.normal(size=ITEMS).astype(np.float32)
    return TrainedItems(np.arange(ITEMS), vectors, biases, weights=weights)


def published(log: Log, weights: HistoryWeights | None, root: Path) -> Path:
    """A bundle with these weights."""
    ids = np.arange(ITEMS, dtype=np.uint64)
    catalogue = Catalogue(ids, [f"k{place}" for place in range(ITEMS)], None, None, None)
    content = assemble(
        log,
        Histories.of(log, np.arange(ITEMS)),
        catalogue,
        trained(weights),
        SourceSet(),
        PublishConfig(golden_k=5),
        Provenance("f" * 64, 3, {"led": {"x": 1.0}}, {}),
    )
    return publish(content, root=root, name="shop", version="v1", policy=POLICY)


def test_a_weighted_bundle_replays_its_golden_requests(log: Log, tmp_path: Path) -> None:
    """Training's own weighing and the server's agree; a bundle whose spec lost the weights is found out."""
    bundle = load_bundle(published(log, WEIGHTS, tmp_path))
    encoders = bundle.open_encoders()
    assert encoders["led"].spec.weights == WEIGHTS
    assert any(len(set(request.types or ())) > 1 for request in bundle.golden)
    replay_golden(bundle, encoders)
    encoders["led"].spec = msgspec.structs.replace(encoders["led"].spec, weights=msgspec.UNSET)
    with pytest.raises(GoldenMismatch):
        replay_golden(bundle, encoders)


def test_a_project_names_its_weights() -> None:
    """`type_weights` and `half_life_days` of [led]; neither is no weights."""
    read = msgspec.toml.decode(b"type_weights = { CART = 3.0 }\nhalf_life_days = 5.0", type=LedConfig)
    assert read.history_weights() == WEIGHTS
    assert LedConfig().history_weights() is None
    with pytest.raises(msgspec.ValidationError, match="LIKE"):
        msgspec.toml.decode(b"type_weights = { LIKE = 3.0 }", type=LedConfig)


def test_the_evaluation_weighs_as_the_server_does(log: Log) -> None:
    """A held-out user's scores are the weighted mean's; with weights of 1 they are the plain ones."""
    users = fold_in_users(Histories.of(log, np.arange(ITEMS)), "test", 0.8, 1)
    one = trained(None)
    learned = Learned(one.vectors, one.biases, one.vectors, np.zeros((0, ITEMS), dtype=np.float32), ["FR"], {})
    counts, part = np.ones(ITEMS, dtype=np.float32), np.arange(len(users.known))
    plain = scorers(counts, learned, None, users)["led"](part)
    even = scorers(counts, replace(learned, weights=HistoryWeights()), None, users)["led"](part)
    np.testing.assert_allclose(even, plain, atol=1e-5)
    found = scorers(counts, replace(learned, weights=WEIGHTS), None, users)["led"](part)
    for scores, history in zip(found, users.known, strict=True):
        ages = (history.times_ms[-1] - history.times_ms) / DAY_MS
        weights = np.where(history.types == 4, 3.0, 1.0) * 0.5 ** (ages / 5.0)
        mean = weights @ one.vectors[history.rows] / weights.sum()
        np.testing.assert_allclose(scores, one.vectors @ mean + one.biases, atol=1e-4)
