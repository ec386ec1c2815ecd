"""The item-interaction reproduction's tables by hand: changes paired by user, told histories, popularity deciles."""

import ibis
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.reproduction.item_interaction_groups import Held, decile_table, history_table
from shortlist_training.reproduction.item_interaction_targets import (
    PAPER,
    Rates,
    change_table,
    rate_change,
    target_table,
    view_table,
)
from shortlist_training.reproduction.parts import Cell

VIEW, CART, PURCHASE = InteractionType.VIEW, InteractionType.CART, InteractionType.PURCHASE
KINDS = (VIEW, CART, PURCHASE)
NAN = float("nan")


def test_a_change_is_of_the_means_over_queries() -> None:
    """Means 0.5 and 0.25 over the queries that want something: +100 %; a model against itself changes by nothing."""
    users, ours, theirs = np.array([4, 4, 9]), np.array([1.0, NAN, 0.0]), np.array([0.5, NAN, 0.0])
    change = rate_change(ours, theirs, users, 1)
    assert change is not None
    assert change.value == pytest.approx(100.0)
    assert rate_change(ours, ours, users, 1) == Cell(0.0, 0.0, 0.0)
    assert rate_change(ours, np.zeros(3), users, 1) is None


def test_a_change_is_paired_by_user() -> None:
    """Twice the rate for every user is +100 % in every sample, however the users differ among themselves."""
    rng = np.random.default_rng(2)
    theirs = rng.random(60)
    change = rate_change(2 * theirs, theirs, np.repeat(np.arange(20), 3), 1)
    assert change == Cell(*[pytest.approx(100.0)] * 3)


def test_a_change_resamples_users_and_not_queries() -> None:
    """One user with all the gain, in many queries, or many users with it: only the latter is beyond chance."""
    ours, theirs = np.r_[np.full(50, 1.0), np.full(10, 0.5)], np.full(60, 0.5)
    one = rate_change(ours, theirs, np.r_[np.zeros(50), np.arange(1, 11)].astype(np.int64), 1)
    many = rate_change(ours, theirs, np.arange(60), 1)
    assert one is not None
    assert many is not None
    assert one.value == pytest.approx(many.value)
    assert one.low == pytest.approx(0.0)
    assert many.low is not None
    assert many.low > 50.0


def made(view: float, reference: float) -> Rates:
    models = {"view-interaction": view, "no-interaction": reference, "co-purchase": 0.0, "popularity": reference / 2}
    asked = [(variant, kind) for variant in ("as equation 3", "other items") for kind in KINDS]
    asked.append(("own item for all", PURCHASE))
    return {at: {name: np.full(8, rate) for name, rate in models.items()} for at in asked}


def test_table_1_has_the_papers_changes_beside_ours() -> None:
    """Ours: +100 % with its interval, no row for the reference; the paper's as it prints them, where it has the row."""
    users = dict.fromkeys(KINDS, np.arange(8))
    table = change_table(made(0.4, 0.2), users, "Eight users.", 1)
    rows = dict(table.rows)
    assert set(rows) == {"view-interaction", "co-purchase", "popularity"}
    assert table.columns[0] == "view, as equation 3"
    assert table.columns[6:] == tuple(
        f"paper: {kind}, % relative to no-interaction" for kind in ("view", "cart", "purchase")
    )
    assert rows["view-interaction"][:6] == ("+100.0 % [+100.0, +100.0]",) * 6
    assert rows["view-interaction"][6:] == ("201.90", "198.11", "207.10")
    assert rows["popularity"][5:] == ("-50.0 % [-50.0, -50.0]", None, None, None)
    absolute = dict(target_table(made(0.4, 0.2), users, "Eight users.", 1).rows)
    assert absolute["no-interaction"] == (Cell(*[pytest.approx(0.2)] * 3),) * 6


def test_view_interaction_stands_against_every_other() -> None:
    """A row per other model; a model that finds nothing gives no ratio; the paper compares with no-interaction only."""
    users = dict.fromkeys(KINDS, np.arange(8))
    table = view_table(made(0.4, 0.2), users, "Eight users.", 1)
    assert table.title == "View-interaction against the others at 200 candidates, %"
    assert table.columns == (
        "as equation 3",
        "other items",
        "own item for all",
        "paper: purchase, % relative to no-interaction",
    )
    assert dict(table.rows) == {
        "no-interaction": ("+100.0 % [+100.0, +100.0]",) * 3 + ("207.10",),
        "co-purchase": (None,) * 4,
        "popularity": ("+300.0 % [+300.0, +300.0]",) * 3 + (None,),
    }
    assert PAPER["view-interaction"][-1] == 207.10


class Next:
    """Scores the item after the source by one, all others by nothing; covers all items but the last."""

    def __init__(self, items: int) -> None:
        self.covered: NDArray[np.bool_] = np.arange(items) < items - 1

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.full((len(rows), len(self.covered)), -np.inf, dtype=np.float32)
        found[np.arange(len(rows)), rows + 1] = 1.0
        return found


class Everything(Next):
    """Scores all items alike, whatever the source."""

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.zeros((len(rows), len(self.covered)), dtype=np.float32)


def held(events: list[tuple[int, int, InteractionType, int]], purchases: list[tuple[int, int]]) -> Held:
    names = ("user", "item", "type", "time")
    log = pa.table(dict(zip(names, map(list, zip(*events, strict=True)), strict=True)))
    users, items = zip(*purchases, strict=True)
    keys = np.unique(log["item"].to_numpy())
    return Held(ibis.memtable(log), pa.table({"user": users, "item": items}), keys, "Two users.", 1)


def models(items: int) -> dict[str, tuple[Next, tuple[InteractionType, ...]]]:
    return {
        "view-interaction": (Next(items), (VIEW,)),
        "cart-interaction": (Next(items), (CART,)),
        "no-interaction": (Next(items), KINDS),
        "popularity": (Everything(items), KINDS),
    }


def test_models_are_told_the_last_items_of_their_kind() -> None:
    """User 0's purchase follows the older of two views, user 1's the only cart, before which came a later view."""
    events = [
        (0, 10, VIEW, 1),
        (0, 30, VIEW, 2),
        (1, 10, CART, 1),
        (1, 30, VIEW, 2),
        (2, 20, VIEW, 1),
        (2, 40, VIEW, 1),
    ]
    asked = held(events, [(0, 20), (1, 20)])
    table, plot = history_table(models(4), asked, (0, 1, 2))
    assert table.columns == plot.x_names == ("0", "1", "2", "2+ (all, median 2)")
    found = {name: [cell.value for cell in cells if isinstance(cell, Cell)] for name, cells in table.rows}
    assert found == {
        "view-interaction": [0.0, 0.0, 0.5, 0.5],
        "cart-interaction": [0.0, 0.5, 0.5, 0.5],
        "no-interaction": [0.0, 0.0, 1.0, 1.0],
        "popularity": [1.0] * 4,
    }
    assert "Of the 2 users 2 have 1, 2 have 2 or more distinct items in the log." in table.protocol
    assert (plot.curves[2].x, plot.curves[2].y) == ((0.0, 1.0, 2.0, 3.0), (0.0, 0.0, 1.0, 1.0))


def test_deciles_are_of_the_logs_events() -> None:
    """Ten items with one to ten events are a decile each; a purchase of an item that the log lacks is in none."""
    events = [(5, item, VIEW, time) for item in range(10) for time in range(10 - item)]
    asked = held(events, [(0, 9), (1, 9), (2, 0), (3, 77)])
    found = {name: np.array([0, 500, 199, 500]) for name in models(10)}
    table, plot = decile_table(found, asked)
    assert table.columns == ("1", "10")
    assert [cell.value for cell in dict(table.rows)["popularity"] if isinstance(cell, Cell)] == [0.5, 1.0]
    assert "events per item: 1, 10." in table.protocol
    assert "Purchases per decile: 2, 1; 1 more are of items that the log lacks" in table.protocol
    assert plot.curves[0].x == (1.0, 10.0)
