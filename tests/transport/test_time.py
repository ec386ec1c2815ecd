"""Deadlines and cancellation: work that nobody waits for is not begun, and harms no other call."""

import time

import grpc
import pytest
from h2.errors import ErrorCodes
from h2_client import H2Client, connections, framed
from running_server import eventually
from toy_process import RETRIEVE, ToyServer, ask


def _answered(server: ToyServer) -> float:
    return server.handled().get(("Retrieve", "OK"), 0)


def test_a_deadline_that_is_far_away_changes_nothing(server: ToyServer) -> None:
    """All of gRPC's units are understood, and none is no deadline."""
    with H2Client(server.port) as client:
        for timeout in ("100H", "60M", "100S", "99999999m", "99999999u", "99999999n"):
            assert client.call(RETRIEVE, ask(), {"grpc-timeout": timeout}).status == "0", timeout
        assert client.call(RETRIEVE, ask()).status == "0"


def test_a_deadline_that_has_passed_is_not_begun(server: ToyServer) -> None:
    """A call without time gets DEADLINE_EXCEEDED and no work is done."""
    before = _answered(server)
    with H2Client(server.port) as client:
        assert client.call(RETRIEVE, ask(), {"grpc-timeout": "0m"}).status == "4"
    assert _answered(server) == before


def test_a_deadline_ends_a_waiting_call(server: ToyServer) -> None:
    """While the server is busy, the client is told in time; the next call is answered."""
    with server.channel() as channel, server.held():
        call = channel.unary_unary(RETRIEVE)
        begun = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            call(ask(), timeout=0.2)
        assert 0.2 <= time.monotonic() - begun < 2
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    with server.channel() as channel:
        assert channel.unary_unary(RETRIEVE)(ask(), timeout=10)


def test_the_server_ends_a_waiting_call_itself(server: ToyServer) -> None:
    """Native ends a waiting call without its client's help; for grpcio its time begins when its connection is read."""
    before = _answered(server)
    with H2Client(server.port) as client:
        with server.held():
            begun = time.monotonic()
            stream = client.begin(RETRIEVE, {"grpc-timeout": "50m"})
            client.write(stream, framed(ask()))
            if server.transport == "native":
                assert client.wait_for_end(stream).status == "4"
            eventually(lambda: time.monotonic() > begun + 0.05)
        assert client.wait_for_end(stream).status == {"grpcio": "0", "native": "4"}[server.transport]
        assert client.call(RETRIEVE, ask()).status == "0"
    # besides these: the one that held the server, and the last
    assert _answered(server) == before + {"grpcio": 3, "native": 2}[server.transport]


def test_a_cancelled_call_is_not_begun(server: ToyServer) -> None:
    """A call that waits and is cancelled costs no work; its connection goes on."""
    before = _answered(server)
    with H2Client(server.port) as client:
        with server.held():
            stream = client.begin(RETRIEVE)
            client.write(stream, framed(ask()))
            client.http2.reset_stream(stream, ErrorCodes.CANCEL)
            server.hand_over(client)
        assert client.call(RETRIEVE, ask()).status == "0"
    assert _answered(server) == before + 2


def test_many_cancelled_calls_leave_their_connection_alone(server: ToyServer) -> None:
    """A client that gives up 200 waiting calls, as one that hedges does, keeps its connection."""
    with H2Client(server.port) as client:
        with server.held():
            streams = [client.begin(RETRIEVE) for _ in range(200)]
            for stream in streams:
                client.write(stream, framed(ask()))
            server.hand_over(client)
            for stream in streams:
                client.http2.reset_stream(stream, ErrorCodes.CANCEL)
            server.hand_over(client)
        assert client.call(RETRIEVE, ask()).status == "0"
        assert client.goaway is None


def test_a_client_that_cancels_is_answered_again(server: ToyServer) -> None:
    """A call cancelled while it is worked on is CANCELLED for its client at once; the next is answered."""
    with server.channel() as channel:
        call = channel.unary_unary(RETRIEVE)
        with server.held():
            future = call.future(ask())
            assert future.cancel()
            assert future.code() is grpc.StatusCode.CANCELLED
        assert call(ask(), timeout=10)


def test_a_malformed_deadline_ends_at_most_its_call(server: ToyServer) -> None:
    """Nonsense in grpc-timeout: grpcio resets the stream, native goes on without a deadline."""
    with H2Client(server.port) as client:
        stream = client.call(RETRIEVE, ask(), {"grpc-timeout": "soon"})
        assert (stream.status, stream.reset_code) == {"grpcio": (None, 2), "native": ("0", None)}[server.transport]
        assert client.call(RETRIEVE, ask()).status == "0"


def test_vanished_clients_leave_nothing(server: ToyServer) -> None:
    """Connections cut with calls waiting: no descriptor is kept."""
    before = server.system.num_fds()
    with server.held(), connections(server.port, 20) as clients:
        for client in clients:
            client.write(client.begin(RETRIEVE), framed(ask()))
            server.hand_over(client)
    eventually(lambda: server.system.num_fds() <= before)
