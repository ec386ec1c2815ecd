"""The MNS reproduction: the demo's cleaning rules, what the tables and remarks say, and that kept runs are kept."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from shortlist_training.config import LoadedProject
from shortlist_training.reproduction.mns import PARTS, SWEEP, history_lengths
from shortlist_training.reproduction.mns_groups import decile_table, history_table
from shortlist_training.reproduction.mns_runs import Measured, measure, untold
from shortlist_training.reproduction.mns_tables import (
    BATCH_NEGATIVES,
    DIFFERENCES,
    MNS,
    SOFTMAX,
    batches_remark,
    cold_remark,
    comparison_table,
    difference_table,
    group_remarks,
    group_table,
    order_remarks,
    sweep_plot,
    sweep_remarks,
    sweep_table,
)
from shortlist_training.reproduction.mns_view import ONLINE_RETAIL, View
from shortlist_training.reproduction.parts import Cell, PartContext, PartResult
from shortlist_training.time_split import popularity_groups
from shortlist_training.two_tower.experiment import Run
from shortlist_training.two_tower.features import FeatureTable
from shortlist_training.two_tower.online_retail import project
from shortlist_training.two_tower.train import TrainConfig

DEMO = Path(__file__).parents[2] / "training/demo/online-retail/online-retail.toml"
LABELS = 400


def view() -> View:
    counts = np.array([5, 4, 1, 1, 0])
    labels = np.arange(LABELS)
    return View(labels % 40, labels % 5, popularity_groups(counts, 0.5), queries=80, seeds=(1, 2))


def ranked(share: float, train: TrainConfig | None = None, validation: float = 0.5) -> Measured:
    """Rank a share of every user's labels first, the others out of reach."""
    ranks = np.where(np.arange(LABELS) // 40 < share * 10, 0, 999)
    both = np.stack([ranks, ranks])
    return Measured(train, both, both, np.full(2, validation), np.array([3, 4]), {0: both * 0 + 999, 5: both})


def test_the_data_are_cleaned_as_in_the_demo() -> None:
    """The reproduction cannot read the demo's project file once installed, so it repeats the rules: they agree."""
    demo, ours = LoadedProject.read(DEMO).project, project(DEMO.parent).project
    assert (ours.interactions, ours.items, ours.drop) == (demo.interactions, demo.items, demo.drop)


def test_a_sweep_says_how_often_batches_show_an_item_anyway() -> None:
    """Seven labels of three products, 4, 2 and 1 of them: the median product is in two batches."""
    remark = batches_remark(np.array([9, 9, 9, 9, 2, 2, 5]), 128, ONLINE_RETAIL)
    assert "7 labels of 3 products" in remark
    assert "in 2 batches or more, each time as a negative of 127 others" in remark


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
    assert cells[:4] == ("4", "4", "3, 4", Cell(0.6, 0.6, 0.6))
    assert cells[6] == Cell(0.4473)
    assert dict(differences.rows)[f"{MNS} minus {SOFTMAX}"][0] == Cell(pytest.approx(0.2), *[pytest.approx(0.2)] * 2)


def test_group_remarks_say_which_items_pull_where() -> None:
    """Half of the products are tail ones; MNS's lead there is that of all, since ranks do not depend on the product."""
    measured = dict(zip((MNS, SOFTMAX, BATCH_NEGATIVES), map(ranked, (0.6, 0.4, 0.2)), strict=True))
    head, tail, cold = group_remarks(measured, view(), 1)
    assert head.startswith("Why: head products, 40% of the labels, Recall@100:")
    assert tail.startswith("Why: tail products, 40%")
    assert cold.startswith("Why: cold products, 20%")
    assert f"{MNS} minus {SOFTMAX} +0.2000 [+0.2000, +0.2000]" in tail


def test_recall_by_history_and_by_decile() -> None:
    """Told nothing nothing is found, told five products as much as with all; five products fill five of ten deciles."""
    measured = {MNS: ranked(0.6)}
    table, plot = history_table(measured, view(), 20, np.array([3, 5, 20, 20]), 1)
    assert table.columns == plot.x_names == ("0", "5", "20+")
    assert "of the 4 queries 3 have 5, 2 have 20 or more." in table.protocol
    assert [cell.value for cell in dict(table.rows)[MNS] if isinstance(cell, Cell)] == pytest.approx([0.0, 0.6, 0.6])
    assert plot.curves[0].y == pytest.approx((0.0, 0.6, 0.6))
    assert "Means over the seeds 1, 2; bootstrap over customers and seeds" in table.protocol
    deciles, _ = decile_table(measured, view(), np.array([5, 4, 1, 1, 0]), 1)
    assert deciles.columns == ("1", "3", "5", "7", "9")
    assert "Labels per decile: 80, 80, 80, 80, 80." in deciles.protocol
    assert [cell.value for cell in dict(deciles.rows)[MNS] if isinstance(cell, Cell)] == pytest.approx([0.6] * 5)


def test_the_spread_of_seeds_is_held_against_the_curve() -> None:
    """Points that differ by less than two seeds do are told as such."""
    two = {uniform: ranked(0.4, TrainConfig(4, uniform)) for uniform in (0, 4)}
    two[4].test[0, ::2] = 999
    remark = sweep_remarks(two, view(), 4, 1)
    assert "Not more than chance." in remark[0]
    assert remark[-1].endswith("0.0707 between the points of the curve and of 0.0707 between seeds at one point.")


def test_untold_queries_know_no_products() -> None:
    """History and titles are padding and the seed item is unknown; what is not of products stays."""
    columns = {name: np.array([[3, 4], [5, 0]]) for name in ("history", "history_words", "seed_words")}
    table = FeatureTable.of({**columns, "seed_item": np.array([3, 5]), "hour": np.array([2, 9])})
    emptied = untold(table).columns
    for name in columns:
        assert not emptied[name].any()
    assert (emptied["seed_item"].tolist(), emptied["hour"].tolist()) == ([1, 1], [2, 9])
    assert table.columns["seed_item"].tolist() == [3, 5]


def test_a_querys_history_is_as_long_as_it_is_without_padding() -> None:
    """Of three queries the first has two products and the last none."""
    table = FeatureTable.of({"history": np.array([[3, 4, 0], [5, 0, 0], [0, 0, 0]])})
    assert history_lengths(table, np.array([0, 2])).tolist() == [2, 0]


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
    assert "Why: from B' = 0 to B' = 64 Recall@100 changes by head +0.2000 [+0.2000, +0.2000], tail" in " ".join(
        sweep_remarks(measured, view(), 4, 1)
    )
    del measured[64]
    at_end = sweep_remarks(measured, view(), 4, 1)[0]
    assert "at an end of the sweep: +0.4000 [+0.4000, +0.4000] over B' = 0. The paper's" in at_end


def test_a_kept_run_is_not_trained_again(tmp_path: Path) -> None:
    """An interrupted part goes on with the runs that its work folder has: no data are touched for them."""
    train, untouched = TrainConfig(4), Any
    for seed, score in ((5, 0.25), (6, 0.5)):
        path = tmp_path / f"one-run-seed-{seed}.npz"
        np.savez(
            path, test=np.array([seed, 2]), cold=np.array([3, 4]), validation=score, best=2, told_0=np.array([9, 9])
        )
    context = PartContext(tmp_path, tmp_path, 1, 1, lambda *_: None)
    found = measure(context, untouched, "one run", Run("two-tower", train), (5, 6), {0: untouched})  # type: ignore[arg-type]
    assert (found.test.tolist(), found.cold.tolist()) == ([[5, 2], [6, 2]], [[3, 4], [3, 4]])
    assert (found.validation.tolist(), found.best.tolist()) == ([0.25, 0.5], [2, 2])
    assert found.told[0].tolist() == [[9, 9], [9, 9]]


def test_the_sweep_has_both_ends() -> None:
    """B' goes from batch negatives to 16 B, so that an optimum can lie inside."""
    assert SWEEP == (0, 128, 256, 512, 1024, 2048)
    assert PartResult(tables=()).remarks == ()
