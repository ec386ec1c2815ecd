"""MovieLens-100k as queries: the order of time, what each split may know, and its parts on a tiny set of tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shortlist_training.reproduction import mns_coverage, mns_movielens, mns_parts
from shortlist_training.reproduction.mns_tables import BATCH_NEGATIVES, MNS, MNS_OF_THE_DAY, SOFTMAX
from shortlist_training.reproduction.parts import PartContext
from shortlist_training.two_tower.dataset import DataConfig, item_specs, query_specs
from shortlist_training.two_tower.experiment import ModelConfig
from shortlist_training.two_tower.features import UNKNOWN
from shortlist_training.two_tower.movielens import BLOCK, CONTEXT, build_movielens

USERS, ITEMS, RATINGS = 30, 60, 50


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Thirty users rate 50 of 60 movies in an order of their own; the rows stand in another one."""
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    rng = np.random.default_rng(3)
    rows = [(user, item, time) for user in range(USERS) for time, item in enumerate(rng.permutation(ITEMS)[:RATINGS])]
    users, items, times = (np.array(column)[rng.permutation(len(rows))] for column in zip(*rows, strict=True))
    order = rng.permutation(len(rows))
    users, items, times = (np.array(column)[order] for column in zip(*rows, strict=True))
    log = {"user_id": users + 1, "item_id": items + 1, "rating": np.ones(len(rows)), "timestamp": times}
    pq.write_table(pa.table(log), folder / "interactions.parquet")
    films = {
        "item_id": np.arange(ITEMS + 1) + 1,
        "movie_title": [f"Film {item % 7}" for item in range(ITEMS + 1)],
        "release_year": ["unknown" if item == 4 else str(1960 + item % 40) for item in range(ITEMS + 1)],
        "class": ["Drama War" if item % 2 else None for item in range(ITEMS + 1)],
    }
    pq.write_table(pa.table(films), folder / "items.parquet")
    people = {"gender": ["F", "M"] * 15, "age": range(20, 50), "occupation": ["writer"] * USERS}
    pq.write_table(pa.table({"user_id": np.arange(USERS) + 1, **people}), folder / "users.parquet")
    return tmp_path


def own_order(data: Path, user: int) -> list[int]:
    """List a user's items by time, read anew from the table."""
    log = pq.read_table(data / "ml-100k/interactions.parquet").to_pylist()
    own = sorted((row["timestamp"], row["item_id"] - 1) for row in log if row["user_id"] == user + 1)
    return [item for _, item in own]


def test_each_users_ratings_are_cut_by_time(data: Path) -> None:
    """Training blocks, then 20 % for validation, then 20 % for test; each query knows exactly what was before."""
    found = build_movielens(data, DataConfig())
    labels, excluded = found.labels.toarray(), found.excluded.toarray()
    for user in range(USERS):
        order = own_order(data, user)
        spans = [("train", 10, 20), ("train", 20, 30), ("validation", 30, 40), ("test", 40, 50)]
        queries = np.flatnonzero(found.users == user)
        assert found.split[queries].tolist() == [split for split, _, _ in spans]
        for query, (_, start, end) in zip(queries, spans, strict=True):
            assert set(np.flatnonzero(labels[query])) == set(order[start:end])
            assert set(np.flatnonzero(excluded[query])) == set(order[:start])
    assert BLOCK == 10


def test_only_training_ratings_are_counted(data: Path) -> None:
    """An item's count is that of the oldest 60 % of each user's ratings; movies that nobody rated are not there."""
    found = build_movielens(data, DataConfig())
    trained = np.concatenate([own_order(data, user)[:30] for user in range(USERS)])
    np.testing.assert_array_equal(found.counts, np.bincount(trained, minlength=ITEMS))


def test_features_have_the_names_that_the_towers_ask_for(data: Path) -> None:
    """Every spec has its column; an unknown year is unknown, the seed is the newest item, genres come before words."""
    found = build_movielens(data, DataConfig(min_item_count=1, min_word_count=1))
    for spec in query_specs(4, 4, 2, content=True, context=CONTEXT):
        assert spec.name in found.queries.columns
        assert spec.kind == "dense" or spec.vocabulary in found.sizes
    for spec in item_specs(4, 4, 2, CONTEXT):
        assert spec.name in found.catalogue.columns
    assert int(found.catalogue.columns["year"][4]) == UNKNOWN
    test = np.flatnonzero((found.users == 3) & (found.split == "test"))[0]
    seed = own_order(data, 3)[39]
    assert int(found.queries.columns["seed_item"][test]) == int(found.catalogue.columns["item"][seed])
    words = found.catalogue.columns["title_words"]
    assert (words[1][:2] == words[3][:2]).all()
    assert int(words[1][4]) == 0


def test_the_parts_measure_every_sampler(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both tables come out for all models, with the data set's own words."""
    model = ModelConfig(hidden=(8, 4), softmax_hidden=(8, 4), item_dim=4, word_dim=4, small_dim=2)
    tiny = replace(mns_movielens.SETTINGS, model=model, epochs=1, seeds=2)
    monkeypatch.setattr(mns_movielens, "SETTINGS", tiny)
    monkeypatch.setattr(mns_movielens, "SWEPT", tiny)
    monkeypatch.setattr(mns_movielens, "SWEEP", (0, 8))
    work = data / "work"
    work.mkdir()
    context = PartContext(data, work, 1, 1, lambda *_: None)
    compared = mns_movielens.run_movielens(context)
    assert [name for name, _ in compared.tables[0].rows][1:] == [SOFTMAX, BATCH_NEGATIVES, MNS, MNS_OF_THE_DAY]
    assert "30 queries of 30 users, 300 movies" in compared.tables[0].protocol
    swept = mns_movielens.run_movielens_sweep(context)
    assert [name for name, _ in swept.tables[0].rows] == ["B' = 0 B", "B' = 0.0625 B"]
    assert swept.plots[0].name == "mns-sweep-movielens"


def test_fewer_training_labels_change_nothing_else(data: Path) -> None:
    """One label in four is left, of all training queries; of one in eight all are among them; counts are of these."""
    whole = build_movielens(data, DataConfig())
    few, fewer = (mns_coverage.thinned(whole, keep, 7) for keep in (4, 8))
    train, others = whole.of("train"), np.flatnonzero(whole.split != "train")
    labels = len(whole.training_pairs().items)
    assert (len(few.training_pairs().items), len(fewer.training_pairs().items)) == (labels // 4, -(-labels // 8))
    assert few.labels[train].multiply(whole.labels[train]).nnz == labels // 4
    assert fewer.labels.multiply(few.labels).nnz == fewer.labels.nnz
    np.testing.assert_array_equal(few.labels[others].toarray(), whole.labels[others].toarray())
    np.testing.assert_array_equal(few.counts, np.bincount(few.training_pairs().items, minlength=ITEMS))
    assert few.queries is whole.queries
    assert few.excluded is whole.excluded
    np.testing.assert_array_equal(mns_coverage.thinned(whole, 1, 7).labels.toarray(), whole.labels.toarray())


def test_coverage_sweeps_where_batches_show_little(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each regime has its curve over B' and its differences to B' = 0, the fewest labels table 1 too."""
    model = ModelConfig(hidden=(8, 4), softmax_hidden=(8, 4), item_dim=4, word_dim=4, small_dim=2)
    monkeypatch.setattr(mns_coverage, "SETTINGS", replace(mns_movielens.SETTINGS, model=model))
    regimes = (mns_coverage.Regime(2, 8, 1, 1), mns_coverage.Regime(4, 4, 2, 1))
    monkeypatch.setattr(mns_coverage, "REGIMES", regimes)
    monkeypatch.setattr(mns_coverage, "COMPARED", mns_coverage.Regime(2, 8, 1, 1))
    monkeypatch.setattr(mns_coverage, "TIMES", (0, 1, 2))
    work = data / "work"
    work.mkdir()
    result = mns_coverage.run_coverage(PartContext(data, work, 1, 1, lambda *_: None))
    coverage, first, differences, second, _, compared, _ = result.tables
    assert [name for name, _ in coverage.rows] == ["600 labels", "300 labels", "150 labels"]
    assert [cells[0] for _, cells in first.rows] == ["0", "8", "16"]
    assert [cells[0] for _, cells in second.rows] == ["0", "4", "8"]
    assert [name for name, _ in differences.rows] == ["B' = 1 B minus B' = 0", "B' = 2 B minus B' = 0"]
    assert "150 labels that show" in second.title
    assert [name for name, _ in compared.rows][1:] == [SOFTMAX, BATCH_NEGATIVES, MNS, MNS_OF_THE_DAY]
    (plot,) = result.plots
    assert [len(curve.x) for curve in plot.curves] == [3, 3]
    assert any("Validation chooses B' =" in said for said in result.remarks)
    assert "drawn, as many, from the shown movies only it is @10" in result.remarks[-1]
    assert sorted(path.name for path in work.iterdir()) == [
        "one-label-in-2",
        "one-label-in-2-batch-8",
        "one-label-in-4-batch-4",
    ]


def test_all_parts_of_both_data_sets_are_listed() -> None:
    """Names are unique and begin with the system's."""
    names = [part.name for part in mns_parts.PARTS]
    assert names == ["mns/comparison", "mns/sweep", "mns/movielens", "mns/movielens-sweep", "mns/coverage"]
