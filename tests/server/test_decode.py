"""From wire to domain: every valid request is taken for what it says, whoever wrote its bytes."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.decode import decode_batch, decode_query, decode_similar
from server.limits import Limits
from server.query import ItemRefs, Query
from server.violations import InvalidRequestError
from server.wire import find_faults

LIMITS = Limits(max_k=100, max_history=50, max_excluded=40, max_batch=5)
NOW_MS = 1_700_000_000_000

ids = st.integers(0, 2**64 - 1)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
items = st.one_of(
    st.builds(pb.ItemRef, item_id=ids),
    st.builds(pb.ItemRef, item_key=keys),
)


def _interaction(item: pb.ItemRef, kind: int, time_ms: int) -> pb.Interaction:
    if item.HasField("item_id"):
        return pb.Interaction(item_id=item.item_id, type=kind, timestamp_ms=time_ms)
    return pb.Interaction(item_key=item.item_key, type=kind, timestamp_ms=time_ms)


interactions = st.builds(_interaction, items, st.integers(0, 5), st.integers(0, 2**63 - 1))
prices = st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)).map(sorted)
filters = st.builds(
    pb.Filters,
    merchants=st.lists(names, max_size=4),
    categories=st.lists(names, max_size=4),
    price=st.none() | prices.map(lambda ends: pb.PriceRange(lowest=ends[0], highest=ends[1])),
    excluded_item_ids=st.lists(ids, max_size=20),
    excluded_item_keys=st.lists(keys, max_size=20),
)
features = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=16),
    st.one_of(
        st.builds(pb.FeatureValue, number=st.floats(allow_nan=False, allow_infinity=False)),
        st.builds(pb.FeatureValue, category=names),
    ),
    max_size=5,
)
sources = st.sampled_from(["led", "two_tower", "pdn", "item_interaction", "similar", "popular"])
requests = st.builds(
    pb.RetrieveRequest,
    country=st.just("FR"),
    history=st.lists(interactions, max_size=50),
    k=st.integers(1, 100),
    exclude_history=st.booleans(),
    features=features,
    include_item_details=st.booleans(),
    timestamp_ms=st.integers(0, 2**63 - 1),
    profile=names,
    seed_item=st.none() | items,
    filters=st.none() | filters,
    source_quotas=st.dictionaries(sources, st.integers(0, 100)),
    explain=st.booleans(),
    return_embedding=st.booleans(),
    include_modules=st.booleans(),
)


def _in_order(refs: ItemRefs) -> list[object]:
    """List ids and keys as they were sent."""
    rebuilt: dict[int, object] = dict(zip(refs.id_positions.tolist(), refs.item_ids.tolist(), strict=True))
    rebuilt |= dict(zip(refs.key_positions.tolist(), refs.keys, strict=True))
    return [rebuilt[position] for position in range(refs.length)]


def _named(item: pb.ItemRef | pb.Interaction) -> object:
    return item.item_id if item.HasField("item_id") else item.item_key


def _says(query: Query, request: pb.RetrieveRequest) -> None:
    assert (query.country, query.k, query.profile) == (request.country, request.k, request.profile)
    assert query.time_ms == (request.timestamp_ms or NOW_MS)
    flags = (query.exclude_history, query.include_details, query.explain, query.return_embedding, query.include_modules)
    assert flags == (
        request.exclude_history,
        request.include_item_details,
        request.explain,
        request.return_embedding,
        request.include_modules,
    )
    assert _in_order(query.history.items) == [_named(one) for one in request.history]
    assert query.history.types.tolist() == [one.type for one in request.history]
    assert query.history.times_ms.tolist() == [one.timestamp_ms for one in request.history]
    assert query.features == {
        name: value.category if value.HasField("category") else value.number for name, value in request.features.items()
    }
    assert query.quotas == dict(request.source_quotas)
    assert _in_order(query.seed) == ([_named(request.seed_item)] if request.HasField("seed_item") else [])
    wanted = request.filters
    assert (query.filters.merchants, query.filters.categories) == (tuple(wanted.merchants), tuple(wanted.categories))
    price = (wanted.price.lowest, wanted.price.highest) if wanted.HasField("price") else None
    assert query.filters.price == price
    assert _in_order(query.filters.excluded) == [*wanted.excluded_item_ids, *wanted.excluded_item_keys]
    assert query.filters.excluded.item_ids.dtype == np.uint64


@given(requests)
def test_good_requests_decode_to_what_they_say(request: pb.RetrieveRequest) -> None:
    """Every valid request is accepted, and the query has its values in their order."""
    _says(decode_query(request.SerializeToString(), LIMITS, NOW_MS), request)


@given(st.lists(requests, min_size=1, max_size=5))
def test_a_batch_is_its_requests_in_order(batch: list[pb.RetrieveRequest]) -> None:
    """Each request of a batch means what it means alone."""
    raw = pb.RetrieveBatchRequest(requests=batch).SerializeToString()
    for query, request in zip(decode_batch(raw, LIMITS, NOW_MS), batch, strict=True):
        _says(query, request)


@given(requests)
def test_the_walk_finds_no_fault_in_what_protobuf_writes(request: pb.RetrieveRequest) -> None:
    """A serialised message is always well formed, whatever its values."""
    assert find_faults(request.SerializeToString(), pb.RetrieveRequest.DESCRIPTOR, 10_000) == []


def test_a_similar_request_decodes_to_what_it_says() -> None:
    """Item, source, types and filters arrive."""
    request = pb.SimilarItemsRequest(
        country="FR",
        item=pb.ItemRef(item_key="a"),
        k=7,
        source="item_interaction",
        source_type=pb.INTERACTION_TYPE_VIEW,
        target_type=pb.INTERACTION_TYPE_CART,
        filters=pb.Filters(merchants=["m"], excluded_item_ids=[3]),
        include_item_details=True,
    )
    query = decode_similar(request.SerializeToString(), LIMITS)
    assert (query.country, _in_order(query.item), query.k, query.source) == ("FR", ["a"], 7, "item_interaction")
    assert (query.source_type, query.target_type, query.include_details) == (1, 4, True)
    assert (query.filters.merchants, _in_order(query.filters.excluded)) == (("m",), [3])


def test_explicit_defaults_and_repeated_fields_are_no_faults() -> None:
    """What other writers may emit is accepted: defaults on the wire, a field twice, long varints."""
    raw = b"\x0a\x02DE" + b"\x0a\x02FR" + b"\x20\x00" + b"\x30\x80\x80\x00" + b"\x18\x05\x18\x87\x00"
    query = decode_query(raw, LIMITS, NOW_MS)
    assert (query.country, query.k, query.exclude_history) == ("FR", 7, False)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_excluded_ids_may_come_one_by_one(count: int) -> None:
    """A writer that does not pack repeated numbers is read all the same."""
    alone = b"".join(b"\x21" + struct.pack("<Q", number) for number in range(1, count + 1))
    raw = b"\x0a\x02FR\x18\x05\x52" + bytes([len(alone) & 0x7F | 0x80, len(alone) >> 7]) + alone
    assert decode_query(raw, LIMITS, NOW_MS).filters.excluded.item_ids.tolist() == list(range(1, count + 1))


def test_a_quota_of_zero_may_be_left_out_of_its_entry() -> None:
    """A map entry without a value means 0, as protobuf has it."""
    entry = b"\x0a\x03led"
    raw = b"\x0a\x02FR\x18\x05" + b"\x5a" + bytes([len(entry)]) + entry
    assert decode_query(raw, LIMITS, NOW_MS).quotas == {"led": 0}


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (pb.PriceRange(), (-math.inf, math.inf)),
        (pb.PriceRange(lowest=0.0), (0.0, math.inf)),
        (pb.PriceRange(highest=0.0), (-math.inf, 0.0)),
        (pb.PriceRange(lowest=2.0, highest=2.0), (2.0, 2.0)),
    ],
    ids=["both open", "from zero", "to zero", "one price"],
)
def test_ends_of_a_price_range_may_be_open(price: pb.PriceRange, expected: tuple[float, float]) -> None:
    """An end that is not given is open, and an end of 0 is not one that is not given."""
    request = pb.RetrieveRequest(country="FR", k=1, filters=pb.Filters(price=price))
    assert decode_query(request.SerializeToString(), LIMITS, NOW_MS).filters.price == expected


def test_thousands_of_excluded_ids_arrive_in_order() -> None:
    """The packed field is read as one array, beside other filters."""
    wanted = np.random.default_rng(3).integers(0, 2**64, size=20_000, dtype=np.uint64)
    request = pb.RetrieveRequest(
        country="FR",
        k=1,
        filters=pb.Filters(
            merchants=["m"],
            categories=["c"],
            price=pb.PriceRange(lowest=1.0),
            excluded_item_ids=wanted.tolist(),
            excluded_item_keys=["a", "b"],
        ),
    )
    found = decode_query(request.SerializeToString(), Limits(1, 1, 20_002), NOW_MS).filters
    np.testing.assert_array_equal(found.excluded.item_ids, wanted)
    assert (found.merchants, found.categories, found.excluded.keys) == (("m",), ("c",), ("a", "b"))
    assert found.excluded.key_positions.tolist() == [20_000, 20_001]


def test_faults_of_a_batch_have_their_request_in_the_path() -> None:
    """The third request's k is `requests[2].k`; the faults of all requests come in one answer."""
    good = pb.RetrieveRequest(country="FR", k=1)
    bad = pb.RetrieveRequest(country="FR", filters=pb.Filters(excluded_item_keys=[""]))
    with pytest.raises(InvalidRequestError) as caught:
        decode_batch(pb.RetrieveBatchRequest(requests=[good, bad, bad]).SerializeToString(), LIMITS, NOW_MS)
    assert [fault.field for fault in caught.value.violations] == [
        "requests[1].k",
        "requests[1].filters.excluded_item_keys[0]",
        "requests[2].k",
        "requests[2].filters.excluded_item_keys[0]",
    ]
