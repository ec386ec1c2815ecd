"""Batches, items and wishes that must be refused by a server of every source: the right status, field and words."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from running_server import RunningServer, call_raw, request

from protos.retrieval.v1 import retrieval_pb2 as pb

GOOD = request()
ITEM = pb.ItemRef(item_id=7)


def _batch(*requests: pb.RetrieveRequest) -> bytes:
    return pb.RetrieveBatchRequest(requests=requests).SerializeToString()


def _similar(**fields: object) -> bytes:
    return pb.SimilarItemsRequest(**{"country": "FR", "item": ITEM, "k": 3, **fields}).SerializeToString()


def _tier(value: pb.FeatureValue) -> pb.RetrieveRequest:
    return request(features={"tier": value})


@pytest.mark.parametrize(
    ("method", "raw", "field", "words"),
    [
        ("Retrieve", _tier(pb.FeatureValue(number=1)).SerializeToString(), 'features["tier"]', "expected a category"),
        (
            "Retrieve",
            request(features={"spent": pb.FeatureValue(category="x")}).SerializeToString(),
            'features["spent"]',
            "expected a number",
        ),
        (
            "Retrieve",
            request(profile="feed").SerializeToString(),
            "profile",
            "unknown profile 'feed'; the settings have default, led, pdn, two_tower, varied",
        ),
        (
            "Retrieve",
            request("US", filters=pb.Filters(price=pb.PriceRange())).SerializeToString(),
            "filters.price",
            "the catalogue of US has no prices",
        ),
        ("RetrieveBatch", b"", "requests", "expected 1 to 256 requests, found 0"),
        ("RetrieveBatch", _batch(*[GOOD] * 257), "requests", "expected 1 to 256 requests, found 257"),
        ("RetrieveBatch", _batch(GOOD, GOOD, GOOD, request(k=0)), "requests[3].k", "expected 1 to 1000, found 0"),
        ("RetrieveBatch", _batch(GOOD, request(profile="x")), "requests[1].profile", "unknown profile 'x'"),
        (
            "RetrieveBatch",
            _batch(GOOD, GOOD, _tier(pb.FeatureValue(number=1))),
            'requests[2].features["tier"]',
            "expected a category",
        ),
        (
            "RetrieveBatch",
            _batch(request("US", filters=pb.Filters(price=pb.PriceRange()))),
            "requests[0].filters.price",
            "the catalogue of US has no prices",
        ),
        ("RetrieveBatch", b"\x08\x01", "requests[0]", "expected wire type length-delimited, found varint"),
        ("RetrieveBatch", b"\x0a\x02\x18\xff", "requests[0].k", "expected the rest of a varint"),
        ("RetrieveBatch", _batch(GOOD) + b"\x0a\x04\x1a\x02FR", "requests[1].k", "found length-delimited"),
        ("SimilarItems", b"", "country", "expected 1 to 32 letters"),
        ("SimilarItems", _similar(k=0), "k", "expected 1 to 1000, found 0"),
        ("SimilarItems", _similar(k=1001), "k", "expected 1 to 1000, found 1001"),
        ("SimilarItems", _similar(item=None), "item", "expected one of item_id and item_key, found neither"),
        ("SimilarItems", _similar(item=pb.ItemRef(item_key="")), "item.item_key", "expected 1 to 256 bytes, found 0"),
        ("SimilarItems", _similar(source="led"), "source", 'expected one of pdn, item_interaction, found "led"'),
        ("SimilarItems", _similar(source="pdn", target_type=4), "target_type", "expected none with source pdn"),
        (
            "SimilarItems",
            _similar(source_type=6),
            "source_type",
            "expected a value of InteractionType, 0 to 5, found 6",
        ),
        ("SimilarItems", _similar(target_type=-1), "target_type", "0 to 5, found -1"),
        (
            "SimilarItems",
            _similar(filters=pb.Filters(excluded_item_keys=[""])),
            "filters.excluded_item_keys[0]",
            "expected 1 to 256 bytes",
        ),
        (
            "SimilarItems",
            _similar(country="US", filters=pb.Filters(price=pb.PriceRange())),
            "filters.price",
            "the catalogue of US has no prices",
        ),
        ("SimilarItems", _similar() + b"\x20\x01", "source", "expected wire type length-delimited, found varint"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(full_server: RunningServer, method: str, raw: bytes, field: str, words: str) -> None:
    """INVALID_ARGUMENT with a BadRequest of the field; the connection's next call is answered."""
    with full_server.channel() as channel:
        with pytest.raises(grpc.RpcError) as caught:
            call_raw(channel, raw, method=method)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        status = rpc_status.from_call(caught.value)
        bad_request = error_details_pb2.BadRequest()
        assert status.details[0].Unpack(bad_request)
        (fault,) = [one for one in bad_request.field_violations if one.field == field]
        assert words in fault.description
        raw_reply = call_raw(channel, _batch(GOOD, GOOD), method="RetrieveBatch")
        assert [len(one.candidates) for one in pb.RetrieveBatchResponse.FromString(raw_reply).responses] == [10, 10]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (pb.ItemRef(item_id=12345), "item 12345 is not in the catalogue of FR"),
        (pb.ItemRef(item_key="no such"), "item 'no such' is not in the catalogue of FR"),
    ],
    ids=["id", "key"],
)
def test_an_item_that_there_is_not_is_not_found(full_server: RunningServer, item: pb.ItemRef, words: str) -> None:
    """NOT_FOUND names the item and the country."""
    with full_server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, _similar(item=item), method="SimilarItems")
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, words)


def test_an_unknown_country_in_a_batch_is_named_by_its_place(server: RunningServer) -> None:
    """NOT_FOUND for the whole batch, with the request that is at fault."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, _batch(GOOD, request("ZZ")), method="RetrieveBatch")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "requests[1].country: unknown country 'ZZ'; the bundle has DE, FR, US"
