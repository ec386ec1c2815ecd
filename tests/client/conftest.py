"""Servers and a loop for the client's tests."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_server import RunningServer

from index_store.publish import publish
from tiny_bundle import POLICY
from tiny_sources import full_content

Start = Callable[..., RunningServer]
_NAME = "tiny"


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle root with a bundle of every source, read only."""
    folder = tmp_path_factory.mktemp("bundles")
    publish(full_content(1), root=folder, name=_NAME, version="v1", policy=POLICY)
    return folder


@pytest.fixture(scope="session")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that leave it as it is."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with RunningServer(log, bundle_root=root, bundle_name=_NAME) as running:
        yield running.wait_until_serving()


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Start:
    """Prepare a server of the test's own."""

    def prepare(**settings: object) -> RunningServer:
        return RunningServer(tmp_path / "log.txt", **{"bundle_root": root, "bundle_name": _NAME, **settings})

    return prepare


@pytest.fixture(scope="session")
def run() -> Iterator[Callable[..., object]]:
    """Run a coroutine on the one event loop that grpc.aio gets in this process (grpc/grpc#25364)."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.close()
