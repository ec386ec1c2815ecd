"""The LED paper's parts on a tiny MovieLens: the protocol, the small computations, and every part from end to end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from shortlist_training.metrics import deciles
from shortlist_training.reproduction import led_figures, led_grids, led_models, led_tables, ml1m
from shortlist_training.reproduction.intervals import (
    change_cell,
    change_over_draws_cell,
    mean_cell,
    mean_over_draws_cell,
    percent,
    ratio_cell,
)
from shortlist_training.reproduction.led import PARTS
from shortlist_training.reproduction.parts import Cell, PartContext, PartResult
from shortlist_training.timelines import incidence

USERS, MOVIES = 120, 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write users who like movies of one half, some pairs they do not like, and one user with too few movies."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(USERS):
        half = rng.permutation(MOVIES // 2)[:9] + (MOVIES // 2) * (user % 2)
        rows += [(user, 100 + movie, place < 8) for place, movie in enumerate(half.tolist())]
    rows += [(999, 100, True), (999, 999, True), (0, 998, False)]
    users, movies, liked = zip(*rows, strict=True)
    table = pa.table(
        {
            "user_id": pa.array(users, pa.int16()),
            "movie_id": pa.array(movies, pa.int16()),
            "rating_ge3": pa.array(liked),
        }
    )
    (tmp_path / "ml-1m").mkdir()
    pq.write_table(table, tmp_path / ml1m.INPUT)
    return tmp_path


@pytest.fixture
def context(data: Path, tmp_path: Path) -> PartContext:
    (tmp_path / "work").mkdir()
    return PartContext(data, tmp_path / "work", 7, 1, lambda *_: None)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every model tiny and training short."""
    losses = {
        name: msgspec.structs.replace(config, epochs=2, batch_users=32, negatives=10)
        for name, config in led_models.LED_LOSSES.items()
    }
    sizes: dict[str, Any] = {"embedding": 8, "latent": 4, "epochs": 2, "batch_users": 32}
    changes = {
        "DIM": 8,
        "LED_LOSSES": losses,
        "MULT": losses["mult"],
        "VAE_GRID": {name: replace(config, **sizes) for name, config in list(led_grids.VAE_GRID.items())[:2]},
        "DAE_GRID": {name: replace(config, **sizes) for name, config in list(led_grids.DAE_GRID.items())[:2]},
        "WMF_CONFIGS": led_grids.WMF_CONFIGS[:2],
        "NEGATIVES": (2, 5, 10, 1000),
        "TUNING": {name: msgspec.structs.replace(c, epochs=2) for name, c in led_figures.TUNING.items()},
        "PASSES": 16,
        "DRAWS": {0.001: 2, 0.01: 3},
        "RANDOM_DRAWS": 2,
    }
    for module in (led_models, led_tables, led_figures):
        for name, value in changes.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)


def test_the_protocol_keeps_liked_movies_of_users_with_enough(data: Path) -> None:
    """Users are split 80/10/10, nobody's items overlap between input and target, rows are training users' movies."""
    movies = ml1m.load(data, 7)
    assert (len(movies.train), movies.validation.inputs.shape[0], movies.test.inputs.shape[0]) == (96, 12, 12)
    assert movies.items <= MOVIES
    assert movies.matrix.shape == (96, movies.items)
    assert all(len(set(history.tolist())) == len(history) == 8 for history in movies.train)
    for held in (movies.validation, movies.test):
        assert held.inputs.multiply(held.targets).nnz == 0
        np.testing.assert_array_equal(np.diff(held.inputs.indptr), 6)
        np.testing.assert_array_equal(np.diff(held.targets.indptr), 2)
    again = ml1m.load(data, 7)
    np.testing.assert_array_equal(again.test.inputs.indices, movies.test.inputs.indices)
    assert any(a.tolist() != b.tolist() for a, b in zip(ml1m.load(data, 8).train, movies.train, strict=True))


def test_svd_vectors_lie_in_the_rows_of_the_data(data: Path) -> None:
    """A movie's nearest neighbours by PMI-SVD are of its own half, so rows and pairs name the same movies."""
    movies = ml1m.load(data, 7)
    vectors = ml1m.pmi_vectors(data, 7, 6)
    assert vectors.shape == (movies.items, 6)
    together = (movies.matrix.T @ movies.matrix).toarray() > 0
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    assert together[np.arange(movies.items), similar.argmax(1)].all()


def test_shortened_inputs_are_nested_subsets() -> None:
    """Every user keeps `length` of the items, fewer only where there are fewer; 2 items contain the 1 item."""
    inputs = incidence([np.arange(5), np.array([7]), np.array([2, 4, 6])], 8)
    cuts = {length: led_tables.shortened(inputs, length, 3).toarray() for length in (0, 1, 2, 9)}
    for length, cut in cuts.items():
        np.testing.assert_array_equal(cut.sum(1), np.minimum(length, [5, 1, 3]))
    assert (cuts[1] <= cuts[2]).all()
    np.testing.assert_array_equal(cuts[9], inputs.toarray())


def test_deciles_are_tenths_of_the_catalogue() -> None:
    """Twenty items make ten groups of two, least popular first."""
    popularity = np.arange(20, dtype=np.float32)[::-1].copy()
    assert deciles(popularity).tolist() == [9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0]


def test_a_sample_repeats_few_users_and_grows_by_adding(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 % of 200 users are two, seen 256 times each in a pass of 512; a larger share contains them."""
    histories = [np.array([user]) for user in range(200)]
    monkeypatch.setattr(led_figures, "PASSES", 512)
    few = led_figures.sample(histories, 0.01, 7)
    assert len(few) == 512
    more = led_figures.sample(histories, 0.1, 7)
    assert {int(h[0]) for h in few} < {int(h[0]) for h in more}
    assert len(led_figures.sample([np.array([0])] * 600, 1.0, 7)) == 600


def test_intervals_resample_users_in_pairs() -> None:
    """A model that is always half of the reference is at -50 % without any doubt; a mean lies within its interval."""
    reference = np.random.default_rng(0).random(50)
    change = change_cell(reference / 2, reference, 7)
    assert (change.value, change.low, change.high) == pytest.approx((-50.0, -50.0, -50.0))
    assert percent(change) == "-50.0 % [-50.0, -50.0]"
    ratio = ratio_cell(np.array([1.0, 3.0]), np.array([2.0, 6.0]), 7)
    assert ratio.value == pytest.approx(0.5)
    mean = mean_cell(reference, 7)
    assert mean.low is not None
    assert mean.high is not None
    assert mean.low < mean.value < mean.high


def test_intervals_over_draws_resample_draws_and_users() -> None:
    """Whether draws differ or users do, the interval is as wide as that; what is alike in all leaves no doubt."""
    by_draw = np.repeat(np.array([[0.4], [0.6]] * 10), 30, axis=1)
    same, users = np.full((20, 30), 0.5), np.tile(np.linspace(0.1, 0.9, 30), (20, 1))
    assert change_over_draws_cell(same * 1.1, same, 7).low == pytest.approx(10.0)
    for values in (by_draw, users):
        change = change_over_draws_cell(values, same, 7)
        assert change.value == pytest.approx(0.0)
        assert change.low is not None
        assert change.high is not None
        assert change.low < -5 < 5 < change.high
        mean = mean_over_draws_cell(values, 7)
        assert mean.low is not None
        assert mean.low < mean.value == pytest.approx(0.5)
    assert change_over_draws_cell(users * 2, users, 7).high == pytest.approx(100.0)


@pytest.mark.usefixtures("small")
def test_a_point_of_figure_3_is_the_mean_of_its_draws(context: PartContext) -> None:
    """Every draw is kept on its own and has other users; the table's cell is the mean over them."""
    result = led_figures.figure_3(context)
    (table,) = result.tables
    assert table.columns[:2] == ("0.1% (1 users, 2 draws)", "1.0% (1 users, 3 draws)")
    name = "SVD, project"
    kept = [np.load(context.work / f"{name}-0.01-draw-{draw}.npz")["recall@50"] for draw in range(3)]
    cell = dict(table.rows)[name][1]
    assert isinstance(cell, Cell)
    assert cell.value == pytest.approx(float(np.mean(kept)))
    assert not (context.work / "random-0.01-draw-2.npz").exists()
    assert "of 3 draws)" in result.remarks[2].partition("SVD, train")[2]
    assert "of 2 draws)" in result.remarks[2].partition("random")[2]
    assert "draws" not in result.remarks[3]
    histories = [np.array([user]) for user in range(200)]
    drawn = [{int(one[0]) for one in led_figures.sample(histories, 0.1, 7 + draw)} for draw in (0, 1)]
    assert drawn[0] != drawn[1]


def test_a_measured_model_is_not_fitted_again(context: PartContext) -> None:
    """What an interrupted part has measured is taken from its work folder."""
    movies = ml1m.load(context.data, 7)
    fitted: list[int] = []

    def fit() -> led_grids.Fitted:
        fitted.append(1)
        return led_grids.Fitted(lambda inputs: np.zeros(inputs.shape, dtype=np.float32), "nothing")

    first = led_models.measured(context, "zero", movies, fit)
    second = led_models.measured(context, "zero", movies, fit)
    assert len(fitted) == 1
    assert second.chosen == first.chosen == "nothing"
    for name, values in first.values.items():
        np.testing.assert_array_equal(second.values[name], values)


def test_the_best_option_is_chosen_by_validation(data: Path) -> None:
    """Of a blind scorer and one that knows the targets the second is kept, whichever is tried first."""
    movies = ml1m.load(data, 7)
    answers = movies.validation.targets.toarray().astype(np.float32)
    options = [
        ("blind", lambda: led_grids.Fitted(lambda inputs: np.zeros(inputs.shape, dtype=np.float32), "")),
        ("oracle", lambda: led_grids.Fitted(lambda inputs: answers[: inputs.shape[0]], "epoch 3 of 4")),
    ]
    for tried in (options, options[::-1]):
        best = led_grids.best_of(tried, movies.validation, lambda *_: None, "toy")
        assert best.chosen.startswith("oracle, epoch 3 of 4 of 2 with 0.")
        assert best.chosen.endswith("to 1.0000")
    with pytest.raises(ValueError, match="toy: there is nothing to choose from"):
        led_grids.best_of([], movies.validation, lambda *_: None, "toy")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_part_runs_from_end_to_end(part: Any, context: PartContext) -> None:
    """Rows are as wide as the columns, every number lies within its interval, and the protocol names the seed."""
    run: Callable[[PartContext], PartResult] = part.run
    result = run(context)
    for table in result.tables:
        assert "Seed 7" in table.protocol
        for _, cells in table.rows:
            assert len(cells) == len(table.columns)
            for cell in cells:
                if isinstance(cell, Cell):
                    assert cell.low is not None
                    assert cell.high is not None
                    assert cell.low - 1e-9 <= cell.value <= cell.high + 1e-9
    for plot in result.plots:
        assert all(len(curve.x) == len(curve.y) for curve in plot.curves)
    assert msgspec.json.decode(msgspec.json.encode(result), type=PartResult) == result


def test_popularity_counts_what_is_found(data: Path) -> None:
    """A scorer that knows the targets finds all of them in every decile that has any."""
    movies = ml1m.load(data, 7)
    answers = movies.test.targets.toarray().astype(np.float32)
    table, _ = led_tables._by_popularity(movies, {"oracle": lambda inputs: answers[: inputs.shape[0]]}, 7)
    ((_, cells),) = table.rows
    decile = deciles(np.asarray(movies.matrix.sum(axis=0)).ravel())
    wanted = sp.csr_matrix(movies.test.targets) @ np.eye(10)[decile]
    for cell, count in zip(cells, wanted.sum(axis=0), strict=True):
        assert cell == (Cell(1.0, 1.0, 1.0) if count else None)
