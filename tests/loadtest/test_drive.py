"""The load client against real servers of both transports."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_server import eventually
from toy_process import RETRIEVE, ToyServer, ask

from loadtest.drive import Target, ask_each, closed_loop, open_loop, planned_ns
from loadtest.h2 import ServerGoneError, encoded
from loadtest.histogram import histogram_of, quantile_ms
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.transport import Kind

_STALL_S = 0.5


@pytest.fixture(scope="module", params=["native", "grpcio"])
def toy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyServer]:
    """Give a server of each transport."""
    kind: Kind = request.param
    with ToyServer(kind, tmp_path_factory.mktemp(kind)) as server:
        yield server


def _target(toy: ToyServer, *payloads: bytes) -> Target:
    return Target(toy.address, RETRIEVE, payloads, [toy.process.pid])


def test_every_payload_gets_its_own_reply(toy: ToyServer) -> None:
    """Replies come in the order of the payloads, refusals with their status, long requests in several frames."""
    sizes = [1, 100, 0, 7]
    asked = [*(ask(k=size) for size in sizes), ask("XX"), ask(k=3, padding=40_000)]
    replies = ask_each(_target(toy, *asked))
    statuses = ["OK", "OK", "INVALID_ARGUMENT", "OK", "NOT_FOUND", "OK"]
    assert [status for status, _ in replies] == statuses
    found = [len(pb.RetrieveResponse.FromString(reply).candidates) for _, reply in replies]
    assert found == [1, 100, 0, 7, 0, 3]


def test_a_closed_loop_counts_what_the_server_counts(toy: ToyServer) -> None:
    """Calls by status are the server's own counts, over more connections than one and with refusals among them."""
    before = toy.handled()
    outcome = closed_loop(_target(toy, ask(k=5), ask("XX")), seconds=0.3, concurrency=8, connections=4, warm_up_s=0)
    after = toy.handled()
    counted = {
        code: int(value - before.get((method, code), 0))
        for (method, code), value in after.items()
        if method == "Retrieve"
    }
    assert outcome.statuses == {code: count for code, count in counted.items() if count}
    assert outcome.errors == outcome.statuses["NOT_FOUND"] > 0
    assert outcome.calls == sum(outcome.statuses.values()) > 100


def test_connections_are_connections(toy: ToyServer) -> None:
    """As many TCP connections as asked for reach the server."""
    load = threading.Thread(
        target=closed_loop,
        args=(_target(toy, ask()),),
        kwargs={"seconds": 1.0, "concurrency": 10, "connections": 5, "warm_up_s": 0},
    )
    load.start()
    most = 0
    while load.is_alive():
        links = toy.system.net_connections()
        most = max(most, sum(link.laddr.port == toy.port and link.status == "ESTABLISHED" for link in links))
        load.join(0.05)
    assert most == 5


def test_a_stall_is_seen_by_the_open_loop_and_omitted_by_the_closed(toy: ToyServer) -> None:
    """One stop of the server delays all calls planned meanwhile; a closed loop of one counts a single slow call."""
    target = _target(toy, ask())
    with _one_stall(toy):
        opened = open_loop(target, rate=400, seconds=1.5, arrivals="constant", connections=4, warm_up_s=0)
    with _one_stall(toy):
        closed = closed_loop(target, seconds=1.5, concurrency=1, connections=1, warm_up_s=0)
    assert opened.calls == 600
    assert opened.p99_ms > 0.8 * _STALL_S * 1000
    # a third of the calls fell into the stall, and waited half of it on average
    assert opened.p90_ms > 0.3 * _STALL_S * 1000
    assert closed.max_ms > 0.8 * _STALL_S * 1000
    assert closed.p99_ms < 0.2 * _STALL_S * 1000


@contextmanager
def _one_stall(toy: ToyServer) -> Iterator[None]:
    """Stop the server for a while once some calls of the block are answered."""
    enough = sum(toy.handled().values()) + 20

    def stall() -> None:
        eventually(lambda: sum(toy.handled().values()) > enough)
        toy.system.suspend()
        time.sleep(_STALL_S)
        toy.system.resume()

    thread = threading.Thread(target=stall)
    thread.start()
    yield
    thread.join()


def test_cpu_is_the_kernels_account_of_the_server(toy: ToyServer) -> None:
    """CPU per call times calls is what psutil sees the server spend; the client's share is under one."""
    before = toy.system.cpu_times()
    outcome = closed_loop(_target(toy, ask(k=100)), seconds=1, warm_up_s=0)
    after = toy.system.cpu_times()
    spent = after.user + after.system - before.user - before.system
    assert outcome.server_cpu_us is not None
    assert outcome.server_cpu_us * outcome.calls / 1e6 == pytest.approx(spent, abs=0.05)
    assert 0 < outcome.client_share < 1


def test_a_server_that_goes_is_said(tmp_path: Path) -> None:
    """Nobody there, or nobody there any more, is an error that names the address."""
    with ToyServer("native", tmp_path) as toy:
        target = _target(toy, ask())
        threading.Timer(0.3, toy.process.kill).start()
        with pytest.raises(ServerGoneError, match=toy.address):
            closed_loop(target, seconds=10, warm_up_s=0)


def test_too_long_a_request_is_refused() -> None:
    """Over the window every HTTP/2 server starts with, the client says so."""
    with pytest.raises(ValueError, match="65535 at most"):
        encoded(bytes(70_000))


@given(st.lists(st.integers(1_000, 10**10), min_size=1, max_size=200), st.sampled_from([50.0, 90.0, 99.0, 99.9]))
def test_the_histogram_holds_three_digits(latencies: list[int], percent: float) -> None:
    """Any quantile is within a per mille of the sorted list's, in whole microseconds."""
    rank = max(int(percent / 100 * len(latencies) + 0.5), 1)
    exact = max(sorted(latencies)[rank - 1] // 1000, 1) / 1000
    assert quantile_ms(histogram_of(latencies), percent) == pytest.approx(exact, rel=1.1e-3)


def test_planned_times_are_the_rate() -> None:
    """Both kinds of arrivals have the rate asked for; Poisson's gaps vary as they are long, and are reproducible."""
    constant = np.diff(planned_ns(1000, 20, "constant", 1))
    poisson = np.diff(planned_ns(1000, 20, "poisson", 1))
    assert constant.max() - constant.min() <= 1
    assert poisson.mean() == pytest.approx(1e6, rel=0.05)
    assert poisson.std() == pytest.approx(1e6, rel=0.05)
    assert planned_ns(1000, 20, "poisson", 1) == planned_ns(1000, 20, "poisson", 1)
