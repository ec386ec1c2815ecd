"""The server's answers as the page shows them: messages to plain values, ids as texts."""

from collections.abc import Sequence
from typing import Any

from protos.retrieval.v1 import retrieval_pb2 as pb

_TYPE = "INTERACTION_TYPE_"
_MOST_PATHS = 16


def answer(response: pb.RetrieveResponse) -> dict[str, Any]:
    """Everything of one answer; durations in microseconds."""
    sources = [report.source for report in response.sources]
    return {
        "version": response.bundle_version,
        "country": response.country,
        "profile": response.profile,
        "fallback": _word(pb.Fallback.Name(response.fallback), "FALLBACK_"),
        "unknown_items": response.unknown_items,
        "backfilled": response.backfilled,
        "fuse_us": response.fuse_us,
        "sources": [_report(report) for report in response.sources],
        "candidates": [_candidate(candidate, sources) for candidate in response.candidates],
    }


def own_list(response: pb.RetrieveResponse, source: str) -> dict[str, Any]:
    """What `source` found by itself, in its own order and with its own scores; popularity's fillers are left out."""
    names = [report.source for report in response.sources]
    report = next((report for report in response.sources if report.source == source), None)
    found = []
    for candidate in response.candidates:
        pieces = [piece for piece in candidate.evidence if piece.source == source]
        if pieces:
            shown = _candidate(candidate, names)
            found.append(
                {**shown, "evidence": [_evidence(pieces[0])], "rank": pieces[0].rank, "score": pieces[0].score}
            )
    found.sort(key=lambda one: one["rank"])
    return {"source": source, "report": _report(report) if report else None, "candidates": found}


def _report(report: pb.SourceReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "candidates": report.candidates,
        "found": report.found,
        "fetched": report.fetched,
        "encode_us": report.encode_us,
        "search_us": report.search_us,
        "method": report.method,
        "plan": report.plan,
        "degradation": _word(pb.Degradation.Name(report.degradation), "DEGRADATION_"),
    }


def _candidate(candidate: pb.Candidate, sources: Sequence[str]) -> dict[str, Any]:
    details = candidate.details
    return {
        "id": str(candidate.item_id),
        "key": details.item_key,
        "title": details.title,
        "merchant": details.merchant,
        "category": details.category,
        "score": candidate.score,
        "found_by": [source for bit, source in enumerate(sources) if candidate.source_mask >> bit & 1],
        "evidence": [_evidence(piece) for piece in candidate.evidence],
    }


def _evidence(piece: pb.Evidence) -> dict[str, Any]:
    return {
        "source": piece.source,
        "rank": piece.rank,
        "score": piece.score,
        "because": _explained(piece.because) if piece.HasField("because") else None,
        "contribution": piece.contribution,
        "target_type": _type(piece.target_type),
        "direct": piece.direct,
        "paths": [
            {
                "trigger": _explained(path.trigger),
                "weight": path.weight,
                "similarity": path.similarity,
                "contribution": path.contribution,
            }
            for path in piece.paths[:_MOST_PATHS]
        ],
        "more_paths": max(0, len(piece.paths) - _MOST_PATHS),
        "more_contribution": sum(path.contribution for path in piece.paths[_MOST_PATHS:]),
    }


def _explained(item: pb.ExplainedItem) -> dict[str, str]:
    return {"id": str(item.item_id), "type": _type(item.type), "title": item.title}


def _type(value: int) -> str:
    return "" if value == pb.INTERACTION_TYPE_UNSPECIFIED else _word(pb.InteractionType.Name(value), _TYPE)


def _word(name: str, prefix: str) -> str:
    word = name.removeprefix(prefix)
    return "" if word == "NONE" else word
