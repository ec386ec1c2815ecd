"""Requests that must be refused, sent to one real server: the right status, the right field, and no harm done."""

import math
import struct
from collections.abc import Callable, Sequence

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_server import RunningServer, call_raw, request

from protos.retrieval.v1 import retrieval_pb2 as pb

GOOD = request().SerializeToString()
HEAD = b"\x0a\x02FR\x18\x05"


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _chunk(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _history(*interactions: bytes) -> bytes:
    return HEAD + b"".join(_chunk(2, interaction) for interaction in interactions)


def _feature(name: bytes, value: bytes) -> bytes:
    return HEAD + _chunk(5, _chunk(1, name) + _chunk(2, value))


def _with(change: Callable[[pb.RetrieveRequest], object]) -> bytes:
    changed = request()
    change(changed)
    return changed.SerializeToString()


def _features(**values: pb.FeatureValue) -> bytes:
    return request(features=values).SerializeToString()


ITEM = b"\x09" + struct.pack("<Q", 7)
KEY = _chunk(2, b"fr-0001")

# name, bytes, path of the field that must be named
CASES: Sequence[tuple[str, bytes, str]] = (
    # values out of range
    ("empty request", b"", "country"),
    ("no country", _with(lambda r: r.ClearField("country")), "country"),
    ("long country", request("F" * 33).SerializeToString(), "country"),
    ("huge country", request("F" * 100_000).SerializeToString(), "country"),
    ("country with a slash", request("../FR").SerializeToString(), "country"),
    ("country with a line feed", request("FR\n").SerializeToString(), "country"),
    ("country not ASCII", request("ÉÉ").SerializeToString(), "country"),
    ("k missing", _with(lambda r: r.ClearField("k")), "k"),
    ("k zero on the wire", b"\x0a\x02FR\x18\x00", "k"),
    ("k above the limit", request(k=1001).SerializeToString(), "k"),
    ("k at the top of 32 bits", request(k=2**32 - 1).SerializeToString(), "k"),
    ("k beyond 32 bits", b"\x0a\x02FR\x18" + _varint(2**32 + 5), "k"),
    ("k negative", b"\x0a\x02FR\x18" + _varint(2**64 - 1), "k"),
    ("history too long", request(item_ids=(7,) * 501).SerializeToString(), "history"),
    ("empty interaction", _history(b""), "history[0].item"),
    ("second interaction without item", _history(ITEM, b"\x18\x01"), "history[1].item"),
    ("empty key", _history(_chunk(2, b"")), "history[0].item_key"),
    ("long key", _history(ITEM, ITEM, _chunk(2, b"x" * 257)), "history[2].item_key"),
    ("long key in UTF-8", _history(_chunk(2, "é".encode() * 129)), "history[0].item_key"),
    ("unknown type", _history(ITEM + b"\x18\x06"), "history[0].type"),
    ("negative type", _history(ITEM + b"\x18" + _varint(2**64 - 1)), "history[0].type"),
    ("huge type", _history(ITEM + b"\x18" + _varint(2**31 - 1)), "history[0].type"),
    ("type beyond 32 bits", _history(ITEM + b"\x18" + _varint(2**32 + 1)), "history[0].type"),
    ("type beyond 63 bits", _history(ITEM, ITEM + b"\x18" + _varint(2**63 + 1)), "history[1].type"),
    ("negative type of 32 bits", _history(ITEM + b"\x18" + _varint(2**32 - 1)), "history[0].type"),
    ("negative time", _history(ITEM + b"\x20" + _varint(2**64 - 1)), "history[0].timestamp_ms"),
    ("smallest time", _history(ITEM + b"\x20" + _varint(2**63)), "history[0].timestamp_ms"),
    ("NaN feature", _features(age=pb.FeatureValue(number=math.nan)), 'features["age"].number'),
    ("infinite feature", _features(age=pb.FeatureValue(number=math.inf)), 'features["age"].number'),
    ("minus infinite feature", _features(age=pb.FeatureValue(number=-math.inf)), 'features["age"].number'),
    ("feature without value", _features(age=pb.FeatureValue()), 'features["age"]'),
    ("feature entry without value", HEAD + _chunk(5, _chunk(1, b"age")), 'features["age"]'),
    ("feature without name", _feature(b"", b"\x09" + b"\0" * 8), 'features[""]'),
    ("long category", _features(a=pb.FeatureValue(category="c" * 257)), 'features["a"].category'),
    ("too many features", _features(**{f"f{i}": pb.FeatureValue(number=1) for i in range(65)}), "features"),
    ("long feature name", _feature(b"n" * 65, b"\x09" + b"\0" * 8), 'features["' + "n" * 40 + '…"]'),
    # known fields with the wrong wire type, which protobuf itself would drop
    ("country as varint", b"\x08\x01\x18\x05", "country"),
    ("country as fixed64", b"\x09" + b"\0" * 8 + b"\x18\x05", "country"),
    ("history as varint", HEAD + b"\x10\x01", "history[0]"),
    ("k as string", b"\x0a\x02FR\x1a\x015", "k"),
    ("k as fixed32", b"\x0a\x02FR\x1d" + b"\x05\0\0\0", "k"),
    ("exclude_history as string", HEAD + _chunk(4, b"yes"), "exclude_history"),
    ("features as fixed64", HEAD + b"\x29" + b"\0" * 8, "features[0]"),
    ("details flag as fixed32", HEAD + b"\x35" + b"\1\0\0\0", "include_item_details"),
    ("item_id as varint", _history(ITEM, b"\x08\x07"), "history[1].item_id"),
    ("item_id as string", _history(_chunk(1, b"7")), "history[0].item_id"),
    ("item_key as fixed64", _history(b"\x11" + b"\0" * 8), "history[0].item_key"),
    ("type as fixed32", _history(ITEM + b"\x1d" + b"\0" * 4), "history[0].type"),
    ("time as fixed64", _history(ITEM + b"\x21" + b"\0" * 8), "history[0].timestamp_ms"),
    ("time as string", _history(ITEM + _chunk(4, b"now")), "history[0].timestamp_ms"),
    ("feature name as varint", HEAD + _chunk(5, b"\x08\x01" + _chunk(2, b"\x09" + b"\0" * 8)), "features[0].key"),
    ("feature value as varint", HEAD + _chunk(5, _chunk(1, b"a") + b"\x10\x01"), "features[0].value"),
    ("number as float", _feature(b"a", b"\x0d" + b"\0" * 4), "features[0].value.number"),
    ("category as varint", _feature(b"a", b"\x10\x01"), "features[0].value.category"),
    ("history as group", HEAD + b"\x13\x14", "history[0]"),
    # two members of a oneof
    ("id and key", _history(ITEM + KEY), "history[0].item_key"),
    ("key and id", _history(ITEM, KEY + ITEM), "history[1].item_id"),
    ("number and category", _feature(b"a", b"\x09" + b"\0" * 8 + _chunk(2, b"x")), "features[0].value.category"),
    # bytes that are no message
    ("text instead of protobuf", b"country=FR&k=5", "RetrieveRequest"),
    ("field number zero", HEAD + b"\x00\x01", "RetrieveRequest"),
    ("wire type 6", HEAD + b"\x0e", "RetrieveRequest"),
    ("wire type 7", HEAD + b"\x0f", "RetrieveRequest"),
    ("lone end of a group", HEAD + b"\x9c\x06", "RetrieveRequest"),
    ("group without end", HEAD + b"\x9b\x06\x08\x01", "RetrieveRequest"),
    ("endless varint", HEAD + b"\x18" + b"\xff" * 11, "k"),
    ("truncated k", b"\x0a\x02FR\x18", "k"),
    ("truncated varint in k", b"\x0a\x02FR\x18\xff", "k"),
    ("truncated country", b"\x0a\x05FR", "country"),
    ("country length missing", b"\x0a", "country"),
    ("huge country length", b"\x0a" + _varint(2**31) + b"FR", "country"),
    ("length beyond 64 bits", b"\x0a" + b"\xff" * 9 + b"\x01" + b"FR", "country"),
    ("huge history length", HEAD + b"\x12" + _varint(2**40), "history[0]"),
    ("huge key length", _history(ITEM, b"\x12" + _varint(2**30) + b"x"), "history[1].item_key"),
    ("truncated item_id", _history(b"\x09\x01\x02"), "history[0].item_id"),
    ("truncated feature number", _feature(b"a", b"\x09\x01"), "features[0].value.number"),
    ("country not UTF-8", b"\x0a\x02\xff\xfe\x18\x05", "country"),
    ("key not UTF-8", _history(ITEM, _chunk(2, b"\xc3\x28")), "history[1].item_key"),
    ("key with a surrogate", _history(_chunk(2, b"\xed\xa0\x80")), "history[0].item_key"),
    ("key cut inside a character", _history(_chunk(2, "é".encode()[:1])), "history[0].item_key"),
    ("feature name not UTF-8", _feature(b"\xff", b"\x09" + b"\0" * 8), "features[0].key"),
    ("category not UTF-8", _feature(b"a", _chunk(2, b"\x80")), "features[0].value.category"),
    ("a flood of fields", HEAD + b"\x98\x06\x01" * 20_000, "RetrieveRequest"),
)


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
        call_raw(channel, _history(ITEM + b"\x18" + _varint(value % 2**64)))
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
        error, _ = _refusal(channel, GOOD + _chunk(2000, b"x" * 300_000))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        call_raw(channel, GOOD)


def test_the_largest_sensible_request_fits(server: RunningServer) -> None:
    """500 interactions with keys of 256 bytes and 64 large features are within the default limit."""
    largest = pb.RetrieveRequest(
        country="FR",
        k=1000,
        history=[pb.Interaction(item_key="k" * 256, type=5, timestamp_ms=2**62)] * 500,
        features={f"{i:064d}": pb.FeatureValue(category="c" * 256) for i in range(64)},
    ).SerializeToString()
    with server.channel() as channel:
        assert len(pb.RetrieveResponse.FromString(call_raw(channel, largest)).candidates) == 300


def test_serving_info_refuses_bytes_that_are_no_message(server: RunningServer) -> None:
    """GetServingInfo parses its empty request too."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, b"\x0f", method="GetServingInfo")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
