"""Candidates with details or evidence, written by hand: a thousand with their reasons in a few milliseconds.

Items of the history are named again and again, as are sources: each is written once and copied.
"""

from collections.abc import Iterator, Mapping, Sequence
from struct import Struct

from index_store.country import Country
from server.answer import Answer, Path, SourceEvidence
from server.written import message, number, text

_CANDIDATE = 0x0A
_FLOAT = Struct("<Bf")
_ID = Struct("<BQ")
_ID_AND_SCORE = Struct("<BQBf")
_MASK = Struct("<BI")
_PATH = Struct("<BfBfBf")


def long_candidates(answer: Answer, *, include_details: bool) -> bytes:
    """Write field 1 of a RetrieveResponse for each candidate of an answer."""
    catalog = answer.country.catalog
    items = _Items(answer.country)
    columns = catalog.item_ids[answer.rows].tolist(), answer.scores.tolist(), answer.source_masks.tolist()
    written = []
    for place, (row, item_id, score, mask) in enumerate(zip(answer.rows.tolist(), *columns, strict=True)):
        content = _ID_AND_SCORE.pack(0x09, item_id, 0x15, score)
        if include_details:
            content += _details(answer.country, row)
        content += _MASK.pack(0x25, mask)
        if answer.evidence:
            content += b"".join(message(0x2A, _evidence(each, items)) for each in answer.evidence[place])
        written.append(message(_CANDIDATE, content))
    return b"".join(written)


class _Items(dict[tuple[int, int], bytes]):
    """ExplainedItems by row and type, written when first asked for."""

    def __init__(self, country: Country) -> None:
        self._catalog = country.catalog

    def __missing__(self, key: tuple[int, int]) -> bytes:
        row, kind = key
        title = self._catalog.details(row).title.encode()
        written = _ID.pack(0x09, int(self._catalog.item_ids[row])) + number(0x10, kind)
        self[key] = written = written + (message(0x1A, title) if title else b"")
        return written


def _details(country: Country, row: int) -> bytes:
    known = country.catalog.details(row)
    texts = (known.item_key, known.title, known.merchant, known.category)
    fields = [message(tag, value.encode()) for tag, value in zip((0x0A, 0x12, 0x1A, 0x22), texts, strict=True) if value]
    return message(0x1A, b"".join(fields))


def _evidence(evidence: SourceEvidence, items: Mapping[tuple[int, int], bytes]) -> bytes:
    """Write an Evidence's fields."""
    parts = [text(0x0A, evidence.source), number(0x10, evidence.rank + 1), _FLOAT.pack(0x1D, evidence.score)]
    if evidence.history_row >= 0:
        parts.append(message(0x22, items[evidence.history_row, evidence.history_type]))
    parts += (_FLOAT.pack(0x2D, evidence.contribution), number(0x30, evidence.target_type))
    parts += _paths(evidence.paths, items)
    parts.append(_FLOAT.pack(0x45, evidence.direct))
    return b"".join(parts)


def _paths(paths: Sequence[Path], items: Mapping[tuple[int, int], bytes]) -> Iterator[bytes]:
    for path in paths:
        trigger = message(0x0A, items[path.trigger_row, path.trigger_type])
        yield message(0x3A, trigger + _PATH.pack(0x15, path.weight, 0x1D, path.similarity, 0x25, path.contribution))
