"""Fixtures of the inspector's tests: one real server with every source and its inspector."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking_inspector import Inspector
from browser import Browser, browser
from inspected_bundle import inspected_content
from running_server import RunningServer

from index_store.content import BundleContent
from index_store.publish import publish
from tiny_bundle import POLICY

NAME = "tiny"


@pytest.fixture(scope="session")
def content() -> BundleContent:
    """What the served bundle is made of."""
    return inspected_content()


@pytest.fixture(scope="session")
def inspector_root(tmp_path_factory: pytest.TempPathFactory, content: BundleContent) -> Path:
    """A bundle root with a bundle of every source, read only."""
    root = tmp_path_factory.mktemp("inspector")
    publish(content, root=root, name=NAME, version="v1", policy=POLICY)
    return root


@pytest.fixture(scope="session")
def server(inspector_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server with an inspector for all tests that leave it as it is."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    settings = {"bundle_root": inspector_root, "bundle_name": NAME, "inspector_port": 0, "workers": 1}
    with RunningServer(log, **settings) as running:
        yield running.wait_until_serving()


@pytest.fixture(scope="session")
def inspector(server: RunningServer) -> Inspector:
    """Its inspector."""
    return Inspector.of(server)


@pytest.fixture(scope="session")
def _chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture
def page(_chromium: Browser, inspector: Inspector) -> Iterator[Browser]:
    """A browser; afterwards its console must be empty of complaints."""
    del inspector  # the server is there before the first page is opened
    _chromium.complaints()
    yield _chromium
    assert _chromium.complaints() == []
