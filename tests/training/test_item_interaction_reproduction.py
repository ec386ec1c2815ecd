"""The reproduction's questions by hand, and its parts from end to end on a tiny generated log."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.interactions import InteractionType
from shortlist_training.item_interaction.skipgram import SkipgramConfig
from shortlist_training.reproduction import (
    item_interaction_sessions,
    item_interaction_speed,
    item_interaction_users,
)
from shortlist_training.reproduction.item_interaction import GRIDS, PARTS, SESSIONS, SPEED, USERS
from shortlist_training.reproduction.item_interaction_data import (
    DAY_S,
    EVENTS,
    PURCHASES,
    between,
    hold_out,
    item_keys,
    last_time_s,
    read_events,
    session_questions,
    user_questions,
)
from shortlist_training.reproduction.item_interaction_dimensions import PAPER, DimensionSettings
from shortlist_training.reproduction.parts import Cell, PartContext, PartResult

VIEW, CART, PURCHASE = InteractionType.VIEW, InteractionType.CART, InteractionType.PURCHASE
Row = tuple[int, int, str, int]


def written(path: Path, rows: list[Row]) -> Any:
    user, item, kind, second = (list(column) for column in zip(*rows, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table(
            {
                "user": pa.array(user, pa.int32()),
                "item": pa.array(item, pa.int32()),
                "type": kind,
                "timestamp": pa.array(second, pa.int32()),
            }
        ),
        path,
    )
    return read_events(path)


def test_windows_are_half_open(tmp_path: Path) -> None:
    """An event at the window's begin is in it, one at its end is not, whatever the machine's time zone."""
    events = written(tmp_path / "events", [(0, 1, "view", 100), (0, 2, "cart", 200), (0, 3, "buy", 300)])
    assert last_time_s(events) == 300
    assert item_keys(between(events, 100, 300)).tolist() == [1, 2]


def test_session_questions_by_hand(tmp_path: Path) -> None:
    """A view of 5 and a purchase of 6 in one session: the view asks for 6, the cart of 6 for 6 itself."""
    events = written(tmp_path / "events", [(3, 5, "view", 0), (3, 6, "cart", 10), (3, 6, "buy", 20), (4, 5, "view", 0)])
    asked = session_questions(events, np.array([4, 6]), 100, PURCHASE)
    assert asked.source.tolist() == [-1, 1]
    assert asked.own.tolist() == [False, True]
    assert asked.user.tolist() == [3, 3]
    apart = asked.wanted(count_own=False, return_own=False)
    assert [rows.tolist() for rows in apart.sources] == [[], [1]]
    assert [rows.tolist() for rows in apart.seen] == [[], [1]]
    assert (apart.query.tolist(), apart.item.tolist()) == ([0], [1])
    everything = asked.wanted(count_own=True, return_own=True)
    assert (everything.query.tolist(), everything.item.tolist()) == ([0, 1], [1, 1])
    assert all(len(rows) == 0 for rows in everything.seen)


def test_holding_out_removes_all_traces_of_the_last_purchase(tmp_path: Path) -> None:
    """The views of a held-out item go with its purchase; a user with one purchase keeps it."""
    events = written(
        tmp_path / "events",
        [(0, 1, "buy", 5), (0, 2, "view", 6), (0, 2, "buy", 7), (1, 2, "view", 1), (1, 2, "buy", 2), (0, 3, "cart", 9)],
    )
    log, held = hold_out(events, np.array([0, 1]))
    assert held.to_pylist() == [{"user": 0, "item": 2}]
    kept = log.select("user", "item", "type").to_pyarrow().to_pylist()
    assert sorted((row["user"], row["item"], row["type"]) for row in kept) == [
        (0, 1, PURCHASE),
        (0, 3, CART),
        (1, 2, VIEW),
        (1, 2, PURCHASE),
    ]


def test_user_questions_start_from_the_last_distinct_items(tmp_path: Path) -> None:
    """The last two viewed items, each once, for each user in order; a user without views starts from nothing."""
    rows: list[Row] = [(7, 1, "view", 1), (7, 2, "view", 2), (7, 2, "view", 3), (7, 3, "view", 4), (7, 4, "cart", 5)]
    events = written(tmp_path / "events", [*rows, (2, 4, "buy", 5)])
    held = pa.table({"user": pa.array([2, 7], pa.int32()), "item": pa.array([1, 9], pa.int32())})
    items = item_keys(events)
    wanted = user_questions(events, held, items, (VIEW,), 2, keep_seen=False)
    assert [rows.tolist() for rows in wanted.sources] == [[], [1, 2]]
    assert [rows.tolist() for rows in wanted.seen] == [[3], [0, 1, 2, 3]]
    assert wanted.item.tolist() == [0, -1]
    assert [rows.tolist() for rows in user_questions(events, held, items, (VIEW,), 2, keep_seen=True).seen] == [[], []]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty buyers who view five and buy two items of their own group of ten in each of three sessions."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for user in range(40):
        for session in range(3):
            start = (3 * user // 8 + 15 * session) * DAY_S
            others = np.delete(np.arange(10), user % 10)
            items = rng.permutation(others)[:5] + 10 * (user % 2)
            rows += [(user, int(item), "view", start + place) for place, item in enumerate(items)]
            rows += [(user, int(item), "cart", start + 10 + place) for place, item in enumerate(items[:2])]
            rows += [(user, int(item), "buy", start + 20 + place) for place, item in enumerate(items[:2])]
    written(folder / EVENTS, rows)
    held = [(user, user % 2 * 10 + user % 10) for user in range(40)]
    users, items = (pa.array(column, pa.int32()) for column in zip(*held, strict=True))
    pq.write_table(pa.table({"user": users, "item": items}), folder / PURCHASES)
    return folder


def context(data: Path) -> PartContext:
    return PartContext(data, data, 3, 1, lambda _label, _done, _total: None)


SMALL = msgspec.structs.replace(GRIDS, epochs_and_rates=((3, 0.1),), copurchase=GRIDS.copurchase[:1])


def test_sessions_part_reports_every_model(data: Path) -> None:
    """Rates lie in their intervals and rise with the candidates; ten of twenty items must hold nearly all purchases."""
    settings = msgspec.structs.replace(
        SESSIONS, grids=SMALL, sizes=(1, 10, 20), dimensions=DimensionSettings(dims=(2, 100), seeds=1)
    )
    result = item_interaction_sessions.run(context(data), settings)
    shown = {table.title: dict(table.rows) for table in result.tables}
    assert len(shown) == 8
    rates = shown["Hit rate of purchases, as equation 3 (figure 3)"]
    assert set(rates) >= {"view-interaction", "cart-interaction", "no-interaction", "co-purchase", "popularity"}
    for cells in rates.values():
        values = [cell.value for cell in cells]
        assert values == sorted(values)
        assert all(cell.low <= cell.value <= cell.high for cell in cells)
    assert rates["view-interaction"][1].value > 0.9
    changes = shown["View-interaction against the others at 200 candidates, %"]
    view, other = (rates[name][-1].value for name in ("view-interaction", "no-interaction"))
    assert changes["no-interaction"][0].startswith(f"{100 * (view / other - 1):+.1f} % [")
    assert changes["no-interaction"][0] in result.remarks[0]
    assert shown["Coverage of source items (table 2)"]["view-interaction"][0].value == 1.0
    by_dimension = next(table for table in result.tables if table.title.endswith("(table 3)"))
    for _, cells in by_dimension.rows:
        changes = {name: cell for name, cell in zip(by_dimension.columns, cells, strict=True) if "in %" in name}
        assert changes["d = 100 in %, other items"] == Cell(0.0, 0.0, 0.0)
        assert changes["d = 2 in %, other items"].value <= 0
        assert changes["paper: d = 2 in %"] is None
    assert len(result.plots) == 3
    assert msgspec.json.decode(msgspec.json.encode(result), type=PartResult) == result


def test_the_compared_dimensions_are_the_papers() -> None:
    """Table 3's columns: 25, 50 and 75 against the 100 of the settings."""
    assert SESSIONS.dimensions.dims == tuple(PAPER["view-interaction"]) == (25, 50, 75)
    assert {choice.skipgram.dim for choice in GRIDS.embeddings(typed=True, custom="centre")} == {100}


def test_users_part_finds_the_users_group(data: Path) -> None:
    """Candidates without seen items are found at least as early as with them."""
    settings = msgspec.structs.replace(USERS, grids=SMALL, sizes=(1, 20), lasts=(1, 4))
    result = item_interaction_users.run(context(data), settings)
    apart, with_seen, histories, popular = (dict(table.rows) for table in result.tables)
    assert [plot.name for plot in result.plots] == [
        "item-interaction-users",
        "item-interaction-history-length",
        "item-interaction-popularity",
    ]
    assert result.tables[2].columns[:6] == ("0", "1", "2", "5", "10", "20")
    assert [histories[name][0].value for name in histories] == [0.0, 0.0, 0.0, 1.0]
    assert all(cells[-1].value == 1.0 for cells in histories.values())
    assert all(cell.value == 1.0 for cells in popular.values() for cell in cells)
    for name, cells in apart.items():
        assert all(a.value >= b.value for a, b in zip(cells, with_seen[name], strict=True))


def test_throughput_part_measures_both_logs(data: Path) -> None:
    """Both logs with one and two threads, the steps of one training, and whether the aim is met."""
    config = SkipgramConfig(dim=4)
    settings = msgspec.structs.replace(SPEED, repeats=2, items=50, tokens=600, skipgram=config)
    result = item_interaction_speed.run(context(data), settings)
    table, steps = result.tables
    assert [name for name, _ in table.rows] == [
        "RetailRocket, 1 thread",
        "RetailRocket, 2 threads",
        "synthetic, 1 thread",
        "synthetic, 2 threads",
    ]
    assert [name for name, _ in steps.rows][-2:] == ["drawing custom negatives", "updates"]
    assert sum(float(cells[2].rstrip("%")) for _, cells in steps.rows) == pytest.approx(100, abs=3)
    rates = [float(cells[4].replace(",", "")) for _, cells in table.rows]
    *verdicts, reckoned = result.remarks
    assert reckoned.startswith("Reckoned, not measured")
    for remark, rate in zip(verdicts, rates[1::2], strict=True):
        assert f"{rate:,.0f} tokens a second" in remark
        assert ("is met" if rate >= 500_000 else "is missed") in remark


def test_parts_have_settings_that_json_can_hold() -> None:
    """Names are unique and in the system's name space, and settings survive JSON."""
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("item-interaction/") for name in names)
    for part in PARTS:
        assert msgspec.json.decode(msgspec.json.encode(part.settings))
