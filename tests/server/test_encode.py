"""From domain to wire: the records written by numpy against the generated classes, and what else a reply carries."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from index_store.arrays import StringTable
from index_store.catalog import Catalog
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.answer import Answer, Degradation, Fallback, Module, Path, SimilarAnswer, SourceEvidence, SourceReport
from server.encode import encode_answer, encode_batch, encode_similar

numbers = st.integers(0, 2**32 - 1)
reports = st.builds(
    SourceReport,
    source=st.sampled_from(["led", "pdn", "popular"]),
    method=st.sampled_from(["", "hnsw", "paths"]),
    plan=st.sampled_from(["", "none", "mask"]),
    found=numbers,
    contributed=numbers,
    fetched=numbers,
    encode_us=numbers,
    search_us=numbers,
    degradation=st.sampled_from(Degradation),
)


def _country(item_ids: Sequence[int] | NDArray[np.uint64]) -> Any:  # noqa: ANN401 - as much of a country as is used
    return SimpleNamespace(code="FR", catalog=_catalog(item_ids))


def _catalog(item_ids: Sequence[int] | NDArray[np.uint64]) -> Catalog:
    table = StringTable.of([f"title {row}" for row in range(len(item_ids))])
    return Catalog(np.array(item_ids, dtype=np.uint64), np.ones(len(item_ids), dtype=np.int64), {"titles": table})


def _answer(item_ids: Sequence[int] | NDArray[np.uint64], **changed: object) -> Answer:
    count = len(item_ids)
    fields: dict[str, Any] = {
        "country": _country(item_ids),
        "profile": "default",
        "rows": np.arange(count, dtype=np.int64),
        "scores": np.linspace(2, 1, count, dtype=np.float32),
        "source_masks": np.ones(count, dtype=np.uint32),
        "reports": (),
        "fallback": Fallback.NONE,
        "unknown_items": 0,
        "unused_features": 0,
        "backfilled": 0,
        "fuse_us": 0,
    }
    return Answer(**{**fields, **changed})


def _generated(report: SourceReport) -> pb.SourceReport:
    return pb.SourceReport(
        source=report.source,
        candidates=report.contributed,
        encode_us=report.encode_us,
        search_us=report.search_us,
        method=report.method,
        plan=report.plan,
        found=report.found,
        fetched=report.fetched,
        degradation=int(report.degradation),  # type: ignore[arg-type] # an enum's number is its value
    )


@given(
    item_ids=hnp.arrays(np.uint64, st.integers(0, 60), unique=True),
    data=st.data(),
    made=st.lists(reports, max_size=5),
    counts=st.tuples(*[numbers] * 4),
    fallback=st.sampled_from(Fallback),
)
def test_the_fast_reply_is_the_generated_one(
    item_ids: NDArray[np.uint64],
    data: st.DataObject,
    made: list[SourceReport],
    counts: tuple[int, int, int, int],
    fallback: Fallback,
) -> None:
    """Byte for byte what the generated class writes; where it leaves out zeros, still the same message."""
    scores = data.draw(hnp.arrays(np.float32, len(item_ids), elements=st.floats(-1e6, 1e6, width=32)))
    masks = data.draw(hnp.arrays(np.uint32, len(item_ids)))
    answer = _answer(
        item_ids,
        scores=scores,
        source_masks=masks,
        reports=tuple(made),
        fallback=fallback,
        unknown_items=counts[0],
        unused_features=counts[1],
        backfilled=counts[2],
        fuse_us=counts[3],
    )
    expected = pb.RetrieveResponse(
        candidates=[
            pb.Candidate(item_id=item_id, score=score, source_mask=mask)
            for item_id, score, mask in zip(item_ids.tolist(), scores.tolist(), masks.tolist(), strict=True)
        ],
        bundle_version="v9",
        fallback=int(fallback),  # type: ignore[arg-type] # as above
        unknown_items=counts[0],
        unused_features=counts[1],
        sources=[_generated(report) for report in made],
        country="FR",
        profile="default",
        backfilled=counts[2],
        fuse_us=counts[3],
    )
    raw = encode_answer(answer, "v9", include_details=False)
    assert pb.RetrieveResponse.FromString(raw) == expected
    if item_ids.all() and scores.all() and masks.all():
        assert raw == expected.SerializeToString()


floats = st.floats(-1e6, 1e6, width=32)
types = st.integers(0, 5)
rows = st.integers(0, 2)
paths = st.builds(Path, rows, types, floats, floats, floats)
pieces = st.builds(
    SourceEvidence,
    source=st.sampled_from(["led", "pdn", "item_interaction"]),
    rank=st.integers(0, 2**31),
    score=floats,
    history_row=st.integers(-1, 2),
    history_type=types,
    target_type=types,
    contribution=floats,
    direct=floats,
    paths=st.lists(paths, max_size=3).map(tuple),
)


def _item(row: int, kind: int) -> pb.ExplainedItem:
    return pb.ExplainedItem(item_id=10 + row, type=kind, title=f"title {row}")  # type: ignore[arg-type] # as above


def _piece(evidence: SourceEvidence) -> pb.Evidence:
    return pb.Evidence(
        source=evidence.source,
        rank=evidence.rank + 1,
        score=evidence.score,
        because=_item(evidence.history_row, evidence.history_type) if evidence.history_row >= 0 else None,
        contribution=evidence.contribution,
        target_type=evidence.target_type,  # type: ignore[arg-type] # as above
        paths=[
            pb.Path(
                trigger=_item(path.trigger_row, path.trigger_type),
                weight=path.weight,
                similarity=path.similarity,
                contribution=path.contribution,
            )
            for path in evidence.paths
        ],
        direct=evidence.direct,
    )


@given(found=st.tuples(*[st.lists(pieces, max_size=3).map(tuple)] * 3), details=st.booleans())
def test_details_and_evidence_are_what_the_generated_class_reads(
    found: tuple[tuple[SourceEvidence, ...], ...],
    details: bool,  # noqa: FBT001 - drawn
) -> None:
    """Any evidence, with and without details: the same message, zeros or not."""
    answer = _answer([10, 11, 12], evidence=found)
    expected = [
        pb.Candidate(
            item_id=10 + place,
            score=float(answer.scores[place]),
            source_mask=1,
            details=pb.ItemDetails(title=f"title {place}") if details else None,
            evidence=[_piece(each) for each in own],
        )
        for place, own in enumerate(found)
    ]
    reply = pb.RetrieveResponse.FromString(encode_answer(answer, "v9", include_details=details))
    assert list(reply.candidates) == expected


def test_no_candidates_are_no_bytes() -> None:
    """An answer without a row is the rest of the message alone."""
    raw = encode_answer(_answer([]), "v9", include_details=False)
    assert raw == pb.RetrieveResponse(bundle_version="v9", country="FR", profile="default").SerializeToString()


def test_evidence_names_items_with_their_titles() -> None:
    """Ranks count from 1, rows become ids and titles, and an item that there is not stays away."""
    path = Path(trigger_row=1, trigger_type=5, weight=0.5, similarity=-1.0, contribution=0.25)
    pieces = (
        SourceEvidence("led", 0, 2.0, history_row=1, history_type=1, contribution=0.75),
        SourceEvidence("pdn", 4, 0.75, direct=0.5, paths=(path,)),
        SourceEvidence("item_interaction", 2, 0.9, history_row=2, history_type=1, target_type=4),
        SourceEvidence("popular", 9, 100.0),
    )
    raw = encode_answer(_answer([10, 11, 12], evidence=(pieces, (), ())), "v9", include_details=False)
    first, *others = pb.RetrieveResponse.FromString(raw).candidates
    led, pdn, pairs, popular = first.evidence
    assert (led.source, led.rank, led.score, led.contribution) == ("led", 1, 2.0, 0.75)
    assert led.because == pb.ExplainedItem(item_id=11, type=pb.INTERACTION_TYPE_VIEW, title="title 1")
    assert pdn.paths[0].trigger == pb.ExplainedItem(item_id=11, type=pb.INTERACTION_TYPE_PURCHASE, title="title 1")
    assert (pdn.direct, pdn.paths[0].weight, pdn.paths[0].similarity, pdn.paths[0].contribution) == (0.5, 0.5, -1, 0.25)
    assert (pairs.because.item_id, pairs.target_type) == (12, pb.INTERACTION_TYPE_CART)
    assert (popular.rank, popular.HasField("because")) == (10, False)
    assert [one.item_id for one in others] == [11, 12]
    assert not any(one.evidence for one in others)


def test_embeddings_and_modules_are_named() -> None:
    """A vector per source, and lists that say because of what they are shown."""
    module = Module(0, 1, 4, np.array([2, 1]), np.array([0.5, 0.25], dtype=np.float32))
    vector = np.array([1.5, -2.0], dtype=np.float32)
    answer = _answer([10, 11, 12], embeddings={"led": vector}, modules=(module,))
    plain, detailed = (
        pb.RetrieveResponse.FromString(encode_answer(answer, "v9", include_details=details))
        for details in (False, True)
    )
    assert [(one.source, list(one.values)) for one in plain.embeddings] == [("led", [1.5, -2.0])]
    (found,) = plain.modules
    assert (found.because.title, found.because.type, found.target_type) == ("title 0", 1, 4)
    assert [(one.item_id, one.score, one.details.title) for one in found.candidates] == [(12, 0.5, ""), (11, 0.25, "")]
    assert [one.details.title for one in detailed.modules[0].candidates] == ["title 2", "title 1"]
    assert [one.details.title for one in detailed.candidates] == ["title 0", "title 1", "title 2"]


@pytest.mark.parametrize("sizes", [[0], [1, 0, 5], [400, 2]], ids=str)
def test_a_batch_is_its_responses_in_order(sizes: list[int]) -> None:
    """Lengths of one byte and of more frame the responses as the generated class does."""
    raws = [encode_answer(_answer(range(1, size + 1)), "v9", include_details=False) for size in sizes]
    expected = pb.RetrieveBatchResponse(responses=[pb.RetrieveResponse.FromString(raw) for raw in raws])
    assert encode_batch(raws) == expected.SerializeToString()


@pytest.mark.parametrize("details", [False, True])
def test_similar_items_carry_their_one_report(*, details: bool) -> None:
    """Ids and scores, titles on request, and which neighbourhood answered."""
    report = SourceReport("pdn", "neighbours", "none", 2, 2, 2, 0, 5, Degradation.EXHAUSTED)
    answer = SimilarAnswer(_country([7, 8]), np.array([1, 0]), np.array([0.5, 0.25], dtype=np.float32), report)
    reply = pb.SimilarItemsResponse.FromString(encode_similar(answer, "v9", include_details=details))
    assert [(one.item_id, one.score) for one in reply.candidates] == [(8, 0.5), (7, 0.25)]
    assert [one.HasField("details") for one in reply.candidates] == [details, details]
    assert (reply.bundle_version, reply.source) == ("v9", _generated(report))
    assert reply.country == answer.country.code
