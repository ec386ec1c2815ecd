"""Requests that must be refused, sent to one real server: the right status, the right field, and no harm done."""

import math

import grpc
import pytest
from bad_request_cases import CASES, GOOD, ITEM, chunk, history, varint
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_server import RunningServer, call_raw, request

from protos.retrieval.v1 import retrieval_pb2 as pb


def _refusal(channel: grpc.Channel, raw: bytes) -> tuple[grpc.RpcError, list[str]]:
    with pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, raw)
    status = rpc_status.from_call(caught.value)
    if status is None:
        return caught.value, []
    bad_request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad_request)
    assert all(fault.description for fault in bad_request.field_violations)
    return caught.value, [fault.field for fault in bad_request.field_violations]


@pytest.mark.parametrize(("raw", "path"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_bad_request_is_refused_by_field(server: RunningServer, raw: bytes, path: str) -> None:
    """INVALID_ARGUMENT, with a BadRequest that names the field; the connection's next call is answered."""
    with server.channel() as channel:
        error, paths = _refusal(channel, raw)
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert path in paths, error.details()
        assert len(error.details()) < 500
        assert len(pb.RetrieveResponse.FromString(call_raw(channel, GOOD)).candidates) == 10


def test_all_faults_are_named_at_once(server: RunningServer) -> None:
    """One answer lists the faults of the whole request."""
    raw = pb.RetrieveRequest(
        history=[pb.Interaction(), pb.Interaction(item_id=1, timestamp_ms=-1)],
        features={"x": pb.FeatureValue(number=math.nan)},
    ).SerializeToString()
    with server.channel() as channel:
        _, paths = _refusal(channel, raw)
    assert paths == ["country", "k", "history[0].item", "history[1].timestamp_ms", 'features["x"].number']


def test_at_most_twenty_faults_are_named(server: RunningServer) -> None:
    """A request full of faults gets a short answer."""
    raw = pb.RetrieveRequest(history=[pb.Interaction()] * 400).SerializeToString()
    with server.channel() as channel:
        _, paths = _refusal(channel, raw)
    assert len(paths) == 20


def test_a_truncated_request_never_passes_for_another(server: RunningServer) -> None:
    """Cut anywhere, a request is refused as INVALID_ARGUMENT or is a complete shorter message."""
    full = request("FR", 5, (7, 8), features={"a": pb.FeatureValue(category="c")}).SerializeToString()
    with server.channel() as channel:
        for length in range(len(full)):
            cut = full[:length]
            try:
                pb.RetrieveRequest.FromString(cut)
                whole = cut
            except Exception:  # upb's DecodeError; only its absence matters
                whole = None
            if whole is None:
                error, paths = _refusal(channel, cut)
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert paths


@pytest.mark.parametrize("value", [6, -1, 2**31 - 1, -(2**31), 2**31, 2**32 + 1, 2**63])
def test_a_type_that_is_none_has_one_message(server: RunningServer, value: int) -> None:
    """However many bits the number has, it is named once, as what was sent."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, history(ITEM + b"\x18" + varint(value % 2**64)))
    expected = f"history[0].type: expected a value of InteractionType, 0 to 5, found {value}"
    assert caught.value.details() == f"invalid request: {expected}"


def test_an_unknown_country_is_not_found(server: RunningServer) -> None:
    """NOT_FOUND names the countries that are there."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, request("ZZ").SerializeToString())
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "unknown country 'ZZ'; the bundle has DE, FR, US"


def test_an_oversize_request_is_resource_exhausted(server: RunningServer) -> None:
    """More bytes than max_receive_bytes never reach the parser."""
    with server.channel() as channel:
        error, _ = _refusal(channel, GOOD + chunk(2000, b"x" * 1_100_000))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        call_raw(channel, GOOD)


def test_the_largest_sensible_request_fits(server: RunningServer) -> None:
    """The longest history, features, names and exclusions together are within the default limit."""
    largest = pb.RetrieveRequest(
        country="FR",
        k=1000,
        history=[pb.Interaction(item_key="k" * 256, type=5, timestamp_ms=2**62)] * 500,
        features={f"{i:064d}": pb.FeatureValue(category="c" * 256) for i in range(64)},
        filters=pb.Filters(merchants=["merchant-1", *["m" * 256] * 999], excluded_item_ids=range(1, 20_001)),
    ).SerializeToString()
    with server.channel() as channel:
        assert len(pb.RetrieveResponse.FromString(call_raw(channel, largest)).candidates) >= 42


def test_serving_info_refuses_bytes_that_are_no_message(server: RunningServer) -> None:
    """GetServingInfo parses its empty request too."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, b"\x0f", method="GetServingInfo")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=40).map(lambda tail: GOOD + tail)))
def test_random_bytes_do_no_harm(server: RunningServer, shared_channel: grpc.Channel, raw: bytes) -> None:
    """Whatever comes, the answer is a reply, INVALID_ARGUMENT or NOT_FOUND; never INTERNAL."""
    code = grpc.StatusCode.OK
    try:
        call_raw(shared_channel, raw)
    except grpc.RpcError as error:
        code = error.code()
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert server.process.poll() is None


@pytest.fixture(scope="module")
def shared_channel(server: RunningServer) -> object:
    """One connection for many calls."""
    with server.channel() as channel:
        yield channel
