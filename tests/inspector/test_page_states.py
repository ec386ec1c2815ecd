"""What the page says while the server loads, reloads, is gone, or has less than everything; and the live view."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking_inspector import Inspector
from browser import Browser
from running_server import RunningServer, eventually, request

from index_store.publish import publish
from tiny_bundle import POLICY, tiny_content


@pytest.fixture
def plain_server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of LED only, with an inspector of its own and without metrics; its bundle is not loaded yet."""
    root = tmp_path / "bundles"
    publish(tiny_content(1), root=root, name="tiny", version="v1", policy=POLICY)
    settings = {"bundle_root": root, "bundle_name": "tiny", "inspector_port": 0, "workers": 1, "metrics_port": -1}
    with RunningServer(tmp_path / "log.txt", **settings) as server:
        yield server


def test_from_loading_over_a_reload_to_the_end(page: Browser, plain_server: RunningServer, tmp_path: Path) -> None:
    """Loading: said so, and tried again. A reload: the new version by itself. The end: said so."""
    (generation,) = eventually(plain_server.generations)
    generation.suspend()
    inspector = Inspector.of(plain_server)
    page.open(f"{inspector.url}#/overview")
    page.wait_for_text("The server serves no bundle")
    generation.resume()
    plain_server.wait_until_serving()

    def there() -> bool:
        for button in page.all(".notice .button"):
            button.click()
        return bool(page.all("#countries tbody tr"))

    page.wait(there)
    assert page.texts("h1 .version") == ["v1"]
    assert "two tower" not in page.texts("#countries th")
    publish(tiny_content(2), root=tmp_path / "bundles", name="tiny", version="v2", policy=POLICY)
    plain_server.signal(signal.SIGHUP)
    page.wait(lambda: page.texts("h1 .version") == ["v2"])
    page.run("location.hash = '#/bench?country=FR&user=FR-sample&k=5'")
    page.one(".columns")
    assert page.texts(".column:not(.fused) h3") == ["led", "popular"]
    assert page.all(".graph") == []
    page.run("location.hash = '#/live'")
    page.wait_for_text("The server has no metrics endpoint")
    plain_server.signal(signal.SIGTERM)
    plain_server.wait_for_exit()
    page.wait_for_text("The inspector does not answer")
    page.driver.get("about:blank")
    assert page.complaints()  # the refused loads themselves


def test_live_figures_are_drawn(page: Browser, inspector: Inspector, server: RunningServer) -> None:
    """Calls become lines, numbers and a row per stage; Pause stops the questions."""
    page.open(f"{inspector.url}#/live")
    with server.stub() as stub:

        def drawn() -> bool:
            for _ in range(10):
                stub.Retrieve(request(item_ids=()))
            charts, lines = page.all(".chart canvas"), page.texts(".chart-legend")
            timed = any("p99" in text for text in lines)  # a chart is drawn when its first call is in the figures
            return len(charts) >= 2 and timed and bool(page.all(".plain-table tbody tr"))

        page.wait(drawn)
    assert page.texts(".chart h2") == ["Calls per second", "Time in the handler", "Live recall", "Fallbacks per second"]
    page.wait_for_text("empty history")
    page.one(".live-head > .button").click()
    assert page.one(".live-head > .button").get_attribute("aria-pressed") == "true"
    page.one(".segmented .button").click()
    assert page.texts(".segmented [aria-pressed=true]") == ["1 min"]
