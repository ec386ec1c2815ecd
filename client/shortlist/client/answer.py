"""What a caller gets.

    reply bytes → leading candidates of equal length, by numpy → the rest, by the generated class → Answer

A hundred candidates are three arrays, not a hundred objects.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from protos.retrieval.v1 import retrieval_pb2 as pb

# A candidate that is only id, score and sources, as the server writes it: field 1 of the response with 19 bytes.
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
_TAGS = {"tag": 0x0A, "length": _RECORD.itemsize - 2, "id_tag": 0x09, "score_tag": 0x15, "mask_tag": 0x25}


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What one source gave: candidates in the answer, microseconds in encoder and index, and what it lacked ("")."""

    source: str
    candidates: int
    encode_us: int
    search_us: int
    method: str
    degradation: str


@dataclass(frozen=True)
class Answer:
    """Candidates, best first.

    item_ids: (K,) uint64. scores: (K,) float32, higher is better, comparable within one answer only. source_masks: (K,)
    uint32, bit b stands for `sources[b]`. message: everything else of the reply, as the generated class has it; its
    `candidates` are filled only where they carry more than id, score and sources (details, evidence).
    """

    item_ids: NDArray[np.uint64]
    scores: NDArray[np.float32]
    source_masks: NDArray[np.uint32]
    message: pb.RetrieveResponse

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def bundle_version(self) -> str:
        """Which version answered."""
        return self.message.bundle_version

    @property
    def country(self) -> str:
        """Whose catalogue answered."""
        return self.message.country

    @property
    def fallback(self) -> str:
        """Why this is not what the profile asked for, as "EMPTY_HISTORY"; "" where it is."""
        name = pb.Fallback.Name(self.message.fallback).removeprefix("FALLBACK_")
        return "" if name == "NONE" else name

    @cached_property
    def sources(self) -> tuple[SourceReport, ...]:
        """One report per source of the profile, in the order of the mask's bits."""
        return tuple(_report(each) for each in self.message.sources)

    def found_by(self, source: str) -> NDArray[np.bool_]:
        """Say which candidates a source found, (K,); none where the source was not asked."""
        bits = [bit for bit, report in enumerate(self.message.sources) if report.source == source]
        mask = np.uint32(sum(1 << bit for bit in bits))
        found: NDArray[np.bool_] = (self.source_masks & mask) != 0
        return found


def answer_of(raw: bytes) -> Answer:
    """Read a reply; what has equal length is read as an array, without an object per candidate."""
    records = np.frombuffer(raw, dtype=_RECORD, count=len(raw) // _RECORD.itemsize)
    plain = np.ones(len(records), dtype=bool)
    for name, value in _TAGS.items():
        plain &= records[name] == value
    count = len(records) if plain.all() else int(np.argmin(plain))
    rest = answer_of_message(pb.RetrieveResponse.FromString(raw[count * _RECORD.itemsize :]))
    leading = records[:count]
    # copies: the records are not aligned, and their bytes would keep the whole reply alive
    return Answer(
        np.concatenate([leading["id"], rest.item_ids]),
        np.concatenate([leading["score"], rest.scores]),
        np.concatenate([leading["mask"], rest.source_masks]),
        rest.message,
    )


def answer_of_message(message: pb.RetrieveResponse) -> Answer:
    """Read a reply that is a message already, as those of a batch are."""
    found = message.candidates
    return Answer(
        np.array([each.item_id for each in found], dtype=np.uint64),
        np.array([each.score for each in found], dtype=np.float32),
        np.array([each.source_mask for each in found], dtype=np.uint32),
        message,
    )


def _report(report: pb.SourceReport) -> SourceReport:
    degradation = pb.Degradation.Name(report.degradation).removeprefix("DEGRADATION_")
    return SourceReport(
        report.source,
        report.candidates,
        report.encode_us,
        report.search_us,
        report.method,
        "" if degradation == "NONE" else degradation,
    )
