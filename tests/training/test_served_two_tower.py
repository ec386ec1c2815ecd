"""The served two towers: their loss, their inputs, cold items, learning, and the exported query tower."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from source_data import ITEMS, PER_COLOUR, learning

from index_store.content import EncoderContent
from models.encoder import OnnxEncoder
from models.features import FeatureTransform, Transforms, UserContext
from models.two_tower import NO_SEED, two_tower_inputs
from shortlist_training.config_sources import ContentSettings, TwoTowerSettings, UserSettings
from shortlist_training.errors import ExportError
from shortlist_training.histories import fold_in_users
from shortlist_training.sources.content import ItemContent, ItemEncoder, item_content
from shortlist_training.sources.ranking import measured
from shortlist_training.two_tower import serving_export
from shortlist_training.two_tower.features import UNKNOWN
from shortlist_training.two_tower.sampling import corrected_loss
from shortlist_training.two_tower.serving_export import export_query_tower
from shortlist_training.two_tower.serving_model import ServedTwoTower
from shortlist_training.two_tower.serving_train import (
    Batch,
    encode_users,
    input_vectors,
    mixed_loss,
    train_two_tower,
    user_scorer,
)
from shortlist_training.user_features import learn_transforms

SETTINGS = TwoTowerSettings(
    hidden=(16, 8),
    epochs=15,
    batch_users=16,
    uniform=16,
    learning_rate=0.05,
    split_by="random",
    max_history=5,
    items=ContentSettings(id_dim=8, word_dim=4, field_dim=3),
    users=UserSettings(dim=3),
)
WORLD = learning()
TRANSFORMS = learn_transforms(WORLD.histories, SETTINGS.users)


def content(known: ContentSettings = SETTINGS.items) -> ItemContent:
    return item_content(WORLD.catalogue, WORLD.histories.training_counts(), WORLD.svd, known)


@pytest.fixture(scope="module")
def trained() -> ServedTwoTower:
    validation = fold_in_users(WORLD.histories, "validation", 0.6, 0)
    model, _ = train_two_tower(WORLD.histories, content(), TRANSFORMS, validation, SETTINGS, 0, lambda _: None)
    return model


@pytest.fixture(scope="module")
def exported(trained: ServedTwoTower) -> EncoderContent:
    return export_query_tower(trained, TRANSFORMS, SETTINGS.max_history, 3)


@given(seed=st.integers(0, 1000), users=st.integers(1, 4), uniform=st.integers(0, 6))
def test_one_sum_per_user_is_the_corrected_loss_of_every_target(seed: int, users: int, uniform: int) -> None:
    """The shared sum over negatives gives equation 5, target by target, with the user's own items masked."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(users), rng.integers(1, 4, size=users))
    columns = len(owner) + uniform
    own = rng.random((users, columns)) < 0.3
    own[owner, np.arange(len(owner))] = True
    nothing = torch.zeros(0, dtype=torch.int64)
    batch = Batch(nothing, nothing, nothing, {}, nothing, torch.from_numpy(owner), torch.from_numpy(own))
    queries, items = torch.randn(users, 3), torch.randn(columns, 3)
    log_draws = torch.randn(columns)
    scores = queries[owner] @ items.T
    positives = scores[torch.arange(len(owner)), torch.arange(len(owner))]
    expected = corrected_loss(positives, scores, log_draws, torch.from_numpy(own[owner]))
    torch.testing.assert_close(mixed_loss(queries, items, batch, log_draws), expected)


def test_training_learns_the_colours(trained: ServedTwoTower) -> None:
    """Held-out users find their colour's other items far above chance, at most 20 of 24 items being in a top 20."""
    validation = fold_in_users(WORLD.histories, "validation", 0.6, 0)
    found = measured(user_scorer(trained, validation.known, TRANSFORMS, SETTINGS), validation)
    assert found["ndcg@100"].mean() > 0.7


def test_training_is_deterministic() -> None:
    """One seed gives the same weights to the bit, another does not."""
    validation = fold_in_users(WORLD.histories, "validation", 0.6, 0)
    short = replace_epochs(2)
    states = []
    for seed in (1, 1, 2):
        model, _ = train_two_tower(WORLD.histories, content(), TRANSFORMS, validation, short, seed, lambda _: None)
        states.append(b"".join(value.numpy().tobytes() for value in model.state_dict().values()))
    assert states[0] == states[1] != states[2]


def replace_epochs(epochs: int) -> TwoTowerSettings:
    kept = {name: getattr(SETTINGS, name) for name in SETTINGS.__struct_fields__}
    return TwoTowerSettings(**{**kept, "epochs": epochs})


def test_training_and_serving_make_one_query(trained: ServedTwoTower) -> None:
    """Users encoded by rows equal the query tower on `models.two_tower`'s inputs: seeds, long and empty histories."""
    known = [WORLD.histories.of_user(user) for user in range(4)]
    known[3] = known[3].take(slice(0, 0))
    seeds = np.array([2, NO_SEED, 5, NO_SEED])
    by_rows = encode_users(trained, known, TRANSFORMS, SETTINGS.max_history, seeds, 123_456_789)
    inputs = two_tower_inputs(
        input_vectors(trained),
        [history.rows for history in known],
        seeds.tolist(),
        [history.context(123_456_789) for history in known],
        Transforms(TRANSFORMS),
        SETTINGS.max_history,
    )
    with torch.no_grad():
        served = trained.query(*(torch.from_numpy(value) for value in inputs.values())).numpy()
    np.testing.assert_allclose(by_rows, served, atol=1e-5)


def test_the_exported_tower_serves_what_was_trained(trained: ServedTwoTower, exported: EncoderContent) -> None:
    """Onnxruntime equals torch within 1e-5, for batches, no history, no seed, and features nobody knew."""
    encoder = OnnxEncoder.open(exported.graph, exported.spec)
    users = [
        (WORLD.histories.of_user(1).rows, 3, UserContext("BE", 10**12, 10**12 - 5, 4, {"segment": "gold", "age": 3.0})),
        (np.zeros(0, dtype=np.int64), NO_SEED, UserContext("??", features={"segment": "never seen"})),
        (np.array([4]), NO_SEED, UserContext("")),
    ]
    for batch in (users, users[:1], users[1:2]):
        rows, seeds, contexts = zip(*batch, strict=True)
        inputs = two_tower_inputs(input_vectors(trained), rows, seeds, contexts, encoder.transforms, 5)
        with torch.no_grad():
            torch_vectors = trained.query(*(torch.from_numpy(value) for value in inputs.values())).numpy()
        np.testing.assert_allclose(encoder.encode(inputs), torch_vectors, atol=1e-5)
    assert exported.spec.max_history == SETTINGS.max_history


def test_a_graph_that_is_not_the_model_is_refused(trained: ServedTwoTower, monkeypatch: pytest.MonkeyPatch) -> None:
    """If torch and onnxruntime disagree nothing is published."""
    monkeypatch.setattr(serving_export, "run_torch", lambda *_: lambda inputs: np.ones((len(inputs["seed_vector"]), 8)))
    with pytest.raises(ExportError, match="exported encoder two_tower_query differs"):
        export_query_tower(trained, TRANSFORMS, SETTINGS.max_history, 3)


def test_a_new_item_is_known_by_its_content(trained: ServedTwoTower) -> None:
    """An item with an unknown id lies nearer to its colour than to the others, by its title alone."""
    unknown = replace(content(), ids=np.full(ITEMS, UNKNOWN, dtype=np.int64))
    cold = ServedTwoTower(unknown, TRANSFORMS, SETTINGS)
    cold.load_state_dict(trained.state_dict())
    with torch.no_grad():
        rows = torch.arange(ITEMS)
        queries = trained.eval().item_vectors(rows)
        near = cold.eval().item_vectors(rows) @ queries.T
    own = near[:PER_COLOUR, :PER_COLOUR].mean()
    assert own > near[:PER_COLOUR, PER_COLOUR:].mean()


def test_rare_ids_and_words_share_the_unknown_rows() -> None:
    """Below the minimum counts ids and words are unknown; without attributes there are no tables for them."""
    found = content(ContentSettings(min_item_count=10_000, min_word_count=10_000))
    assert (found.ids == UNKNOWN).all()
    assert found.words is not None
    assert set(found.words.ravel().tolist()) == {0, UNKNOWN}
    bare = replace(WORLD.catalogue, titles=None, categories=None, prices=None)
    plain = item_content(bare, WORLD.histories.training_counts(), WORLD.svd, SETTINGS.items)
    assert plain.sizes == {"id": ITEMS + 2}
    encoder = ItemEncoder(plain, SETTINGS.items)
    assert (encoder.width, encoder.details(torch.arange(2)).shape) == (8, (2, 0))


def test_ids_begin_at_the_leading_svd_dimensions() -> None:
    """Scaled to the wished root mean square; with 0 they begin at random."""
    encoder = ItemEncoder(content(), SETTINGS.items)
    start = encoder.tables["id"].weight.detach().numpy()[2:, :6]
    np.testing.assert_allclose(start / WORLD.svd, np.full_like(start, start[0, 0] / WORLD.svd[0, 0]), rtol=1e-4)
    assert np.sqrt((start**2).mean()) == pytest.approx(SETTINGS.items.svd_scale, rel=1e-4)


def test_no_transform_needs_no_input() -> None:
    """A query tower without features takes history and seed alone."""
    none: tuple[FeatureTransform, ...] = ()
    model = ServedTwoTower(content(), none, SETTINGS)
    vectors = encode_users(model.eval(), [WORLD.histories.of_user(0)], none, 5)
    assert vectors.shape == (1, 8)
