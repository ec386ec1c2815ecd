"""Replies, statuses and metadata, as three different clients see them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from h2_client import H2Client
from toy_process import RETRIEVE, Run, ToyServer, ask

from protos.retrieval.v1 import retrieval_pb2 as pb

INVALID = "invalid request: k: expected 1 or more, found 0: 100 % déjà vu\n"
UNKNOWN = "unknown country 'XX'; the bundle has DE, FR"
REFUSALS = pytest.mark.parametrize(
    ("raw", "code", "text"),
    [
        (ask(k=0), grpc.StatusCode.INVALID_ARGUMENT, INVALID),
        (ask("XX"), grpc.StatusCode.NOT_FOUND, UNKNOWN),
        (ask("ER"), grpc.StatusCode.INTERNAL, "internal error"),
        (b"\xff\xff", grpc.StatusCode.INTERNAL, "internal error"),
    ],
    ids=["invalid", "unknown", "bug", "no message"],
)


def _bad_request(status: status_pb2.Status) -> list[str]:
    detail = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(detail)
    return [violation.field for violation in detail.field_violations]


def _difference(after: Mapping[Any, float], before: Mapping[Any, float]) -> dict[Any, float]:
    return dict(Counter(after) - Counter(before))


def test_a_reply_by_grpcio(server: ToyServer) -> None:
    """The bytes of the handler arrive, small and large."""
    with server.channel() as channel:
        call = channel.unary_unary(RETRIEVE)
        for k in (1, 100, 20_000):
            reply = pb.RetrieveResponse.FromString(call(ask(k=k), timeout=10))
            assert [one.item_id for one in reply.candidates] == list(range(k))


def test_a_reply_by_asyncio(server: ToyServer, run: Run) -> None:
    """The same for grpc.aio."""

    async def ask_it() -> bytes:
        async with grpc.aio.insecure_channel(server.address) as channel:
            call = channel.unary_unary(RETRIEVE)
            reply: bytes = await call(ask(k=3), timeout=10)
            return reply

    assert len(pb.RetrieveResponse.FromString(run(ask_it())).candidates) == 3


def test_a_reply_by_plain_http2(server: ToyServer) -> None:
    """The frames are gRPC's: 200, the content type, one uncompressed message, the status in the trailers."""
    with H2Client(server.port) as client:
        stream = client.call(RETRIEVE, ask(k=3))
    assert stream.headers[":status"] == "200"
    assert stream.headers["content-type"] == "application/grpc"
    assert (stream.status, stream.reset_code) == ("0", None)
    assert len(pb.RetrieveResponse.FromString(stream.message).candidates) == 3


@REFUSALS
def test_a_refusal_by_grpcio(server: ToyServer, raw: bytes, code: grpc.StatusCode, text: str) -> None:
    """Code, text in any script, and google.rpc.Status where there is one."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(RETRIEVE)(raw, timeout=10)
    assert (caught.value.code(), caught.value.details()) == (code, text)
    status = rpc_status.from_call(caught.value)
    assert (status is not None) == (code is grpc.StatusCode.INVALID_ARGUMENT)
    if status is not None:
        assert (status.code, status.message) == (code.value[0], text)
        assert _bad_request(status) == ["k"]


@REFUSALS
def test_a_refusal_by_asyncio(server: ToyServer, run: Run, raw: bytes, code: grpc.StatusCode, text: str) -> None:
    """The same for grpc.aio."""

    async def ask_it() -> grpc.aio.AioRpcError:
        async with grpc.aio.insecure_channel(server.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(RETRIEVE)(raw, timeout=10)
            return caught.value

    error = run(ask_it())
    assert (error.code(), error.details()) == (code, text)
    trailers = [key for key, _ in error.trailing_metadata()]
    assert ("grpc-status-details-bin" in trailers) == (code is grpc.StatusCode.INVALID_ARGUMENT)


@REFUSALS
def test_a_refusal_by_plain_http2(server: ToyServer, raw: bytes, code: grpc.StatusCode, text: str) -> None:
    """The status is HTTP 200 with the code in figures and the text percent-encoded."""
    with H2Client(server.port) as client:
        stream = client.call(RETRIEVE, raw)
    assert stream.headers[":status"] == "200"
    assert stream.status == str(code.value[0])
    assert unquote(stream.headers["grpc-message"]) == text
    assert stream.body == b""


def test_a_bug_tells_the_log_and_not_the_caller(server: ToyServer) -> None:
    """The traceback is logged; the caller got a constant text above."""
    before = server.log.count("RuntimeError: secret")
    with server.channel() as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(RETRIEVE)(ask("ER"), timeout=10)
    assert server.log.count("RuntimeError: secret") == before + 1


@pytest.mark.parametrize("path", ["/retrieval.v1.Retrieval/Nothing", "/no.Service/Method", "/nonsense"])
def test_what_nobody_has_is_unimplemented(server: ToyServer, path: str) -> None:
    """An unknown method, an unknown service, and a path that is neither."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(b"", timeout=10)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


def test_metadata_does_no_harm(server: ToyServer) -> None:
    """Text and binary metadata, many and long ones, up to 8 kB."""
    metadata = [("x-text", "a" * 3000), ("x-data-bin", b"\x00\xff" * 1000), *((f"x-{n}", "y") for n in range(50))]
    with server.channel() as channel:
        assert channel.unary_unary(RETRIEVE)(ask(), metadata=metadata, timeout=10)


def test_too_much_metadata_is_refused(server: ToyServer) -> None:
    """Over 16 KiB: RESOURCE_EXHAUSTED from grpcio, HTTP 431 from native, which clients call UNKNOWN."""
    expected = {"grpcio": grpc.StatusCode.RESOURCE_EXHAUSTED, "native": grpc.StatusCode.UNKNOWN}
    with server.channel() as channel:
        call = channel.unary_unary(RETRIEVE)
        with pytest.raises(grpc.RpcError) as caught:
            call(ask(), metadata=[("x-text", "a" * 20_000)], timeout=10)
        assert caught.value.code() is expected[server.transport]
        assert call(ask(), timeout=10)


def test_calls_are_counted_alike(server: ToyServer) -> None:
    """Every call that reaches its handler is counted by method and status, timed, and its answer observed."""
    before, started, observed = server.handled(), server.started(), server.observed()
    with server.channel() as channel:
        for raw in (ask(), ask(k=0), ask("XX"), ask("ER"), ask(k=5)):
            channel.unary_unary(RETRIEVE).future(raw).exception(timeout=10)
        channel.unary_unary("/retrieval.v1.Retrieval/GetServingInfo")(b"", timeout=10)
        channel.unary_unary(RETRIEVE).future(ask(padding=70_000)).exception(timeout=10)
    codes = {"OK": 2, "INVALID_ARGUMENT": 1, "NOT_FOUND": 1, "INTERNAL": 1}
    expected = {("Retrieve", code): count for code, count in codes.items()} | {("GetServingInfo", "OK"): 1}
    assert _difference(server.handled(), before) == expected
    assert {key[0]: n for key, n in _difference(server.started(), started).items()} == {
        "Retrieve": 5,
        "GetServingInfo": 1,
    }
    assert server.observed() - observed == 2
