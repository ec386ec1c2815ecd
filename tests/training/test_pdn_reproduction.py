"""The parts of PDN's reproduction, run on a tiny data set of the same form."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_movielens import ITEMS, USERS, small, tiny_movielens

from shortlist_training.leave_one_out import Ranks
from shortlist_training.neighbourhood import LinearConfig
from shortlist_training.pdn.comparison import genre_similarity
from shortlist_training.pdn.model import PdnConfig
from shortlist_training.pdn.sequence_rankers import RankerConfig
from shortlist_training.pdn.train import TrainConfig
from shortlist_training.pdn.warm_start import FactorConfig
from shortlist_training.reproduction import pdn, pdn_lateness, pdn_pinterest, pdn_rankers, pdn_validation
from shortlist_training.reproduction.kept_ranks import kept
from shortlist_training.reproduction.newest import newest_rarity
from shortlist_training.reproduction.parts import Cell, PartContext, PartResult, ResultTable
from shortlist_training.reproduction.pdn_data import Data, Settings, fit


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PartContext:
    monkeypatch.setattr(pdn, "SETTINGS", small())
    return tiny_movielens(tmp_path)


def test_the_comparison_has_every_method_with_its_interval(context: PartContext) -> None:
    """All rows of table 2 that can be measured, each number within its bounds, and figure 8a."""
    found: PartResult = pdn.run_comparison(context)
    table, paired, greedy = found.tables
    names = [name.split(" (")[0] for name, _ in table.rows]
    late = ["EASE, late triggers", "SLIM, late triggers"]
    wanted = ["popularity", "item cosine", "Pearson CF", "EASE", "iALS", "SLIM", *late, "PDN", "SimNet alone"]
    assert list(dict.fromkeys(names)) == wanted
    for _, cells in (*table.rows, *greedy.rows):
        bounded = [cell for cell in cells if isinstance(cell, Cell) and cell.low is not None]
        assert len(bounded) >= 2
        assert all(cell.low <= cell.value <= cell.high for cell in bounded)
    assert len(greedy.rows) == 1 + 4
    assert [name for name, _ in greedy.rows if "default" in name] == ["m 2, k 20 (default)"]
    whole, *others = (cells for _, cells in greedy.rows)
    assert whole[-1].value == 0.0
    assert all(cells[-1].value == pytest.approx(100 * (1 - cells[0].value / whole[0].value)) for cells in others)
    strongest = [f"PDN minus {name}" for name in ("EASE", "iALS", "SLIM", *late)]
    assert list(dict.fromkeys(name.split(" (")[0] for name, _ in paired.rows)) == strongest
    assert_paired(table, paired)
    assert found.plots[1].matrix_labels == ("Action", "Comedy", "Drama")
    assert [curve.label for curve in found.plots[0].curves] == ["k 3", "k 20"]


def assert_paired(table: ResultTable, paired: ResultTable) -> None:
    """Each difference is that of the two rows' means, and lies in its interval."""
    measured = dict(table.rows)
    for name, cells in paired.rows:
        theirs = measured[name.removeprefix("PDN minus ")]
        for difference, ours, other in zip(cells, measured["PDN"], theirs, strict=False):
            assert difference.value == pytest.approx(ours.value - other.value)
            assert difference.low <= difference.value <= difference.high


def test_methods_that_are_measured_are_not_measured_again(tmp_path: Path) -> None:
    """An interrupted part finds the places of its work folder, in the same order and under the same names."""
    asked: list[str] = []

    def measure() -> dict[str, Ranks]:
        asked.append("once")
        return {name: Ranks(np.array([3, at]), np.array([9, 1])) for at, name in enumerate(("EASE (lambda 2)", "a/b"))}

    first, again = (kept(tmp_path, "linear", measure) for _ in range(2))
    assert list(first) == list(again) == ["EASE (lambda 2)", "a/b"]
    assert again["a/b"].sampled.tolist() == [3, 1]
    assert asked == ["once"]


def test_the_ablations_are_compared_with_the_whole_user_by_user(
    context: PartContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row per part that is left out, and the whole less each; an interrupted run trains only what it has not."""
    table, paired = pdn.run_ablations(context).tables
    without = list(pdn.ablations(small()))
    assert [name for name, _ in table.rows] == ["PDN", *without]
    assert paired.title == "PDN against itself without a part, user by user"
    assert [name for name, _ in paired.rows] == [f"PDN minus {name}" for name in without]
    assert_paired(table, paired)
    (context.work / f"{without[0]}.npz").unlink()
    trained: list[str] = []

    def counted(data: Data, sizes: PdnConfig, fitting: TrainConfig, name: str, on: PartContext) -> Any:
        trained.append(name)
        return fit(data, sizes, fitting, name, on)

    monkeypatch.setattr(pdn, "fit", counted)
    assert pdn.run_ablations(context).tables == (table, paired)
    assert trained == without[:1]


def test_two_towers_are_measured_by_user_and_by_item(context: PartContext) -> None:
    """Each model has a row for its user tower, and one for the similarity of its items."""
    names = [name.split(" (")[0] for name, _ in pdn.run_two_tower(context).tables[0].rows]
    assert names == ["DSSM", "DSSM, item to item", "YouTube DNN", "YouTube DNN, item to item"]


def test_the_ranker_is_measured_among_negatives_only(context: PartContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """DIN has no number for ranking all items; BST, with two towers, has."""
    din = RankerConfig(kind="din", id_dim=4, field_dim=2, dim=4, hidden=2, epochs=1, passes=1)
    tiny = pdn_rankers.Settings(din=din, bst=msgspec.structs.replace(din, kind="bst"))
    monkeypatch.setattr(pdn_rankers, "SETTINGS", tiny)
    found = pdn_rankers.run_rankers(context)
    (_, ranker), (_, towers) = found.tables[0].rows
    assert [isinstance(cell, Cell) for cell in ranker[:4]] == [True, True, False, False]
    assert all(isinstance(cell, Cell) for cell in towers[:4])
    assert found.remarks[0].startswith("DIN's validation NDCG@10 after each epoch: ")


def test_parts_name_their_inputs_and_settings() -> None:
    """Settings can be written as JSON, and names start with the system's key."""
    for part in pdn.PARTS:
        assert part.name.startswith("pdn/")
        assert msgspec.json.encode(part.settings)
        assert all(name.startswith(("ml-1m/", "ml-100k/", "pinterest/")) for name in part.inputs)


def test_similarity_by_genre_is_a_mean_over_pairs() -> None:
    """Pairs of an item with itself are left out."""
    similarity = np.where(np.eye(6) > 0, -np.inf, np.arange(6.0)[:, None] // 3).astype(np.float32)
    genres = np.array([[1, 0]] * 3 + [[0, 1]] * 3, dtype=np.float32)
    np.testing.assert_allclose(genre_similarity(similarity, genres, [0, 1], 40, 1), [[0, 0], [1, 1]])


@pytest.fixture
def pinterest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PartContext:
    """Every pair twice, one of each user's items as NCF's test item, and a test row of a user that the log lacks."""
    folder = tmp_path / "pinterest"
    folder.mkdir()
    history = np.random.default_rng(4).random((USERS, ITEMS)) < 0.06
    history[:, :3] = True
    users, items = np.nonzero(history)
    log = {"user": np.tile(users, 2), "item": np.tile(items, 2).astype(np.int16), "split": ["train"] * 2 * len(users)}
    pq.write_table(pa.table(log), folder / "interactions_37k.parquet")
    targets = {"ncf_user": np.arange(USERS + 1), "ncf_item": np.full(USERS + 1, 1)}
    pq.write_table(pa.table(targets), folder / "ncf_pinterest20_test.parquet")
    settings = msgspec.structs.replace(
        small(),
        fitting=TrainConfig(epochs=1, pool=32, judged=10),
        linear=LinearConfig(3.0, rho=0.0, iterations=0),
    )
    monkeypatch.setattr(pdn_pinterest, "SETTINGS", settings)
    (tmp_path / "work").mkdir()
    return PartContext(tmp_path, tmp_path / "work", 1, 1, lambda _label, _done, _total: None)


def test_pinterest_is_deduplicated_and_split_by_ncfs_items(pinterest: PartContext) -> None:
    """A pair counts once, the test item leaves the log, and no negative is an item of the user's."""
    interactions, test_items = (pinterest.data / name for name in pdn_pinterest.FILES)
    cases = pdn_pinterest.read_pinterest(interactions, test_items, 5)
    assert cases.history.max() == 1
    assert (cases.targets == 1).all()
    assert cases.history[:, 1].nnz == 0
    known = cases.history.toarray() > 0
    assert not np.take_along_axis(known, cases.negatives, axis=1).any()
    assert not (cases.negatives == 1).any()
    assert all(len(set(row)) == 99 for row in cases.negatives.tolist())


def test_a_pinterest_user_without_test_item_is_named(pinterest: PartContext) -> None:
    """A test table of other users is refused with both files' names."""
    path = pinterest.data / pdn_pinterest.FILES[1]
    pq.write_table(pa.table({"ncf_user": [0], "ncf_item": [1]}), path)
    with pytest.raises(ValueError, match="needs one test item"):
        pdn_pinterest.read_pinterest(pinterest.data / pdn_pinterest.FILES[0], path, 5)


def test_pinterest_has_its_methods_and_other_peoples_numbers(pinterest: PartContext) -> None:
    """All rows with both protocols, and PDN's lead over each; the references stand in columns of their own."""
    compared, paired = pdn_pinterest.run_pinterest(pinterest).tables
    names = [name.split(" (")[0] for name, _ in compared.rows]
    linear = ["item cosine", "Pearson CF", "EASE", "iALS", "iALS"]
    assert names == ["popularity", *linear, "PDN", "SimNet alone"]
    assert all(len(cells) == len(compared.columns) for _, cells in compared.rows)
    assert dict(compared.rows)["PDN"][-2:] == (".828 / .536", "-")
    assert len(paired.rows) == len(names) - 3


def test_ease_is_measured_on_both_validations_and_on_test(
    context: PartContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row per penalty and discount, and a sentence of what each kind of item would have chosen."""
    monkeypatch.setattr(pdn_validation, "SETTINGS", pdn_validation.Settings((2.0, 20.0), (0.0, 0.3)))
    found = pdn_validation.run_validation(context)
    names = [name for name, _ in found.tables[0].rows]
    assert names == [f"lambda {value}, discount {power}" for value in (2, 20) for power in (0, 0.3)]
    assert all(isinstance(cell, Cell) for _, cells in found.tables[0].rows for cell in cells)
    tested = {name: cells[2].value for name, cells in found.tables[0].rows}
    assert f"{max(tested.values()):.4f}; without" in found.remarks[-1]


def test_lateness_is_tried_on_a_log_with_times(context: PartContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row per power in both tables; nobody of a log of a few minutes is back, so those columns are empty."""
    monkeypatch.setattr(pdn_lateness, "SETTINGS", pdn_lateness.Settings(5.0, (0.0, 0.5), folds=2, cuts=2))
    for table in pdn_lateness.run_lateness(context).tables:
        assert [name for name, _ in table.rows] == ["power 0", "power 0.5"]
        assert all([cell is None for cell in cells] == [False, False, True, True] for _, cells in table.rows)


def test_histories_are_cut_before_what_comes_next() -> None:
    """By hand: one user with two items an hour apart and two more after two days, another on the first visit."""
    day = 86_400
    timelines = [
        (np.array([7, 3, 9, 1]), np.array([0, 3600, 2 * day, 2 * day + 1])),
        (np.array([5, 4]), np.array([50, 60])),
    ]
    found = pdn_lateness.cut(200, timelines, 8, np.random.default_rng(1))
    assert found.user.tolist() == [0, 0, 1]
    assert found.cases.targets.tolist() == [9, 1, 4]
    assert [sorted(found.cases.history[row].indices.tolist()) for row in range(3)] == [[3, 7], [3, 7, 9], [5]]
    assert found.newest.tolist() == [False, True, True]
    assert found.back.tolist() == [True, True, False]
    assert not np.isin(found.cases.negatives[0], [7, 3, 9, 1]).any()


def test_the_rarity_of_newest_items_is_found_again(tmp_path: Path) -> None:
    """Where newest items were drawn by count^-0.7 it is found; where they are the most popular ones it is 0."""
    rng = np.random.default_rng(2)
    count = np.repeat([400, 40, 10], [4, 40, 100])
    history = rng.random((2000, len(count))) < count / 2000
    history[:, 0] = True
    rows = []
    for user, known in enumerate(history):
        items = np.flatnonzero(known)
        chance = history.sum(0)[items] ** -0.7
        newest = rng.choice(items, p=chance / chance.sum())
        rows += [(user, int(item), int(item == newest)) for item in items]
    user_ids, item_ids, times = (list(column) for column in zip(*rows, strict=True))
    columns = {"user_id": user_ids, "item_id": item_ids}
    pq.write_table(pa.table({**columns, "timestamp": times}), tmp_path / "log.parquet")
    assert newest_rarity(tmp_path / "log.parquet") == pytest.approx(0.7, abs=0.1)
    pq.write_table(
        pa.table({**columns, "timestamp": [int(item == 0) for item in item_ids]}), tmp_path / "popular.parquet"
    )
    assert newest_rarity(tmp_path / "popular.parquet") == pytest.approx(0.0, abs=1e-6)


def test_a_direct_net_that_cannot_start_at_the_factors_is_refused_at_once() -> None:
    """Settings whose direct net is not as wide as the factors it starts at say so, before any part runs for hours."""
    with pytest.raises(ValueError, match="expected 64, the direct net's width, found 32"):
        Settings(pdn=PdnConfig(direct_dim=64), factors=FactorConfig(factors=32))
    assert pdn_pinterest.SETTINGS.pdn.direct_dim == pdn_pinterest.SETTINGS.factors.factors
