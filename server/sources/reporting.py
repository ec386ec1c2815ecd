"""What sources share in saying what they did: time, shortfall, rank and score."""

import time

import numpy as np
from numpy.typing import NDArray

from server.answer import Degradation, SourceEvidence
from server.profiles import SourceName
from server.sources.base import Found
from server.sources.mips import Hits


class Stopwatch:
    """Times the two parts of a source's work, from its making; of a batch, every user bears an equal share."""

    __slots__ = ("_encoded", "_started")

    def __init__(self) -> None:
        self._started = self._encoded = time.perf_counter_ns()

    def encoded(self) -> None:
        """Say that what follows is search."""
        self._encoded = time.perf_counter_ns()

    def share(self, users: int) -> tuple[int, int]:
        """Microseconds of encode and of search until now, for one of so many users."""
        ended = time.perf_counter_ns()
        each = 1000 * max(users, 1)
        return (self._encoded - self._started) // each, (ended - self._encoded) // each


def found_by(
    hits: Hits, wanted: int, shares: tuple[int, int], lack: Degradation, vector: NDArray[np.float32] | None = None
) -> Found:
    """Report what a search found; `lack` is what the history lacked, and comes before a shortfall."""
    degradation = lack or (Degradation.EXHAUSTED if len(hits.rows) < wanted else Degradation.NONE)
    return Found(hits.rows, hits.scores, hits.method, hits.plan, hits.fetched, *shares, degradation, vector)


def plain_evidence(source: SourceName, found: Found, places: NDArray[np.int64]) -> list[SourceEvidence]:
    """Rank and score, where there is no more to say."""
    scores = found.scores[places].tolist()
    return [SourceEvidence(source, rank, score) for rank, score in zip(places.tolist(), scores, strict=True)]
