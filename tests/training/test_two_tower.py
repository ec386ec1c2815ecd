"""The towers, their data and their training: shapes, cold items, export, and that learning learns."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import ibis
import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
import torch

from shortlist_training.time_split import TimeSplit
from shortlist_training.two_tower.dataset import DataConfig, RetrievalData, build, item_specs, query_specs
from shortlist_training.two_tower.export import export_query_tower
from shortlist_training.two_tower.features import FIRST_KNOWN, UNKNOWN, FeatureSpec, FeatureTable
from shortlist_training.two_tower.towers import SoftmaxMlp, Tower, TwoTower, embedding_tables
from shortlist_training.two_tower.train import (
    Retriever,
    Sampler,
    TrainConfig,
    encode_items,
    encode_queries,
    fit,
    seed_everything,
)

START = datetime(2024, 1, 1, 9)  # noqa: DTZ001 - the tables' times are local
SPLIT = TimeSplit(START + timedelta(days=40), START + timedelta(days=50), START + timedelta(days=60))
CONFIG = DataConfig(history=3, history_words=6, title_words=3, min_item_count=2, min_word_count=1)
COLOURS = ("red", "blue")


def generated(seed: int = 0) -> tuple[ibis.Table, pa.Table]:
    """Generate a shop of two colours: users stay with one; two items of each are sold only from day 50 on."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(60):
        colour = COLOURS[user % 2]
        for visit in range(12):
            when = START + timedelta(days=5 * visit, hours=int(rng.integers(8)))
            chosen = rng.choice(10 if visit >= 10 else 8, size=2, replace=False)
            rows += [(f"u{user:02}", f"{colour}{item}", when, "GB" if user % 3 else "FR") for item in chosen]
    columns = dict(zip(("user", "item", "time", "country"), map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table({**columns, "time": pa.array(columns["time"], pa.timestamp("us"))})
    items = sorted(set(columns["item"]))
    titles = [f"{item[:-1].upper()} thing {'abc'[int(item[-1]) % 3]}" for item in items]
    prices = [float(item[-1]) for item in items]
    return ibis.memtable(table), pa.table({"item": items, "title": titles, "price": prices})


@pytest.fixture(scope="module")
def data() -> RetrievalData:
    return build(*generated(), SPLIT, CONFIG)


def two_tower(data: RetrievalData, id_dropout: float = 0.0) -> TwoTower:
    queries, items = query_specs(8, 8, 4, content=True), item_specs(8, 8, 4)
    tables = embedding_tables(data.sizes, [*queries, *items])
    towers = [Tower(specs, tables, [16, 8]) for specs in (queries, items)]
    return TwoTower(*towers, data.catalogue, id_feature="item", id_dropout=id_dropout)


def softmax(data: RetrievalData) -> SoftmaxMlp:
    queries = query_specs(8, 8, 4, content=False)
    return SoftmaxMlp(Tower(queries, embedding_tables(data.sizes, queries), [16, 8]), len(data.counts), 8)


def trained(data: RetrievalData, model: Retriever, config: TrainConfig) -> Retriever:
    rng = seed_everything(3, 1)
    sampler = Sampler(data.training_pairs(), len(data.counts), config, rng)
    epochs = count()
    return fit(model, data.queries, sampler, config, lambda _: float(next(epochs)), lambda _: None).model


def test_queries_ask_for_what_is_new() -> None:
    """A query per basket after the first that has a new item; what was bought before is excluded, newest is seed."""
    rows = [
        ("a", "x", 0, "GB"),
        ("a", "y", 1, "FR"),
        ("a", "x", 2, "GB"),
        ("a", "z", 45, "GB"),
        ("a", "x", 45, "GB"),
        ("b", "y", 55, "GB"),
        ("b", "w", 70, "GB"),
    ]
    users, items, days, countries = map(list, zip(*rows, strict=True))
    times = pa.array([START + timedelta(days=day) for day in days], pa.timestamp("us"))
    log = ibis.memtable(pa.table({"user": users, "item": items, "time": times, "country": countries}))
    described = pa.table({"item": ["w", "x", "y", "z"], "title": ["a"] * 4, "price": [1.0, 2.0, None, 4.0]})
    found = build(log, described, SPLIT, DataConfig(history=2, min_item_count=1))
    assert found.split.tolist() == ["train", "validation"]
    assert found.labels.toarray().tolist() == [[0, 1, 0], [0, 0, 1]]
    assert found.excluded.toarray().tolist() == [[1, 0, 0], [1, 1, 0]]
    assert found.counts.tolist() == [2, 1, 0]
    x, y = FIRST_KNOWN, FIRST_KNOWN + 1
    assert found.catalogue.columns["item"].tolist() == [x, y, UNKNOWN]
    assert found.catalogue.columns["price"][1] == UNKNOWN
    assert found.queries.columns["seed_item"].tolist() == [x, x]
    assert found.queries.columns["history"].tolist() == [[x, 0], [x, y]]
    gb = FIRST_KNOWN + 1
    assert found.queries.columns["country"].tolist() == [gb, gb]
    assert found.queries.columns["weekday"].tolist() == [FIRST_KNOWN + 1, FIRST_KNOWN + 3]
    np.testing.assert_allclose(found.queries.columns["idle_days"], np.log1p([1.0, 43.0]), rtol=1e-6)


def test_nothing_after_the_cut_reaches_training(data: RetrievalData) -> None:
    """Training pairs, counts and vocabularies know none of the items that are sold only later."""
    cold = np.flatnonzero(data.counts == 0)
    assert len(cold) == 4
    assert not np.isin(cold, data.training_pairs().items).any()
    assert (data.catalogue.columns["item"].numpy()[cold] == UNKNOWN).all()


def test_towers_give_one_width(data: RetrievalData) -> None:
    """Both towers give (B, K) float32; the baseline's vectors have one component more, for the bias."""
    rows = np.arange(5)
    for model, width in ((two_tower(data), 8), (softmax(data), 9)):
        assert encode_queries(model, data.queries, rows).shape == (5, width)
        assert encode_items(model, len(data.counts)).shape == (len(data.counts), width)
        assert encode_items(model, len(data.counts)).dtype == np.float32


def test_a_tower_is_its_formula() -> None:
    """Multi-valued features are averaged without padding, dense ones pass, only the last layer is linear."""
    specs = (FeatureSpec("words", "multi", "word", 4), FeatureSpec("age", "dense"))
    torch.manual_seed(2)
    tower = Tower(specs, embedding_tables({"word": 5}, specs), [6, 3])
    words, age = torch.tensor([[2, 4, 0], [0, 0, 0]]), torch.tensor([0.5, -1.0])
    table = tower.tables["word"].weight
    first = torch.stack([(table[2] + table[4]) / 2, torch.zeros(4)])
    hidden = torch.relu(torch.cat([first, age[:, None]], dim=1) @ tower.layers[0].weight.T + tower.layers[0].bias)
    expected = hidden @ tower.layers[1].weight.T + tower.layers[1].bias
    torch.testing.assert_close(tower({"words": words, "age": age}), expected)
    assert (expected < 0).any()


def test_normalised_towers_have_length_one() -> None:
    """`normalize` makes inner products cosines."""
    specs = (FeatureSpec("age", "dense"),)
    tower = Tower(specs, embedding_tables({}, specs), [6, 3], normalize=True)
    lengths = tower({"age": torch.tensor([0.5, -1.0, 7.0])}).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(3))


def test_one_table_has_one_width() -> None:
    """Two features that name one vocabulary with different widths are refused by name."""
    specs = (FeatureSpec("seed", "sparse", "item", 4), FeatureSpec("history", "multi", "item", 8))
    with pytest.raises(ValueError, match="history asks for dim 8 of table item, which has 4"):
        embedding_tables({"item": 5}, specs)


@pytest.mark.parametrize("config", [TrainConfig(16, 16, learning_rate=0.05), TrainConfig(32, learning_rate=0.05)])
def test_an_item_never_seen_gets_a_vector_from_its_content(data: RetrievalData, config: TrainConfig) -> None:
    """Trained users of a colour score its unseen items above the other colour's, though only the title tells them.

    Two unseen items of different titles have different vectors.
    """
    torch.manual_seed(1)
    model = trained(data, two_tower(data, id_dropout=0.3), config)
    cold = np.flatnonzero(data.counts == 0)
    is_red = np.array([row >= len(data.counts) // 2 for row in cold])
    vectors = encode_items(model, len(data.counts))[cold]
    assert len(np.unique(vectors.round(6), axis=0)) == len(cold)
    queries = data.of("test")
    scores = encode_queries(model, data.queries, queries) @ vectors.T
    red_user = data.users[queries] % 2 == 0
    margin = scores[:, is_red].mean(axis=1) - scores[:, ~is_red].mean(axis=1)
    assert ((margin > 0) == red_user).mean() > 0.95


@pytest.mark.parametrize(
    ("config", "kind"),
    [(TrainConfig(32, draws=32), softmax), (TrainConfig(16, 16), two_tower), (TrainConfig(32), two_tower)],
)
def test_training_learns_and_repeats(data: RetrievalData, config: TrainConfig, kind: Any) -> None:
    """The loss falls over epochs, and the same seed gives the same vectors bit for bit."""
    results = []
    for _ in range(2):
        rng = seed_everything(3, 1)
        model = kind(data)
        sampler = Sampler(data.training_pairs(), len(data.counts), config, rng)
        done = fit(model, data.queries, sampler, config, lambda _: 0.0, lambda _: None)
        results.append((done.epochs, encode_items(done.model, len(data.counts))))
    assert results[0][0][-1].loss < results[0][0][0].loss
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_the_best_epoch_is_kept(data: RetrievalData) -> None:
    """Validation chooses: the weights of the best epoch come back, and training stops after `patience` worse ones."""
    scores, seen = iter([0.1, 0.9, 0.5, 0.4, 0.3, 0.2]), []

    def validate(model: Retriever) -> float:
        seen.append(encode_items(model, len(data.counts)))
        return next(scores)

    config = TrainConfig(32, epochs=6, patience=2)
    sampler = Sampler(data.training_pairs(), len(data.counts), config, seed_everything(3, 1))
    done = fit(two_tower(data), data.queries, sampler, config, validate, lambda _: None)
    assert (done.best, len(done.epochs)) == (2, 4)
    np.testing.assert_array_equal(encode_items(done.model, len(data.counts)), seen[1])


def test_dropping_ids_happens_only_in_training(data: RetrievalData) -> None:
    """With id dropout 1 all ids are unknown in training; evaluation sees them."""
    model = two_tower(data, id_dropout=0.999999)
    rows = torch.arange(len(data.counts))
    ids = data.catalogue.columns["item"]
    unknown = model.item({**data.catalogue.rows(rows), "item": torch.full_like(ids, UNKNOWN)})
    torch.testing.assert_close(model.train().item_vectors(rows), unknown)
    assert not torch.allclose(model.eval().item_vectors(rows), unknown)


@pytest.mark.parametrize("normalize", [False, True])
def test_exported_query_tower_gives_the_same_vectors(data: RetrievalData, *, normalize: bool) -> None:
    """Onnxruntime agrees with torch within 1e-5 at batch sizes 1, 7 and all, known and unknown values alike."""
    specs = query_specs(8, 8, 4, content=True)
    tower = Tower(specs, embedding_tables(data.sizes, specs), [16, 8], normalize=normalize).eval()
    graph = export_query_tower(tower, data.queries)
    session = onnxruntime.InferenceSession(graph)
    assert [node.name for node in session.get_inputs()] == [spec.name for spec in specs]
    for size in (1, 7, len(data.queries)):
        rows = torch.arange(size)
        features = data.queries.rows(rows)
        features["seed_item"] = torch.where(rows % 2 == 0, UNKNOWN, features["seed_item"])
        served = session.run(None, {spec.name: features[spec.name].numpy() for spec in specs})[0]
        np.testing.assert_allclose(served, tower(features).detach().numpy(), atol=1e-5)


def test_a_table_of_other_rows_is_the_catalogue_of_tomorrow(data: RetrievalData) -> None:
    """New items need only their features: a table with one more row encodes without retraining."""
    model = two_tower(data)
    columns = {name: torch.cat([column, column[:1]]) for name, column in data.catalogue.columns.items()}
    columns["item"][-1] = UNKNOWN
    model.catalogue = FeatureTable(columns)
    vectors = encode_items(model, len(data.counts) + 1)
    assert np.isfinite(vectors).all()
    assert not np.allclose(vectors[0], vectors[-1])
