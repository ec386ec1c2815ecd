"""From the domain to the wire: `Answer` → bytes.

Candidates that are only id, score and sources are records of equal length, written by numpy in one go; protobuf joins
concatenated messages, so the rest of the reply follows them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.answer import Answer, Module, Path, SimilarAnswer, SourceEvidence, SourceReport

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
_RESPONSES_TAG = b"\x0a"
_RECORD_LENGTH = _RECORD.itemsize - 2


def encode_answer(answer: Answer, bundle_version: str, *, include_details: bool) -> bytes:
    """Serialise a RetrieveResponse; evidence, embeddings and modules are written where the answer has them."""
    catalog = answer.country.catalog
    rest = pb.RetrieveResponse(
        bundle_version=bundle_version,
        fallback=pb.Fallback.Name(answer.fallback),
        unknown_items=answer.unknown_items,
        unused_features=answer.unused_features,
        sources=[_report(report) for report in answer.reports],
        country=answer.country.code,
        profile=answer.profile,
        backfilled=answer.backfilled,
        fuse_us=answer.fuse_us,
    )
    for source, values in answer.embeddings.items():
        rest.embeddings.add(source=source, values=values.tolist())
    for module in answer.modules:
        rest.modules.append(_module(module, answer.country, include_details=include_details))
    if not include_details and not answer.evidence:
        return _records(catalog.item_ids[answer.rows], answer.scores, answer.source_masks) + rest.SerializeToString()
    candidates = _candidates(answer.country, answer.rows, answer.scores, include_details=include_details)
    for place, candidate in enumerate(candidates):
        candidate.source_mask = int(answer.source_masks[place])
        if answer.evidence:
            candidate.evidence.extend(_evidence(each, answer.country) for each in answer.evidence[place])
        rest.candidates.append(candidate)
    return rest.SerializeToString()


def encode_batch(responses: Sequence[bytes]) -> bytes:
    """Serialise a RetrieveBatchResponse of serialised responses."""
    return b"".join(part for response in responses for part in (_RESPONSES_TAG, _varint(len(response)), response))


def encode_similar(answer: SimilarAnswer, bundle_version: str, *, include_details: bool) -> bytes:
    """Serialise a SimilarItemsResponse."""
    rest = pb.SimilarItemsResponse(
        bundle_version=bundle_version, source=_report(answer.report), country=answer.country.code
    )
    if include_details:
        rest.candidates.extend(_candidates(answer.country, answer.rows, answer.scores, include_details=True))
        return rest.SerializeToString()
    masks = np.zeros(len(answer.rows), dtype=np.uint32)
    return _records(answer.country.catalog.item_ids[answer.rows], answer.scores, masks) + rest.SerializeToString()


def _records(item_ids: NDArray[np.uint64], scores: NDArray[np.float32], masks: NDArray[np.uint32]) -> bytes:
    records = np.empty(len(item_ids), dtype=_RECORD)
    records["tag"] = _CANDIDATES_TAG
    records["length"] = _RECORD_LENGTH
    records["id_tag"] = _ID_TAG
    records["id"] = item_ids
    records["score_tag"] = _SCORE_TAG
    records["score"] = scores
    records["mask_tag"] = _MASK_TAG
    records["mask"] = masks
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


def _report(report: SourceReport) -> pb.SourceReport:
    return pb.SourceReport(
        source=report.source,
        candidates=report.contributed,
        encode_us=report.encode_us,
        search_us=report.search_us,
        method=report.method,
        plan=report.plan,
        found=report.found,
        fetched=report.fetched,
        degradation=pb.Degradation.Name(report.degradation),
    )


def _evidence(evidence: SourceEvidence, country: Country) -> pb.Evidence:
    because = None
    if evidence.history_row >= 0:
        because = _explained(country, evidence.history_row, evidence.history_type)
    return pb.Evidence(
        source=evidence.source,
        rank=evidence.rank + 1,
        score=evidence.score,
        because=because,
        contribution=evidence.contribution,
        target_type=pb.InteractionType.Name(evidence.target_type),
        paths=[_path(path, country) for path in evidence.paths],
        direct=evidence.direct,
    )


def _path(path: Path, country: Country) -> pb.Path:
    return pb.Path(
        trigger=_explained(country, path.trigger_row, path.trigger_type),
        weight=path.weight,
        similarity=path.similarity,
        contribution=path.contribution,
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


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
