"""One shared process per transport, processes of a test's own, and a loop for asyncio clients."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_process import Run, Start, ToyServer

from server.transport import Kind


@pytest.fixture(scope="session", params=["grpcio", "native"])
def transport(request: pytest.FixtureRequest) -> Kind:
    """Which transport is tested: every test runs over both."""
    kind: Kind = request.param
    return kind


@pytest.fixture(scope="session")
def server(transport: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyServer]:
    """One process for all tests that leave it as it is."""
    with ToyServer(transport, tmp_path_factory.mktemp(transport)) as running:
        yield running
        assert running.process.poll() is None, running.log


@pytest.fixture
def start(transport: Kind, tmp_path: Path) -> Start:
    """Prepare a process of the test's own."""

    def prepare(**changes: object) -> ToyServer:
        return ToyServer(**{"transport": transport, "folder": tmp_path, **changes})

    return prepare


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """Run a coroutine on the one event loop that grpc.aio gets in this process (grpc/grpc#25364)."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.close()
