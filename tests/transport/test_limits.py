"""Limits and compression: what is too much gets a clear status, and the connection goes on."""

import gzip
import zlib
from dataclasses import replace

import grpc
import pytest
from h2_client import H2Client, connections, framed
from running_server import eventually
from toy_process import RETRIEVE, SETTINGS, Start, ToyServer, ask

LIMIT = SETTINGS.max_receive_bytes


def _compressed(client: H2Client, encoding: str, data: bytes) -> tuple[str | None, int | None]:
    stream_id = client.begin(RETRIEVE, {"grpc-encoding": encoding})
    client.write(stream_id, framed(data, compressed=True))
    stream = client.wait_for_end(stream_id)
    return stream.status, stream.reset_code


def test_the_largest_message_is_answered(server: ToyServer) -> None:
    """Exactly the limit is not over it."""
    raw = ask(padding=LIMIT)
    raw = ask(padding=LIMIT - (len(raw) - LIMIT))
    assert len(raw) == LIMIT
    with server.channel() as channel:
        assert channel.unary_unary(RETRIEVE)(raw, timeout=10)


@pytest.mark.parametrize("size", [LIMIT, 3_000_000])
def test_a_larger_message_is_refused(server: ToyServer, size: int) -> None:
    """RESOURCE_EXHAUSTED in the same words, whatever its size; the connection goes on."""
    raw = ask(padding=size)
    with server.channel() as channel:
        call = channel.unary_unary(RETRIEVE)
        with pytest.raises(grpc.RpcError) as caught:
            call(raw, timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == f"SERVER: Received message larger than max ({len(raw)} vs. {LIMIT})"
        assert call(ask(), timeout=10)


def test_gzip_is_accepted(server: ToyServer) -> None:
    """A compressed request is answered, uncompressed."""
    with server.channel() as channel:
        assert channel.unary_unary(RETRIEVE)(ask(padding=10_000), compression=grpc.Compression.Gzip, timeout=10)
    with H2Client(server.port) as client:
        stream_id = client.begin(RETRIEVE, {"grpc-encoding": "gzip", "grpc-accept-encoding": "gzip"})
        client.write(stream_id, framed(gzip.compress(ask(k=50)), compressed=True))
        stream = client.wait_for_end(stream_id)
        assert stream.status == "0"
        assert len(stream.message) > 50


def test_deflate_is_grpcio_only(server: ToyServer) -> None:
    """Native says UNIMPLEMENTED, so that a client can send again without it."""
    with H2Client(server.port) as client:
        found = _compressed(client, "deflate", zlib.compress(ask()))
    assert found == ({"grpcio": "0", "native": "12"}[server.transport], None)


def test_the_limit_counts_decompressed_bytes(server: ToyServer) -> None:
    """A small message that is large inside is refused like a large one."""
    bomb = gzip.compress(ask(padding=5_000_000))
    assert len(bomb) < LIMIT
    with H2Client(server.port) as client:
        assert _compressed(client, "gzip", bomb) == ("8", None)
        assert client.call(RETRIEVE, ask()).status == "0"


def test_broken_compression_is_refused(server: ToyServer) -> None:
    """Bytes that are no gzip: INTERNAL, as gRPC's compression page wants."""
    with H2Client(server.port) as client:
        assert _compressed(client, "gzip", b"no gzip") == ("13", None)
        assert client.call(RETRIEVE, ask()).status == "0"


def test_unknown_compression_is_refused(server: ToyServer) -> None:
    """An encoding nobody knows: grpcio 1.75 resets the stream, native says UNIMPLEMENTED, as the page wants."""
    with H2Client(server.port) as client:
        found = _compressed(client, "snappy", b"?")
        assert found == {"grpcio": (None, 2), "native": ("12", None)}[server.transport]
        assert client.call(RETRIEVE, ask()).status == "0"


def test_the_limit_of_streams_is_announced(server: ToyServer) -> None:
    """A connection may have max_concurrent_rpcs calls open; clients then wait by themselves."""
    with H2Client(server.port) as client:
        client.wait_until(lambda: client.http2.remote_settings.max_concurrent_streams == SETTINGS.max_concurrent_rpcs)


def test_calls_that_pile_up_are_refused(start: Start) -> None:
    """Over max_concurrent_rpcs waiting calls get RESOURCE_EXHAUSTED, the newest first."""
    with start(settings=replace(SETTINGS, max_concurrent_rpcs=4)) as server, connections(server.port, 5) as clients:
        with server.held():
            for client in clients:
                for _ in range(3):
                    client.write(client.begin(RETRIEVE), framed(ask()))
                server.hand_over(client)
        statuses = [client.wait_for_end(stream).status for client in clients for stream in list(client.streams)]
        assert statuses.count("0") >= 4
        assert statuses.count("0") + statuses.count("8") == 15
        assert "8" in statuses
        eventually(lambda: clients[0].call(RETRIEVE, ask()).status == "0")


def test_watches_are_counted_apart(start: Start) -> None:
    """A health watch takes none of the places for calls that wait, and there are as many for watches."""
    settings = replace(SETTINGS, max_concurrent_rpcs=1)
    with start(settings=settings) as server, H2Client(server.port) as watching, H2Client(server.port) as asking:
        watch = watching.begin("/grpc.health.v1.Health/Watch")
        watching.write(watch, framed(b""))
        watching.wait_until(lambda: bool(watching.streams[watch].body))
        assert asking.call(RETRIEVE, ask()).status == "0"
        assert asking.call("/grpc.health.v1.Health/Watch", b"").status == "8"
