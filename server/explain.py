"""Why each candidate is in the answer: one piece of evidence per source that found it. Runs only when asked for."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from models.errors import EncoderError
from server.answer import SourceEvidence
from server.profiles import SourceName, SourceSetting
from server.sources.base import Found, Source, User
from server.sources.reporting import plain_evidence


def explain(
    rows: NDArray[np.int64],
    country: Country,
    user: User,
    sources: Mapping[SourceName, Source],
    found: Sequence[tuple[SourceSetting, Found]],
) -> tuple[tuple[SourceEvidence, ...], ...]:
    """List for each of (K,) answered rows what the sources say, in the sources' order."""
    evidence: list[list[SourceEvidence]] = [[] for _ in rows]
    for setting, each in found:
        rank_of = {row: rank for rank, row in enumerate(each.rows.tolist())}
        answered = [(place, rank_of[row]) for place, row in enumerate(rows.tolist()) if row in rank_of]
        if not answered:
            continue
        ranks = np.array([rank for _, rank in answered], dtype=np.int64)
        for (place, _), piece in zip(answered, _pieces(country, user, sources, setting, each, ranks), strict=True):
            evidence[place].append(piece)
    return tuple(tuple(pieces) for pieces in evidence)


def _pieces(
    country: Country,
    user: User,
    sources: Mapping[SourceName, Source],
    setting: SourceSetting,
    found: Found,
    ranks: NDArray[np.int64],
) -> list[SourceEvidence]:
    try:
        return sources[setting.name].evidence(country, user, found, ranks, setting)
    except EncoderError:  # the candidates are right; only the reason cannot be computed
        return plain_evidence(setting.name, found, ranks)
