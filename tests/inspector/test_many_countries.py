"""Two hundred countries: all in the table and in the form, filtered at once; the bench of a million items is apart."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from asking_inspector import Inspector
from browser import Browser
from running_server import RunningServer
from selenium.webdriver.support.select import Select

from index_store.publish import publish
from tiny_bundle import POLICY, tiny_content

CODES = ["".join(pair) for pair in product("ABCDEFGHIJKLMNOPQRST", "ABCDEFGHIJ")]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspector]:
    """A server of two hundred small countries."""
    root = tmp_path_factory.mktemp("many")
    content = tiny_content(3, sizes={code: 12 + number for number, code in enumerate(CODES)}, dim=4)
    publish(content, root=root, name="many", version="v1", policy=replace(POLICY, exact_below=1_000))
    settings = {"bundle_root": root, "bundle_name": "many", "inspector_port": 0, "workers": 1}
    with RunningServer(Path(root) / "log.txt", **settings) as server:
        yield Inspector.of(server.wait_until_serving())


def test_all_are_in_the_table_and_in_the_form(page: Browser, many: Inspector) -> None:
    """Sorted by size, found by name, chosen, asked; more catalogues are looked into than are kept open."""
    assert len(CODES) == 200
    page.open(f"{many.url}#/overview")
    page.one("#countries tbody tr")
    assert page.texts("#countries tbody th b") == CODES[::-1]
    assert page.overflow() == 0
    page.one("input[type=search]").send_keys("germany")
    assert page.texts("#countries tbody th b") == ["DE", "DD"]  # there was an East Germany
    page.one("#countries tbody button").click()
    page.wait_for_text("Germany (DE)")
    page.open(f"{many.url}#/bench?country=DE&k=5")
    page.one(".columns")
    (field,) = page.all("form.question .field > select")[:1]
    assert len(Select(field).options) == 200
    for code in CODES[:40]:
        assert len(many.get("items", country=code, limit=5).json["items"]) == 5
