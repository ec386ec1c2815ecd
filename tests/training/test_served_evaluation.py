"""`evaluate --serve`: what a running server answers is what the models rank, and wrong servers are named."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from running_server import RunningServer
from shop_run import invoke, run, write

from index_store.bundle import load_bundle
from shortlist_training.config import LoadedProject
from shortlist_training.histories import History
from shortlist_training.served import NOT_FOUND, ServedRetrieval
from shortlist_training.steps.learning import Ingested
from shortlist_training.steps.serving import recalls
from shortlist_training.workspace import Workspace

REGULARS = range(0, 90, 4)
"""Customers with long histories; all others have fewer than 20 interactions."""


def visits(user: int) -> Iterator[tuple[str, str, datetime, str, str, int, str]]:
    """Give 40 more views by one customer, of the items of the customer's group."""
    land = "Nederland" if user % 3 == 0 else "Belgie"
    for step in range(40):
        when = datetime(2024, 6, 1, 0, step, tzinfo=UTC).replace(tzinfo=None)
        item = f"g{user % 4}-{step % 12:02}"
        yield f"c{user:03}", item, when, "see", land, 1, f"item {item}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, shop_in: Callable[[Path], Any]) -> Path:
    """A run of the shop with all four systems, published."""
    shop = shop_in(tmp_path_factory.mktemp("shop"))
    shop.rows += [visit for user in REGULARS for visit in visits(user)]
    write(shop)
    run(shop.folder, "first")
    return Path(shop.folder)


@pytest.fixture(scope="module")
def server(shop: Path) -> Iterator[RunningServer]:
    """A server of the shop's bundle."""
    with RunningServer(shop / "server.log", bundle_root=shop / "b", bundle_name="shop", workers=1) as running:
        yield running.wait_until_serving()


def test_served_recall_is_offline_recall(shop: Path, server: RunningServer) -> None:
    """With exact indices the two agree; path tables are per country, so PDN may differ by its smaller tables."""
    result = invoke(shop, "evaluate", "--serve", server.address, runs="first")
    assert result.exit_code == 0, result.output
    found = json.loads((shop / "first/shop/served.json").read_text(encoding="utf-8"))
    models = found["models"]
    assert list(models) == ["led", "two_tower", "pdn", "item_interaction", "fused"]
    for name, tolerance in (("led", 1e-9), ("two_tower", 1e-9), ("pdn", 0.05), ("item_interaction", 0.05)):
        for metric, offline in models[name]["offline"].items():
            assert models[name]["served"][metric]["mean"] == pytest.approx(offline, abs=tolerance), (name, metric)
    assert models["led"]["served"]["recall@20"]["mean"] > 0
    assert models["fused"]["offline"] == {}
    assert "default" in result.output  # its profile: a narrow console breaks the line


def test_little_history_is_measured_too(shop: Path, server: RunningServer) -> None:
    """Recall with its interval by interactions sent; sources that need a history find nothing without one."""
    result = invoke(shop, "evaluate", "--serve", server.address, runs="first")
    assert result.exit_code == 0
    found = json.loads((shop / "first/shop/served.json").read_text(encoding="utf-8"))
    lengths = found["by_length"]
    told = ["0", "1", "2", "5", "10", "20", "20+"]
    assert all(list(one) == list(found["length_users"]) == told for one in lengths.values())
    assert lengths["pdn"]["0"] == lengths["item_interaction"]["0"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert lengths["fused"]["0"]["mean"] > 0
    assert lengths["pdn"]["1"]["low"] < lengths["pdn"]["1"]["mean"] < lengths["pdn"]["1"]["high"]
    assert "by how many newest interactions are sent" in result.output


def test_long_histories_are_those_of_users_who_have_them(shop: Path, server: RunningServer) -> None:
    """The row 20+ is about the customers who have as many, with all of them."""
    assert invoke(shop, "evaluate", "--serve", server.address, runs="first").exit_code == 0
    found = json.loads((shop / "first/shop/served.json").read_text(encoding="utf-8"))
    work = Workspace(shop / "first/shop", LoadedProject.read(shop / "shop.toml"))
    long = [history for history in Ingested(work).held_out("test").known if len(history) >= 20]
    assert found["length_users"]["20+"] == len(long) < found["length_users"]["20"] == found["users"]
    assert found["by_length"]["led"]["20+"]["mean"] > 0


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:50051"])
def test_a_server_that_is_not_there_is_named(shop: Path, address: str) -> None:
    """One line with the address and the status, exit code 1."""
    result = invoke(shop, "evaluate", "--serve", address, runs="first")
    assert result.exit_code == 1
    assert f"error: the server at {address} answered UNAVAILABLE" in " ".join(result.stderr.split())


def test_a_server_of_another_bundle_is_refused(shop: Path, server: RunningServer) -> None:
    """A project of another name is not measured with this bundle."""
    text = (shop / "shop.toml").read_text(encoding="utf-8")
    (shop / "other").mkdir(exist_ok=True)
    for name in ("log.parquet", "users.parquet"):
        (shop / "other" / name).write_bytes((shop / name).read_bytes())
    (shop / "other/shop.toml").write_text(text.replace('name = "shop"', 'name = "kiosk"', 1), encoding="utf-8")
    run(shop / "other", "first")
    result = invoke(shop / "other", "evaluate", "--serve", server.address, runs="first")
    assert result.exit_code == 1
    assert "to serve kiosk, it serves shop" in " ".join(result.stderr.split())


def test_a_history_is_cut_to_what_the_server_takes(shop: Path) -> None:
    """The newest interactions are sent, and the older ones' items are not answered, either."""
    settings = {"bundle_root": shop / "b", "bundle_name": "shop", "workers": 1}
    item_ids = load_bundle(shop / "b/shop/first").countries["NL"].catalog.item_ids
    rows = np.arange(6)
    history = History(rows, np.full(6, 5), np.full(6, 1_000), "NL", {})
    with RunningServer(shop / "few.log", max_history=2, **settings) as running:
        server = ServedRetrieval(running.wait_until_serving().address, item_ids)
        ranked = server.rank([history, history.recent(2)], 100, ["led"], "led")
    whole, short = (found[found != NOT_FOUND].tolist() for found in ranked)
    assert set(whole) == set(short) - set(rows.tolist())
    assert set(short) & set(rows[:4].tolist())


def test_recall_counts_hits_among_what_was_found() -> None:
    """By hand: two targets of which one is second; places without an item are no hits."""
    targets = sp.csr_matrix(np.array([[0, 1, 0, 1], [1, 0, 0, 0]], dtype=np.float32))
    ranked = np.full((2, 100), NOT_FOUND)
    ranked[0, :2] = 2, 3
    found = recalls(ranked, targets)
    np.testing.assert_array_equal(found[20], [0.5, 0.0])
    np.testing.assert_array_equal(found[100], [0.5, 0.0])
