"""From the domain to the wire: `Answer` → bytes.

Candidates that are only id, score and sources are records of equal length, written by numpy in one go; protobuf joins
concatenated messages, so the rest of the reply follows them, written by `server.written`. The generated classes write
what only some callers ask for.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.answer import Answer, Module, SimilarAnswer, SourceReport
from server.encode_long import long_candidates
from server.written import message, number, text

# A bare Candidate on the wire: field 1 of its response with 19 bytes, item_id as field 1, score as field 2, source_mask
# as field 4.
_RECORD = np.dtype(
    [
        ("tag", "u1"),
        ("length", "u1"),
        ("id_tag", "u1"),
        ("id", "<u8"),
        ("score_tag", "u1"),
        ("score", "<f4"),
        ("mask_tag", "u1"),
        ("mask", "<u4"),
    ]
)
_CANDIDATES_TAG, _ID_TAG, _SCORE_TAG, _MASK_TAG = 0x0A, 0x09, 0x15, 0x25
_RESPONSES_TAG = 0x0A
_RECORD_LENGTH = _RECORD.itemsize - 2


def encode_answer(answer: Answer, bundle_version: str, *, include_details: bool) -> bytes:
    """Serialise a RetrieveResponse; evidence, embeddings and modules are written where the answer has them."""
    candidates: bytes | bytearray
    if include_details or answer.evidence:
        candidates = long_candidates(answer, include_details=include_details)
    else:
        item_ids = answer.country.catalog.item_ids.take(answer.rows)
        candidates = _records(item_ids, answer.scores, answer.source_masks)
    parts = [
        candidates,
        text(0x12, bundle_version),
        number(0x18, answer.fallback),
        number(0x20, answer.unknown_items),
        number(0x28, answer.unused_features),
        *[message(0x32, _report(report)) for report in answer.reports],
        text(0x3A, answer.country.code),
        text(0x42, answer.profile),
        number(0x48, answer.backfilled),
        number(0x50, answer.fuse_us),
    ]
    if answer.embeddings or answer.modules:
        parts.append(_extras(answer, include_details=include_details))
    return b"".join(parts)


def _extras(answer: Answer, *, include_details: bool) -> bytes:
    """What only some callers want, and comes last."""
    found = pb.RetrieveResponse()
    for source, values in answer.embeddings.items():
        found.embeddings.add(source=source, values=values.tolist())
    for module in answer.modules:
        found.modules.append(_module(module, answer.country, include_details=include_details))
    return found.SerializeToString()


def encode_batch(responses: Sequence[bytes]) -> bytes:
    """Serialise a RetrieveBatchResponse of serialised responses."""
    return b"".join([message(_RESPONSES_TAG, response) for response in responses])


def encode_similar(answer: SimilarAnswer, bundle_version: str, *, include_details: bool) -> bytes:
    """Serialise a SimilarItemsResponse."""
    rest = text(0x12, bundle_version) + message(0x1A, _report(answer.report)) + text(0x22, answer.country.code)
    if include_details:
        candidates = _candidates(answer.country, answer.rows, answer.scores, include_details=True)
        return pb.SimilarItemsResponse(candidates=candidates).SerializeToString() + rest
    masks = np.zeros(len(answer.rows), dtype=np.uint32)
    return bytes(_records(answer.country.catalog.item_ids[answer.rows], answer.scores, masks)) + rest


def _records(item_ids: NDArray[np.uint64], scores: NDArray[np.float32], masks: NDArray[np.uint32]) -> bytearray:
    count = len(item_ids)
    written = bytearray(_blanks(count.bit_length())[: count * _RECORD.itemsize])
    records = np.frombuffer(written, dtype=_RECORD)
    records["id"] = item_ids
    records["score"] = scores
    records["mask"] = masks
    return written


@lru_cache
def _blanks(bits: int) -> bytes:
    """Records that lack only their values, fewer than 2**bits, to be copied."""
    records = np.zeros(1 << bits, dtype=_RECORD)
    records["tag"] = _CANDIDATES_TAG
    records["length"] = _RECORD_LENGTH
    records["id_tag"] = _ID_TAG
    records["score_tag"] = _SCORE_TAG
    records["mask_tag"] = _MASK_TAG
    return records.tobytes()


def _candidates(
    country: Country, rows: NDArray[np.int64], scores: NDArray[np.float32], *, include_details: bool
) -> Iterator[pb.Candidate]:
    catalog = country.catalog
    item_ids = catalog.item_ids[rows].tolist()
    for row, item_id, score in zip(rows.tolist(), item_ids, scores.tolist(), strict=True):
        candidate = pb.Candidate(item_id=item_id, score=score)
        if include_details:
            known = catalog.details(row)
            details = pb.ItemDetails(
                item_key=known.item_key, title=known.title, merchant=known.merchant, category=known.category
            )
            candidate.details.CopyFrom(details)
        yield candidate


def _report(report: SourceReport) -> bytes:
    """Write a SourceReport's fields."""
    return b"".join(
        (
            text(0x0A, report.source),
            number(0x10, report.contributed),
            number(0x18, report.encode_us),
            number(0x20, report.search_us),
            text(0x2A, report.method),
            text(0x32, report.plan),
            number(0x38, report.found),
            number(0x40, report.fetched),
            number(0x48, report.degradation),
        )
    )


def _module(module: Module, country: Country, *, include_details: bool) -> pb.Module:
    return pb.Module(
        because=_explained(country, module.trigger_row, module.source_type),
        target_type=pb.InteractionType.Name(module.target_type),
        candidates=_candidates(country, module.rows, module.scores, include_details=include_details),
    )


def _explained(country: Country, row: int, kind: int) -> pb.ExplainedItem:
    catalog = country.catalog
    return pb.ExplainedItem(
        item_id=int(catalog.item_ids[row]), type=pb.InteractionType.Name(kind), title=catalog.details(row).title
    )
