"""The MNS reproduction: the demo's cleaning rules, what the tables and remarks say, and that kept runs are kept."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from shortlist_training.config import LoadedProject
from shortlist_training.reproduction.mns import PARTS, SWEEP, measure
from shortlist_training.reproduction.mns_tables import (
    BATCH_NEGATIVES,
    DIFFERENCES,
    MNS,
    SOFTMAX,
    Measured,
    View,
    cold_remark,
    comparison_table,
    difference_table,
    group_table,
    order_remarks,
    sweep_plot,
    sweep_remarks,
    sweep_table,
)
from shortlist_training.reproduction.parts import Cell, PartContext, PartResult
from shortlist_training.time_split import popularity_groups
from shortlist_training.two_tower.experiment import Run
from shortlist_training.two_tower.online_retail import project
from shortlist_training.two_tower.train import TrainConfig

DEMO = Path(__file__).parents[2] / "training/demo/online-retail/online-retail.toml"
LABELS = 400


def view() -> View:
    counts = np.array([5, 4, 1, 1, 0])
    labels = np.arange(LABELS)
    return View(labels % 40, labels % 5, popularity_groups(counts, 0.5), queries=80)


def ranked(share: float, train: TrainConfig | None = None, validation: float = 0.5) -> Measured:
    """Rank a share of every user's labels first, the others out of reach."""
    ranks = np.where(np.arange(LABELS) // 40 < share * 10, 0, 999)
    return Measured(train, ranks, ranks, validation, 3)


def test_the_data_are_cleaned_as_in_the_demo() -> None:
    """The reproduction cannot read the demo's project file once installed, so it repeats the rules: they agree."""
    demo, ours = LoadedProject.read(DEMO).project, project(DEMO.parent).project
    assert (ours.interactions, ours.items, ours.drop) == (demo.interactions, demo.items, demo.drop)


def test_parts_have_settings_that_can_be_keyed() -> None:
    """Names are of the system `mns`, settings are plain data."""
    assert [part.name for part in PARTS] == ["mns/comparison", "mns/sweep"]
    for part in PARTS:
        assert msgspec.json.encode(part.settings)
        assert part.inputs == ("online-retail/transactions.parquet",)


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [((0.6, 0.4, 0.2), "came out:"), ((0.2, 0.4, 0.6), "the other way round"), ((0.4, 0.4, 0.4), "did not come out")],
)
def test_remarks_say_whether_the_order_came_out(shares: tuple[float, ...], verdict: str) -> None:
    """Each step of MNS > sampled softmax > batch negatives is judged by the interval of the paired difference."""
    measured = dict(zip((MNS, SOFTMAX, BATCH_NEGATIVES), map(ranked, shares), strict=True))
    remarks = order_remarks(measured, view(), 1)
    assert len(remarks) == len(DIFFERENCES)
    assert all(verdict in remark for remark in remarks)


def test_tables_show_ours_beside_the_papers() -> None:
    """Rows have a cell per column; our cells have intervals, the paper's none; differences are paired."""
    measured = {
        "popularity": ranked(0.1),
        SOFTMAX: ranked(0.4, TrainConfig(8, draws=8)),
        BATCH_NEGATIVES: ranked(0.2, TrainConfig(8)),
        MNS: ranked(0.6, TrainConfig(4, 4)),
    }
    compared = comparison_table(measured, view(), 1)
    differences = difference_table(measured, view(), DIFFERENCES, 1)
    groups = group_table(measured, view(), 1)
    for table in (compared, differences, groups):
        assert all(len(cells) == len(table.columns) for _, cells in table.rows)
    assert f"{MNS} 0.6000 [0.6000, 0.6000]" in cold_remark(measured, view(), 1)
    cells = dict(compared.rows)[MNS]
    assert cells[:4] == ("4", "4", "3", Cell(0.6, 0.6, 0.6))
    assert cells[6] == Cell(0.4473)
    assert dict(differences.rows)[f"{MNS} minus {SOFTMAX}"][0] == Cell(pytest.approx(0.2), *[pytest.approx(0.2)] * 2)


def test_sweep_names_the_best_and_where_it_lies() -> None:
    """The best B' is told apart for inside and at the end, with its lead over both ends."""
    measured = {uniform: ranked(share, TrainConfig(4, uniform)) for uniform, share in ((0, 0.1), (4, 0.5), (64, 0.3))}
    remark = sweep_remarks(measured, view(), 4, 1)[0]
    assert "best at B' = 4 (1 B), inside the sweep: +0.4000 [+0.4000, +0.4000] over B' = 0 and +0.2000" in remark
    table = sweep_table(measured, view(), 4, 1)
    assert [name for name, _ in table.rows] == ["B' = 0 B", "B' = 1 B", "B' = 16 B"]
    assert all(len(cells) == len(table.columns) for _, cells in table.rows)
    curve = sweep_plot(measured, view(), 4, 1).curves[0]
    assert (curve.x, curve.y) == ((4.0, 8.0, 68.0), (0.1, 0.5, 0.3))
    del measured[64]
    assert "at an end" in sweep_remarks(measured, view(), 4, 1)[0]


def test_a_kept_run_is_not_trained_again(tmp_path: Path) -> None:
    """An interrupted part goes on with the runs that its work folder has: no data are touched for them."""
    train, untouched = TrainConfig(4), Any
    np.savez(tmp_path / "one-run.npz", test=np.array([1, 2]), cold=np.array([3, 4]), validation=0.25, best=2)
    context = PartContext(tmp_path, tmp_path, 1, 1, lambda *_: None)
    found = measure(context, untouched, "one run", Run("two-tower", train))  # type: ignore[arg-type]
    assert (found.test.tolist(), found.cold.tolist(), found.validation, found.best) == ([1, 2], [3, 4], 0.25, 2)


def test_the_sweep_has_both_ends() -> None:
    """B' goes from batch negatives to 16 B, so that an optimum can lie inside."""
    assert SWEEP == (0, 64, 128, 256, 512, 1024, 2048)
    assert PartResult(tables=()).remarks == ()
