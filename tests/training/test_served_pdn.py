"""The served PDN: statistics without the user's own fold, loss, index, greedy retrieval, export."""

import math

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from source_data import COLOURS, ITEMS, learning

from models.encoder import OnnxEncoder
from models.features import Transforms, UserContext
from models.pdn import direct_inputs, triggers_of, trignet_inputs
from shortlist_training.config_sources import ContentSettings, PdnSettings, UserSettings
from shortlist_training.errors import DataError
from shortlist_training.histories import fold_in_users
from shortlist_training.pdn.serving_candidates import (
    STATISTICS,
    CandidatePairs,
    Cooccurrence,
    candidate_pairs,
    profile_matrix,
)
from shortlist_training.pdn.serving_export import export_pdn
from shortlist_training.pdn.serving_index import GreedyScorer, PathIndex, ServedVectors, path_index, retrieve
from shortlist_training.pdn.serving_model import ServedPdn, cross_entropy
from shortlist_training.pdn.serving_train import Batch, Views, epoch_batches, make_views, scores, train_pdn
from shortlist_training.sources.content import ItemContent, item_content
from shortlist_training.sources.pdn import PdnSource
from shortlist_training.sources.ranking import measured
from shortlist_training.timelines import incidence
from shortlist_training.two_tower.train import seed_everything
from shortlist_training.user_features import learn_transforms

SETTINGS = PdnSettings(
    hidden=4,
    direct_dim=3,
    folds=2,
    by_log=10,
    by_profile=3,
    neighbours=6,
    triggers=5,
    pool=8,
    batch_users=16,
    epochs=2,
    split_by="random",
    items=ContentSettings(id_dim=4, word_dim=4, field_dim=3),
    users=UserSettings(origins=("country", "history_length"), dim=3),
)
WORLD = learning()
TRANSFORMS = learn_transforms(WORLD.histories, SETTINGS.users)


def content() -> ItemContent:
    return item_content(WORLD.catalogue, WORLD.histories.training_counts(), WORLD.svd, SETTINGS.items)


@pytest.fixture(scope="module")
def views() -> Views:
    return make_views(WORLD.histories, content(), SETTINGS, 0, lambda _: None)


@pytest.fixture(scope="module")
def trained(views: Views) -> ServedPdn:
    validation = fold_in_users(WORLD.histories, "validation", 0.6, 0)
    model, _ = train_pdn(WORLD.histories, content(), TRANSFORMS, views, validation, SETTINGS, 0, lambda _: None)
    return model


def test_pdn_trains_with_eases_weight_and_says_where_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight is one more input of SimNet; a catalogue too large for EASE is refused by the setting's name."""
    how = msgspec.structs.replace(SETTINGS, ease_lambda=10.0, epochs=1)
    found = make_views(WORLD.histories, content(), how, 0, lambda _: None)
    assert found.everybody.statistics.shape[1] == len(STATISTICS) + 1
    validation = fold_in_users(WORLD.histories, "validation", 0.6, 0)
    model, epochs = train_pdn(WORLD.histories, content(), TRANSFORMS, found, validation, how, 0, lambda _: None)
    assert math.isfinite(epochs[-1].loss)
    weights = {name: values.numpy() for name, values in model.state_dict().items()}
    source = PdnSource.load(WORLD, TRANSFORMS, how, weights, 0)
    np.testing.assert_array_equal(
        source.index(np.arange(ITEMS), 6).neighbours, path_index(model, found.everybody, np.arange(ITEMS), 6).neighbours
    )
    monkeypatch.setattr("shortlist_training.pdn.serving_train.EASE_MOST_ITEMS", ITEMS - 1)
    with pytest.raises(DataError, match=f"pdn.ease_lambda: .* {ITEMS} items are more than {ITEMS - 1}"):
        make_views(WORLD.histories, content(), how, 0, lambda _: None)


def test_a_users_own_log_decides_nothing_in_training(views: Views) -> None:
    """The pairs that a fold is trained with are those of all other folds' log alone."""
    owned = incidence([np.unique(history.rows) for history in views.histories], ITEMS)
    found = content()
    profiles = profile_matrix(found.words, found.category, ITEMS)
    for number in range(SETTINGS.folds):
        others = owned[views.fold != number]
        log = Cooccurrence(others, SETTINGS.activity_power, owned.shape[0] / others.shape[0])
        expected = candidate_pairs(log, profiles, np.arange(ITEMS), SETTINGS.by_log, SETTINGS.by_profile)
        assert views.held_out[number].targets.tobytes() == expected.targets.tobytes()
        assert views.held_out[number].statistics.tobytes() == expected.statistics.tobytes()
    assert views.held_out[0].statistics.tobytes() != views.everybody.statistics.tobytes()


def naive_scores(
    model: ServedPdn, batch: Batch, pairs: CandidatePairs
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Equation 12 one path at a time."""
    features = list(batch.features.values())
    places = {
        (int(j), int(i)): number for number, (j, i) in enumerate(zip(pairs.triggers(), pairs.targets, strict=True))
    }
    shares = model.trigger_vectors(batch.triggers)
    weights = model.trignet(shares, batch.owner, batch.types, batch.counts, batch.positions, *features)
    people, items = model.direct_user(*features), model.item_vectors(batch.pool)
    bias = model.bias_weight(batch.features)
    total = np.zeros(batch.label.shape)
    for user, column in np.ndindex(*total.shape):
        total[user, column] = math.log1p(math.exp(float(people[user] @ items[column]))) + float(bias[user])
        for line in np.flatnonzero(batch.owner.numpy() == user):
            number = places.get((int(batch.triggers[line]), int(batch.pool[column])))
            if number is not None:
                statistics = torch.from_numpy(pairs.statistics[number : number + 1].astype(np.float32))
                s = model.similarity(batch.triggers[line : line + 1], batch.pool[column : column + 1], statistics)
                total[user, column] += math.log1p(math.exp(float(s + weights[line])))
    return total


def test_a_batch_scores_like_one_path_at_a_time(trained: ServedPdn, views: Views) -> None:
    """Wherever a user is asked for an item, the score is equation 12 over the fold's stored pairs, bias included."""
    rng = np.random.default_rng(0)
    model = trained.eval()
    small = PdnSettings(**{**{f: getattr(SETTINGS, f) for f in SETTINGS.__struct_fields__}, "batch_users": 3})
    batch = next(iter(epoch_batches(views, ITEMS, TRANSFORMS, small, rng)))
    matches = []
    with torch.no_grad():
        found = scores(model, batch, direct=True).numpy()
        for pairs in views.held_out:
            asked = batch.weight.numpy() > 0
            matches.append(bool(np.allclose(found[asked], naive_scores(model, batch, pairs)[asked], rtol=1e-4)))
    assert matches.count(True) == 1
    assert batch.label.any(dim=1).all()


def test_the_loss_is_the_cross_entropy_of_eq_13() -> None:
    """-log(1 - e^-y) for positives, y for negatives; weight 0 leaves a pair out."""
    score = torch.tensor([[0.5, 2.0, 9.0]])
    label = torch.tensor([[True, False, True]])
    weight = torch.tensor([[1.0, 0.5, 0.0]])
    expected = (-math.log(1 - math.exp(-0.5)) + 0.5 * 2.0) / 1.5
    assert cross_entropy(score, label, weight).item() == pytest.approx(expected, rel=1e-5)


def test_training_learns_the_colours(trained: ServedPdn, views: Views) -> None:
    """In the served form held-out users find their colour's other items first."""
    validation = fold_in_users(WORLD.histories, "validation", 0.6, 0)
    index = path_index(trained, views.everybody, np.arange(ITEMS), SETTINGS.neighbours)
    scorer = GreedyScorer(trained, index, validation.known, TRANSFORMS, SETTINGS.max_history, direct=True)
    found = measured(lambda users: scorer.score(users, SETTINGS.triggers), validation)
    assert found["ndcg@100"].mean() > 0.7


def test_an_index_ranks_candidates_by_simnet(trained: ServedPdn, views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row holds its k most similar candidates, best first, and -1 with -inf after the last one."""
    index = path_index(trained, views.everybody, np.arange(ITEMS), 15)
    pairs = views.everybody
    for row in range(ITEMS):
        mine = slice(int(pairs.indptr[row]), int(pairs.indptr[row + 1]))
        targets = torch.from_numpy(pairs.targets[mine])
        statistics = torch.from_numpy(pairs.statistics[mine].astype(np.float32))
        with torch.no_grad():
            s = trained.similarity(torch.full_like(targets, row), targets, statistics).numpy()
        there = index.neighbours[row] >= 0
        assert there.sum() == min(15, len(targets))
        best = np.sort(s)[::-1][:15]
        np.testing.assert_allclose(index.scores[row][there], best, rtol=2e-3, atol=1e-3)
        assert set(index.neighbours[row][there].tolist()) <= set(targets.tolist()) - {row}
        assert (index.scores[row][~there] == -np.inf).all()
        assert (np.diff(index.scores[row][there]) <= 0).all()
    monkeypatch.setattr("shortlist_training.pdn.serving_index.RANK_BLOCK", 7)
    parts = path_index(trained, views.everybody, np.arange(ITEMS), 15)
    np.testing.assert_array_equal(parts.neighbours, index.neighbours)
    np.testing.assert_array_equal(parts.scores, index.scores)


@given(seed=st.integers(0, 10_000), most=st.integers(1, 5))
def test_greedy_retrieval_is_eq_14(seed: int, most: int) -> None:
    """The sum over the paths of the top triggers plus the direct term, one candidate at a time."""
    rng = np.random.default_rng(seed)
    neighbours = np.stack([rng.permutation(7)[:3] for _ in range(7)]).astype(np.int32)
    neighbours[0, 1:] = -1
    weights_of = np.where(neighbours >= 0, -np.sort(rng.random((7, 3)), axis=1), -np.inf).astype(np.float16)
    triggers = np.sort(rng.permutation(7)[:4])
    t, direct = rng.standard_normal(4).astype(np.float32), rng.standard_normal(7).astype(np.float32)
    rows, found = retrieve(PathIndex(neighbours, weights_of), triggers, t, direct, most)
    expected: dict[int, float] = {}
    for place in np.argsort(-t, kind="stable")[:most]:
        for i, s in zip(neighbours[triggers[place]], weights_of[triggers[place]], strict=True):
            if i >= 0:
                expected[int(i)] = expected.get(int(i), math.log1p(math.exp(direct[i]))) + math.log1p(
                    math.exp(float(t[place]) + float(s))
                )
    assert rows.tolist() == sorted(expected)
    np.testing.assert_allclose(found, [expected[int(row)] for row in rows], rtol=1e-5)


def test_exported_encoders_serve_what_was_trained(trained: ServedPdn) -> None:
    """200 triggers for each of three users in one call, and one trigger of a user who is not known, within 1e-5."""
    vectors = ServedVectors.of(trained)
    exported = export_pdn(trained, vectors.trigger_vectors, TRANSFORMS, 100, 0)
    encoders = {name: OnnxEncoder.open(one.graph, one.spec) for name, one in exported.items()}
    rng = np.random.default_rng(5)
    people = [UserContext("BE", history_length=9, features={"segment": "gold"}), UserContext("??"), UserContext("NL")]
    made = Transforms(TRANSFORMS)
    for contexts, length in ((people, 200), (people[1:2], 1)):
        triggers = [
            triggers_of(rng.integers(ITEMS, size=length), rng.integers(1, 6, size=length), 200) for _ in contexts
        ]
        inputs = trignet_inputs(vectors.trigger_vectors, triggers, contexts, made)
        with torch.no_grad():
            expected = trained.trignet(*(torch.from_numpy(value) for value in inputs.values())).numpy()
            person = trained.direct_user(*(torch.from_numpy(v) for v in direct_inputs(contexts, made).values())).numpy()
        np.testing.assert_allclose(encoders["trignet"].encode(inputs), expected, atol=1e-5)
        np.testing.assert_allclose(encoders["pdn_user"].encode(direct_inputs(contexts, made)), person, atol=1e-5)


def test_training_is_deterministic(views: Views) -> None:
    """One seed gives the same weights to the bit, another does not."""
    validation = fold_in_users(WORLD.histories, "validation", 0.6, 0)
    states = []
    for seed in (1, 1, 2):
        model, _ = train_pdn(WORLD.histories, content(), TRANSFORMS, views, validation, SETTINGS, seed, lambda _: None)
        states.append(b"".join(value.numpy().tobytes() for value in model.state_dict().values()))
    assert states[0] == states[1] != states[2]


def test_large_catalogues_train_too(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables over the size from which two-tower's gradients are sparse: PDN's are dense until there are far more."""
    monkeypatch.setattr("shortlist_training.sources.content.SPARSE_FROM", 1)
    validation = fold_in_users(WORLD.histories, "validation", 0.6, 0)
    _, epochs = train_pdn(WORLD.histories, content(), TRANSFORMS, views, validation, SETTINGS, 0, lambda _: None)
    assert all(math.isfinite(epoch.loss) for epoch in epochs)


def test_of_very_many_items_a_step_moves_those_in_use(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the decay moves all. Items that one user, of one colour, does not meet stay; what is in use moves as far."""
    validation = fold_in_users(WORLD.histories, "validation", 0.6, 0)
    lone = Views(views.histories[:1], views.fold[:1], views.held_out, views.everybody)
    once = msgspec.structs.replace(SETTINGS, pool=1, epochs=1, weight_decay=0.1)
    monkeypatch.setattr("shortlist_training.sources.content.SPARSE_FROM", 1)
    moved = []
    for least in (ITEMS + 1, ITEMS):
        monkeypatch.setattr("shortlist_training.pdn.serving_model.SPARSE_FROM", least)
        seed_everything(0, SETTINGS.threads)
        before = ServedPdn(content(), TRANSFORMS, once).direct_items.tables["id"].get_parameter("weight")
        model, _ = train_pdn(WORLD.histories, content(), TRANSFORMS, lone, validation, once, 0, lambda _: None)
        after = model.direct_items.tables["id"].get_parameter("weight")
        moved.append((after - before).abs().amax(dim=1).detach().numpy()[2:])  # without padding and unknown
    dense, sparse = moved
    assert (dense > 0).all()
    used = sparse > 0
    assert 0 < used.sum() <= ITEMS // len(COLOURS) + 1
    np.testing.assert_allclose(sparse[used], dense[used], atol=2e-3)  # a step is 0.01
