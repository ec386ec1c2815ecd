"""How a process leaves: in peace, with work in hand, in favour of another, and when its own code fails."""

import select
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from h2_client import H2Client, framed
from load import load, outcomes
from running_server import eventually
from toy_process import RETRIEVE, SETTINGS, Start, ToyServer, ask

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.exit_codes import FAILED
from server.process import address_of, reserve_port
from server.transport import Kind


def test_a_call_in_hand_is_answered(start: Start) -> None:
    """SIGTERM while a call is worked on and others wait: all are answered."""
    with start() as server, H2Client(server.port) as client:
        with server.held() as held:
            streams = [client.begin(RETRIEVE) for _ in range(10)]
            for stream in streams:
                client.write(stream, framed(ask()))
            server.hand_over(client)
            server.process.send_signal(signal.SIGTERM)
        assert pb.RetrieveResponse.FromString(held.result()).bundle_version == "toy"
        assert {client.wait_for_end(stream).status for stream in streams} == {"0"}
        assert server.process.wait(10) == 0


def test_a_call_that_is_still_being_sent_is_answered(start: Start) -> None:
    """SIGTERM between the two halves of a request: it counts as in flight, though nothing waits to be worked on."""
    message = framed(ask())
    with start() as server, H2Client(server.port) as client:
        stream = client.begin(RETRIEVE)
        client.write(stream, message[:7], end=False)
        client.flush()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not _listens(server))
        # until the client is told to go, or longer than an idle process takes to notice that it ends
        select.select([client.socket], [], [], 0.3)
        client.write(stream, message[7:])
        assert client.wait_for_end(stream).status == "0"
        assert server.process.wait(10) == 0


def test_clients_are_told_to_go(start: Start) -> None:
    """An idle connection gets GOAWAY without an error before it is closed."""
    with start() as server, H2Client(server.port) as client:
        assert client.call(RETRIEVE, ask()).status == "0"
        server.process.send_signal(signal.SIGTERM)
        while not client.closed:
            client.receive()
        assert server.process.wait(10) == 0
        assert client.goaway is not None
        assert client.goaway.error_code == 0


def test_sigterm_under_load(start: Start) -> None:
    """No call fails before the end; then it was not begun and says so."""
    with start(settings=replace(SETTINGS, drain_delay_s=0.3)) as server, load(server, 4) as clients:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        eventually(lambda: all(client.outcomes[-1] != "OK" for client in clients))
    assert outcomes(clients) <= {"OK", "UNAVAILABLE", "CANCELLED"}


@pytest.mark.parametrize("before", ["grpcio", "native"])
def test_a_successor_takes_over(start: Start, before: Kind) -> None:
    """Two processes on one port, the old one retires under load: with retries, as documented, no client notices."""
    with reserve_port("127.0.0.1", 0) as port:
        address = address_of("127.0.0.1", port.getsockname()[1])
        with (
            start(address=address, name="old", transport=before) as old,
            load(old, 4, retry=True) as clients,
            start(address=address, name="new") as new,
        ):
            assert old.end(signal.SIGUSR2) == 0
            eventually(lambda: all(client.versions[-1] == "new" for client in clients))
            assert new.process.poll() is None
            assert outcomes(clients) == {"OK"}


def test_a_retiring_process_takes_no_new_connection(start: Start) -> None:
    """Its listener goes first: new connections reach the successor while an old one is still answered."""
    with reserve_port("127.0.0.1", 0) as port:
        address = address_of("127.0.0.1", port.getsockname()[1])
        with start(address=address, name="old") as old, H2Client(old.port) as client, old.held():
            with start(address=address, name="new") as new:
                old.process.send_signal(signal.SIGUSR2)
                eventually(lambda: not _listens(old))
                for _ in range(20):
                    with H2Client(new.port) as other:
                        reply = pb.RetrieveResponse.FromString(other.call(RETRIEVE, ask()).message)
                        assert reply.bundle_version == "new"
            stream = client.begin(RETRIEVE)
            client.write(stream, framed(ask()))


def test_a_stream_that_never_ends_is_cut_off(start: Start) -> None:
    """A reflection stream whose caller says no more is ended after grace_s."""
    finished = threading.Event()

    def ask_once() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        finished.wait()

    with start(settings=replace(SETTINGS, grace_s=0.3)) as server, server.channel() as channel:
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(ask_once())
        assert next(answers).list_services_response.service
        assert server.end(signal.SIGTERM) == 0
        with pytest.raises(grpc.RpcError):
            next(answers)
        finished.set()


def test_a_worker_that_cannot_answer_ends(start: Start) -> None:
    """A reply that is no bytes is a bug of ours, and the end of the process; its generation replaces it."""
    with start() as server, server.channel() as channel:
        call = channel.unary_unary(RETRIEVE)
        call.future(ask("NO")).exception(timeout=10)
        assert server.process.wait(10) == FAILED
        assert "the thread that answers calls failed" in server.log


def test_old_connections(start: Start) -> None:
    """Over max_connection_age_s, grpcio tells a client to connect again; native leaves the connection as it is."""
    with start(settings=replace(SETTINGS, max_connection_age_s=0.3)) as server, H2Client(server.port) as client:
        until = time.monotonic() + 0.7
        while client.goaway is None and (server.transport == "grpcio" or time.monotonic() < until):
            client.call(RETRIEVE, ask())
        if server.transport == "grpcio":
            assert client.goaway is not None
            assert client.goaway.error_code == 0
        else:
            assert client.call(RETRIEVE, ask()).status == "0"
            assert client.goaway is None


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::1", "::"])  # noqa: S104 - what operators write
def test_addresses(start: Start, host: str) -> None:
    """Names, wildcards and IPv6."""
    with start(host=host) as server, server.channel() as channel:
        assert channel.unary_unary(RETRIEVE)(ask(), timeout=10)
        if host == "::":
            with H2Client(server.port) as client:  # by IPv4
                assert client.call(RETRIEVE, ask()).status == "0"


def test_an_address_that_is_not_ours(transport: Kind, tmp_path: Path) -> None:
    """A transport that cannot bind says so and the process ends."""
    server = ToyServer(transport, tmp_path, address="192.0.2.1:50051")
    with pytest.raises(AssertionError, match="RuntimeError"), server:
        pass
    assert server.process.wait(10) != 0


def _listens(server: ToyServer) -> bool:
    return any(one.status == "LISTEN" and one.laddr.port == server.port for one in server.system.net_connections())
