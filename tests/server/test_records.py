"""Histories read as records: never anything else than what the generated class reads, whatever the bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.retrieval.v1 import retrieval_pb2 as pb
from server import decode
from server.decode import decode_query
from server.limits import Limits
from server.query import Query
from server.records import read_history
from server.violations import InvalidRequestError

LIMITS = Limits(max_k=100, max_history=12, max_excluded=40)
NOW_MS = 1_700_000_000_000
YEAR_2109_MS = 2**42

ids = st.integers(0, 2**64 - 1)
usual_times = st.integers(2**35, YEAR_2109_MS - 1)
any_times = st.one_of(st.just(0), usual_times, st.integers(-1, 2**63 - 1))
usual = st.tuples(st.booleans(), st.booleans()).flatmap(
    lambda has: st.lists(
        st.builds(
            pb.Interaction,
            item_id=ids,
            type=st.integers(1, 5) if has[0] else st.just(0),
            timestamp_ms=usual_times if has[1] else st.just(0),
        ),
        max_size=13,
    )
)
unusual = st.lists(
    st.one_of(
        st.builds(pb.Interaction, item_id=ids, type=st.integers(-1, 7), timestamp_ms=any_times),
        st.builds(pb.Interaction, item_key=st.text("aé", max_size=8), timestamp_ms=any_times),
    ),
    max_size=13,
)
requests = st.builds(
    pb.RetrieveRequest,
    country=st.sampled_from(["FR", "FR", "", "x" * 33, "D E"]),
    history=usual | unusual | st.builds(list.__add__, usual, unusual),
    k=st.sampled_from([1, 100, 0, 101]),
    exclude_history=st.booleans(),
    timestamp_ms=st.sampled_from([0, 0, NOW_MS, -1]),
    features=st.dictionaries(st.just("age"), st.builds(pb.FeatureValue, number=st.floats()), max_size=1),
    profile=st.sampled_from(["", "home"]),
    filters=st.none() | st.builds(pb.Filters, excluded_item_ids=st.lists(ids, max_size=41)),
)
# an unknown number, a country again, an interaction again, the beginning of one, k again, the end of nothing
parts = st.sampled_from(
    [b"\xa2\x06\x01x", b"\x0a\x02DE", b"\x12\x09\x09" + b"\1" * 8, b"\x12\x12\x09", b"\x18\x07", b"\x80"]
)


def _read(raw: bytes) -> object:
    """All that a decoded request says, or what is wrong with it."""
    try:
        query = decode_query(raw, LIMITS, NOW_MS)
    except InvalidRequestError as error:
        return error.violations
    return _told(query)


def _told(query: Query) -> list[object]:
    history, items = query.history, query.history.items
    lists = (items.item_ids, items.id_positions, items.key_positions, history.types, history.times_ms)
    told: list[object] = [(values.dtype, values.tolist()) for values in (*lists, query.filters.excluded.item_ids)]
    rest = [query.country, query.k, query.time_ms, query.exclude_history, repr(query.features), query.profile]
    return [*told, items.length, items.keys, *rest]


def _read_by_class(raw: bytes) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "read_history", lambda *_: None)
        return _read(raw)


@given(request=requests)
def test_what_a_client_writes_is_read_as_the_generated_class_reads_it(request: pb.RetrieveRequest) -> None:
    """Any combination of fields, right or wrong."""
    raw = request.SerializeToString()
    assert _read(raw) == _read_by_class(raw)


@given(request=requests, data=st.data())
def test_bytes_that_no_client_should_write_are_read_alike(request: pb.RetrieveRequest, data: st.DataObject) -> None:
    """Unknown and repeated fields anywhere, other orders, ends cut off, bytes changed."""
    raw = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(raw)))
        raw[place:place] = data.draw(parts)
    if raw and data.draw(st.booleans()):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.sampled_from([0, 0, 1, 2, 21]))
    found = bytes(raw[: len(raw) - cut])
    assert _read(found) == _read_by_class(found)


@given(request=requests, data=st.data())
def test_fields_in_any_order_are_read_alike(request: pb.RetrieveRequest, data: st.DataObject) -> None:
    """Serialised one field at a time, and joined in another order."""
    fields = []
    for descriptor, value in request.ListFields():
        one = pb.RetrieveRequest()
        one.MergeFrom(request)
        for other, _ in request.ListFields():
            if other.name != descriptor.name:
                one.ClearField(other.name)
        assert value is not None
        fields.append(one.SerializeToString())
    raw = b"".join(data.draw(st.permutations(fields)))
    assert _read(raw) == _read_by_class(raw)


@given(history=usual.filter(lambda history: 0 < len(history) <= LIMITS.max_history))
def test_usual_histories_are_read_as_records(history: list[pb.Interaction]) -> None:
    """With and without types and times, up to the limit: the short way is the one that is taken."""
    raw = pb.RetrieveRequest(country="FR", k=10, history=history, exclude_history=True).SerializeToString()
    found = read_history(raw, LIMITS.max_history)
    assert found is not None
    start, end, read = found
    assert raw[:start] + raw[end:] == pb.RetrieveRequest(country="FR", k=10, exclude_history=True).SerializeToString()
    assert read.items.item_ids.tolist() == [each.item_id for each in history]
    assert read.types.tolist() == [each.type for each in history]
    assert read.times_ms.tolist() == [each.timestamp_ms for each in history]


def test_times_at_both_ends_of_six_bytes_are_exact() -> None:
    """The first and the last millisecond that six bytes hold, and those beside them."""
    times = [2**35, 2**35 + 1, YEAR_2109_MS - 2, YEAR_2109_MS - 1, NOW_MS]
    history = [pb.Interaction(item_id=7, type=1, timestamp_ms=time) for time in times]
    found = read_history(pb.RetrieveRequest(country="FR", history=history).SerializeToString(), 10)
    assert found is not None
    assert found[2].times_ms.tolist() == times
    for time in (2**35 - 1, YEAR_2109_MS):
        other = [pb.Interaction(item_id=7, type=1, timestamp_ms=time)]
        assert read_history(pb.RetrieveRequest(country="FR", history=other).SerializeToString(), 10) is None


def test_requests_without_a_time_get_the_clocks_though_they_are_remembered() -> None:
    """Two calls with the same bytes at different times."""
    raw = pb.RetrieveRequest(country="FR", k=3, history=[pb.Interaction(item_id=1)]).SerializeToString()
    assert [decode_query(raw, LIMITS, now).time_ms for now in (5, 6)] == [5, 6]


def test_the_places_of_items_cannot_be_written_to() -> None:
    """They are shared by all requests of one length."""
    raw = pb.RetrieveRequest(country="FR", k=3, history=[pb.Interaction(item_id=1)]).SerializeToString()
    with pytest.raises(ValueError, match="read-only"):
        decode_query(raw, LIMITS, NOW_MS).history.items.id_positions[:] = np.int64(3)
