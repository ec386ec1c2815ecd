"""Between wire and domain: the fast encoder against the generated classes, and decoding into arrays."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.convert import Limits, decode_query, encode_answer
from server.retrieval import Answer, Fallback
from server.wire import find_faults

LIMITS = Limits(max_k=100, max_history=50)

interactions = st.builds(
    pb.Interaction,
    type=st.integers(0, 5),
    timestamp_ms=st.integers(0, 2**63 - 1),
).flatmap(
    lambda base: st.one_of(
        st.integers(0, 2**64 - 1).map(lambda i: _item(base, item_id=i)),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).map(
            lambda key: _item(base, item_key=key)
        ),
    )
)


def _item(base: pb.Interaction, **item: object) -> pb.Interaction:
    made = pb.Interaction(**item)
    made.MergeFrom(base)
    return made


@given(
    ids=hnp.arrays(np.uint64, st.integers(0, 50)),
    data=st.data(),
    fallback=st.sampled_from(Fallback),
    numbers=st.tuples(*[st.integers(0, 2**32 - 1)] * 4),
)
def test_the_fast_reply_equals_the_generated_one(
    ids: np.ndarray, data: st.DataObject, fallback: Fallback, numbers: tuple[int, int, int, int]
) -> None:
    """Records written by numpy parse to the message that the generated class would build."""
    scores = data.draw(hnp.arrays(np.float32, len(ids), elements=st.floats(-1e6, 1e6, width=32)))
    country = SimpleNamespace(catalog=SimpleNamespace(item_ids=ids))
    answer = Answer(
        country=country,  # type: ignore[arg-type] # only the ids are needed
        rows=np.arange(len(ids), dtype=np.int64),
        scores=scores,
        fallback=fallback,
        unknown_items=numbers[0],
        unused_features=numbers[1],
        method="hnsw",
        encode_us=numbers[2],
        search_us=numbers[3],
    )
    expected = pb.RetrieveResponse(
        candidates=[pb.Candidate(item_id=int(i), score=s) for i, s in zip(ids, scores.tolist(), strict=True)],
        bundle_version="v9",
        fallback=int(fallback),
        unknown_items=numbers[0],
        unused_features=numbers[1],
        sources=[
            pb.SourceReport(
                source="led", candidates=len(ids), encode_us=numbers[2], search_us=numbers[3], method="hnsw"
            )
        ],
    )
    assert pb.RetrieveResponse.FromString(encode_answer(answer, "v9", include_details=False)) == expected


@given(history=st.lists(interactions, max_size=50), exclude=st.booleans(), details=st.booleans(), k=st.integers(1, 100))
def test_good_requests_decode_to_what_they_say(
    history: list[pb.Interaction], *, exclude: bool, details: bool, k: int
) -> None:
    """Every valid request is accepted, and the query has its values in its order."""
    request = pb.RetrieveRequest(
        country="FR", history=history, k=k, exclude_history=exclude, include_item_details=details
    )
    query = decode_query(request.SerializeToString(), LIMITS)
    assert (query.country, query.k, query.exclude_history, query.include_details) == ("FR", k, exclude, details)
    assert query.history.length == len(history)
    rebuilt: dict[int, object] = dict(
        zip(query.history.id_positions.tolist(), query.history.item_ids.tolist(), strict=True)
    )
    rebuilt |= dict(zip(query.history.key_positions.tolist(), query.history.keys, strict=True))
    assert [rebuilt[i] for i in range(len(history))] == [
        one.item_id if one.HasField("item_id") else one.item_key for one in history
    ]


@given(st.lists(interactions, max_size=20), st.dictionaries(st.text(max_size=5), st.floats(), max_size=5))
def test_the_walk_finds_no_fault_in_what_protobuf_writes(
    history: list[pb.Interaction], features: dict[str, float]
) -> None:
    """A serialised message is always well formed, whatever its values."""
    request = pb.RetrieveRequest(
        country="FR", history=history, k=2**32 - 1, features={n: pb.FeatureValue(number=v) for n, v in features.items()}
    )
    assert find_faults(request.SerializeToString(), pb.RetrieveRequest.DESCRIPTOR, 10_000) == []


def test_explicit_defaults_and_repeated_fields_are_no_faults() -> None:
    """What other writers may emit is accepted: defaults on the wire, a field twice, long varints."""
    raw = b"\x0a\x02DE" + b"\x0a\x02FR" + b"\x20\x00" + b"\x30\x80\x80\x00" + b"\x18\x05\x18\x87\x00"
    query = decode_query(raw, LIMITS)
    assert (query.country, query.k, query.exclude_history) == ("FR", 7, False)
