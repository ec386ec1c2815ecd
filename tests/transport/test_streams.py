"""HTTP/2 as it should not be, many streams, many connections: one client's faults stay with it."""

import resource
import socket
from collections.abc import Iterator

import grpc
import grpc.aio
import pytest
from h2.errors import ErrorCodes
from h2_client import H2Client, connections, framed
from running_server import eventually
from toy_process import RETRIEVE, Run, ToyServer, ask

from protos.retrieval.v1 import retrieval_pb2 as pb

CONNECTIONS = 1000


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let the test's process have as many sockets as the system allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_streams_of_one_connection_do_not_mix(server: ToyServer) -> None:
    """200 calls open at once, finished in another order than begun: each gets its own answer."""
    with H2Client(server.port) as client:
        streams = {client.begin(RETRIEVE): k for k in range(1, 201)}
        for stream_id, k in reversed(streams.items()):
            client.write(stream_id, framed(ask(k=k)))
        for stream_id, k in streams.items():
            assert len(pb.RetrieveResponse.FromString(client.wait_for_end(stream_id).message).candidates) == k


def test_more_calls_than_streams(server: ToyServer, run: Run) -> None:
    """1,000 calls at once by one asyncio client, which makes those over the limit wait; grpcio refuses some anyway."""

    async def answer(call: "grpc.aio.UnaryUnaryCall[bytes, bytes]") -> int:
        try:
            return len(pb.RetrieveResponse.FromString(await call).candidates)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - which calls fail is not known
            assert server.transport == "grpcio"
            return 0

    async def ask_it() -> list[int]:
        async with grpc.aio.insecure_channel(server.address) as channel:
            call = channel.unary_unary(RETRIEVE)
            await call(ask(), timeout=10)  # now the client knows the limit
            calls = [call(ask(k=1 + n % 50), timeout=30) for n in range(1000)]
            return [await answer(one) for one in calls]

    found = run(ask_it())
    assert all(size in {0, 1 + n % 50} for n, size in enumerate(found))
    assert any(found)


def test_a_request_in_small_pieces(server: ToyServer) -> None:
    """One byte per DATA frame is the same request."""
    with H2Client(server.port) as client:
        stream = client.begin(RETRIEVE)
        message = framed(ask(k=7))
        for place in range(len(message)):
            client.write(stream, message[place : place + 1], end=place == len(message) - 1)
        assert client.wait_for_end(stream).status == "0"


def test_a_call_that_is_never_half_closed(server: ToyServer) -> None:
    """One message and no end: grpcio answers, native waits for the end; others are answered meanwhile."""
    with H2Client(server.port) as client:
        stream = client.begin(RETRIEVE)
        client.write(stream, framed(ask(k=2)), end=False)
        assert client.call(RETRIEVE, ask()).status == "0"
        if server.transport == "native":
            assert client.streams[stream].headers == {}
            client.http2.end_stream(stream)
            client.send()
        assert client.wait_for_end(stream).status == "0"


@pytest.mark.parametrize("body", [b"", framed(ask(padding=50))[:-2]], ids=["nothing", "half a message"])
def test_a_call_without_a_whole_message(server: ToyServer, body: bytes) -> None:
    """INTERNAL at once."""
    with H2Client(server.port) as client:
        stream = client.begin(RETRIEVE, end=not body)
        client.write(stream, body)
        assert client.wait_for_end(stream).status == "13"
        assert client.call(RETRIEVE, ask()).status == "0"


def test_reset_streams_leave_the_connection_alone(server: ToyServer) -> None:
    """Streams reset before, within and after their message; then a call is answered on the same connection."""
    with H2Client(server.port) as client:
        for stop_after in (0, 3, 5, len(framed(ask()))):
            stream = client.begin(RETRIEVE)
            client.write(stream, framed(ask())[:stop_after], end=False)
            client.http2.reset_stream(stream, ErrorCodes.CANCEL)
            client.send()
        assert client.call(RETRIEVE, ask()).status == "0"


def test_a_flood_of_resets_ends_at_most_its_connection(server: ToyServer) -> None:
    """The "rapid reset" attack on one connection: the server may end that one, and goes on serving others."""
    with H2Client(server.port) as attacker, H2Client(server.port) as other:
        try:
            for _ in range(2000):
                stream = attacker.begin(RETRIEVE)
                attacker.http2.reset_stream(stream, ErrorCodes.CANCEL)
            attacker.send()
        except OSError:  # it was cut off
            pass
        assert other.call(RETRIEVE, ask()).status == "0"


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 100, b"PRI * HTTP/2.0\r\n\r\nxx\r\n\r\n"]
)
def test_what_is_no_http2_is_cut_off(server: ToyServer, data: bytes) -> None:
    """Whoever speaks something else has his connection closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as stranger:
        stranger.sendall(data)
        try:
            while stranger.recv(4096):
                pass
        except ConnectionResetError:
            pass
    with H2Client(server.port) as client:
        assert client.call(RETRIEVE, ask()).status == "0"


def test_pings(server: ToyServer) -> None:
    """A keepalive ping is answered. Too many of them end a connection to grpcio; native answers every one."""
    with H2Client(server.port) as client:
        client.http2.ping(b"12345678")
        client.send()
        client.wait_until(lambda: client.pings_answered == 1)
        for _ in range(9):
            client.http2.ping(b"12345678")
        client.send()
        client.wait_until(lambda: client.pings_answered == 10 or client.goaway is not None)
        assert (client.goaway is not None) == (server.transport == "grpcio")


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_connections(server: ToyServer) -> None:
    """Open at the same time, every one is answered, twice; closed, none is kept."""
    before = server.system.num_fds()
    with connections(server.port, CONNECTIONS) as clients:
        for _ in range(2):
            for start in range(0, CONNECTIONS, 200):  # fewer than max_concurrent_rpcs
                streams = [(client, client.begin(RETRIEVE)) for client in clients[start : start + 200]]
                for client, stream in streams:
                    client.write(stream, framed(ask()))
                for client, stream in streams:
                    assert client.wait_for_end(stream).status == "0"
        assert server.system.num_fds() >= before + CONNECTIONS - 1
    eventually(lambda: server.system.num_fds() <= before)
