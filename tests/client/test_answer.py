"""Replies read as arrays are what the generated class reads."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from protos.retrieval.v1 import retrieval_pb2 as pb
from shortlist.client.answer import answer_of

_IDS = st.integers(0, 2**64 - 1)
_CANDIDATES = st.builds(
    pb.Candidate,
    item_id=_IDS,
    score=st.floats(width=32, allow_nan=False),
    source_mask=st.integers(0, 2**32 - 1),
    details=st.none() | st.builds(pb.ItemDetails, title=st.text(max_size=5)),
)
_RESPONSES = st.builds(
    pb.RetrieveResponse,
    candidates=st.lists(_CANDIDATES, max_size=12),
    bundle_version=st.text(max_size=5),
    country=st.text(max_size=3),
    fuse_us=st.integers(0, 2**32 - 1),
)


@given(_RESPONSES)
def test_a_reply_reads_as_the_generated_class_reads_it(response: pb.RetrieveResponse) -> None:
    """Ids, scores and masks of any mixture of plain and detailed candidates, in order, and the rest of the reply."""
    answer = answer_of(response.SerializeToString())
    assert answer.item_ids.tolist() == [each.item_id for each in response.candidates]
    assert answer.scores.tolist() == [each.score for each in response.candidates]
    assert answer.source_masks.tolist() == [each.source_mask for each in response.candidates]
    assert (answer.item_ids.dtype, answer.scores.dtype) == (np.uint64, np.float32)
    assert (answer.bundle_version, answer.country) == (response.bundle_version, response.country)
    assert answer.message.fuse_us == response.fuse_us


def test_masks_name_the_sources() -> None:
    """`found_by` follows the order of the reports; a source that was not asked found nothing."""
    response = pb.RetrieveResponse(
        candidates=[
            pb.Candidate(item_id=1, score=2, source_mask=1),
            pb.Candidate(item_id=2, score=1, source_mask=3),
        ],
        sources=[pb.SourceReport(source="led"), pb.SourceReport(source="pdn", degradation=pb.DEGRADATION_EXHAUSTED)],
    )
    answer = answer_of(response.SerializeToString())
    assert answer.found_by("led").tolist() == [True, True]
    assert answer.found_by("pdn").tolist() == [False, True]
    assert answer.found_by("popular").tolist() == [False, False]
    assert [report.degradation for report in answer.sources] == ["", "EXHAUSTED"]
