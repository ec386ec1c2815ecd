"""What the service answers, before encoding: rows of one country's catalogue with where they come from. Values only."""

from collections.abc import Mapping
from enum import IntEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.country import Country


class Fallback(IntEnum):
    """Why an answer is not what its profile asked for; values are those of `retrieval.v1.Fallback`."""

    NONE = 0
    EMPTY_HISTORY = 1
    UNKNOWN_HISTORY = 2
    COUNTRY = 3
    SOURCE_FAILED = 4
    SOURCE_MISSING = 5
    BACKFILLED = 6


class Degradation(IntEnum):
    """Why a source gave less than its best. Values are those of `retrieval.v1.Degradation`."""

    NONE = 0
    EMPTY_HISTORY = 1  # nothing to go by: LED answers by item bias, path and pair sources give nothing
    UNKNOWN_HISTORY = 2  # the same, since no item of the history is in the catalogue
    NOT_IN_BUNDLE = 3  # the profile names a source that the bundle lacks
    ENCODER_FAILED = 4  # an encoder failed on this request; the other sources answer
    EXHAUSTED = 5  # fewer eligible items than asked for


class SourceReport(msgspec.Struct, frozen=True):
    """What one source did for one answer.

    method: "hnsw", "exact", "exact_fallback", "bias_order", "paths", "neighbours", "popularity", "" if it did not run.
    plan: how filters were met: "none", "posting_lists" (exact over the eligible), "mask" (over-fetch once), "growing"
    (over-fetch repeatedly). found: candidates it gave, before fusion. contributed: candidates of the answer that it
    found. fetched: rows that were scored or fetched. Durations are microseconds.
    """

    source: str
    method: str
    plan: str
    found: int
    contributed: int
    fetched: int
    encode_us: int
    search_us: int
    degradation: Degradation


class Path(msgspec.Struct, frozen=True):
    """One two-hop path of PDN, user -> trigger -> candidate: contribution = softplus(weight + similarity)."""

    trigger_row: int
    trigger_type: int
    weight: float
    similarity: float
    contribution: float


class SourceEvidence(msgspec.Struct, frozen=True):
    """Why one source found one candidate.

    rank: from 0, in the source's own order. score: the source's own. history_row, contribution: LED and two_tower, the
    history item whose share <v_h, v_i> / T of the score is the largest (two_tower: the largest change of the score when
    that item is left out); pairs of item_interaction: the source item, its type, the target type, score is the cosine.
    paths: pdn, largest first, whose contributions and `direct` sum to the score.
    """

    source: str
    rank: int
    score: float
    history_row: int = -1
    history_type: int = 0
    target_type: int = 0
    contribution: float = 0.0
    direct: float = 0.0
    paths: tuple[Path, ...] = ()


class Module(msgspec.Struct, frozen=True):
    """One labelled list of item_interaction: "because you <source_type> <trigger_row>, you may <target_type> <rows>".

    rows: (n,) int64, scores: (n,) float32 cosines, best first; in an answer at most its k.
    """

    trigger_row: int
    source_type: int
    target_type: int
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


class Answer(msgspec.Struct, frozen=True):
    """Rows of `country`'s catalogue, best first.

    rows: (K,) int64, each once. scores: (K,) float32; never increasing unless diversity re-ordered them. source_masks:
    (K,) uint32, bit b is set if `reports[b]` found the candidate. `backfilled`: how many were added from popularity
    because the sources were exhausted. evidence: per candidate, only with explain. fuse_us: microseconds. lists: per
    report what its source found, rows (n,) int64 and scores (n,) float32, best first.
    """

    country: Country
    profile: str
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    source_masks: NDArray[np.uint32]
    reports: tuple[SourceReport, ...]
    fallback: Fallback
    unknown_items: int
    unused_features: int
    backfilled: int
    fuse_us: int
    evidence: tuple[tuple[SourceEvidence, ...], ...] = ()
    embeddings: Mapping[str, NDArray[np.float32]] = msgspec.field(default_factory=dict)
    modules: tuple[Module, ...] = ()
    lists: tuple[tuple[NDArray[np.int64], NDArray[np.float32]], ...] = ()


class SimilarAnswer(msgspec.Struct, frozen=True):
    """Items like one item, without it: rows (K,) int64 of `country`, best first, and scores (K,) float32.

    report.source: which neighbourhood answered, "pdn" or "item_interaction". Fewer than k where it knows no more.
    """

    country: Country
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    report: SourceReport
