"""Golden answers of a bench bundle's other systems, by plain numpy over its content: what publishing checks them by.

The encoders' outputs are onnxruntime's own: the weights are random, and nobody trained them elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from index_store.content import CountryContent, EncoderContent, InteractionPolicy, SourceGoldenCase
from models.encoder import OnnxEncoder
from models.features import UserContext
from models.interactions import InteractionType
from models.pdn import direct_inputs, triggers_of, trignet_inputs
from models.two_tower import NO_SEED, two_tower_inputs

_K = 10
_NOW_MS = 1_764_000_000_000
_VIEW = int(InteractionType.VIEW)
_Part = TypeVar("_Part")
_Scores = Mapping[int, float]


@dataclass(frozen=True)
class _Asked:
    """A history of views; rows oldest first."""

    code: str
    country: CountryContent
    rows: NDArray[np.int64]

    @property
    def context(self) -> UserContext:
        return UserContext(self.code, _NOW_MS, _NOW_MS, len(self.rows), {})

    def case(self, source: str, scores: _Scores, **encoded: NDArray[np.float32]) -> SourceGoldenCase:
        ids = self.country.item_ids
        best = sorted(scores, key=lambda row: (-scores[row], int(ids[row])))[:_K]
        return SourceGoldenCase(
            source=source,  # type: ignore[arg-type] # one of three
            country=self.code,
            history=[(int(item), _VIEW, _NOW_MS) for item in ids[self.rows]],
            k=_K,
            encoded=encoded,
            item_ids=[int(ids[row]) for row in best],
            scores=[scores[row] for row in best],
            time_ms=_NOW_MS,
        )


def golden_cases(
    code: str,
    country: CountryContent,
    encoders: Mapping[str, EncoderContent],
    histories: Sequence[NDArray[np.int64]],
    triggers: int,
    settings: InteractionPolicy,
) -> list[SourceGoldenCase]:
    """Answer each history from each system."""
    opened = {name: OnnxEncoder.open(each.graph, each.spec) for name, each in encoders.items()}
    asked = [_Asked(code, country, history) for history in histories]
    return [
        *(_two_tower(each, opened["two_tower_query"]) for each in asked),
        *(_pdn(each, opened["trignet"], opened["pdn_user"], triggers) for each in asked),
        *(_pairs(each, settings) for each in asked),
    ]


def tower_users(
    tower: EncoderContent, inputs: NDArray[np.float32], histories: Sequence[NDArray[np.int64]]
) -> NDArray[np.float32]:
    """Ask the query tower about histories of users without features; (Q, K)."""
    encoder = OnnxEncoder.open(tower.graph, tower.spec)
    return np.concatenate([_tower(encoder, inputs, history) for history in histories])


def _tower(encoder: OnnxEncoder, inputs: NDArray[np.float32], history: NDArray[np.int64]) -> NDArray[np.float32]:
    context = UserContext("XX", _NOW_MS, _NOW_MS, len(history), {})
    length = encoder.spec.max_history
    return encoder.encode(two_tower_inputs(inputs, [history], [NO_SEED], [context], encoder.transforms, length))


def _best(scores: NDArray[np.float32]) -> _Scores:
    """Keep enough of all rows' scores (N,) that the best k of equal scores are among them."""
    rows = np.flatnonzero(scores >= np.partition(scores, -min(_K, len(scores)))[-min(_K, len(scores))])
    return dict(zip(rows.tolist(), scores[rows].tolist(), strict=True))


def _two_tower(asked: _Asked, encoder: OnnxEncoder) -> SourceGoldenCase:
    tower = _there(asked.country.two_tower)
    user = _tower(encoder, tower.input_vectors, asked.rows)[0]
    return asked.case("two_tower", _best(tower.vectors @ user), two_tower_query=user)


def _pdn(asked: _Asked, trignet: OnnxEncoder, direct: OnnxEncoder, most: int) -> SourceGoldenCase:
    """Equation 14 of Li et al. 2021, path by path."""
    pdn = _there(asked.country.pdn)
    triggers = triggers_of(asked.rows, np.full(len(asked.rows), _VIEW), trignet.spec.max_history)
    weights = trignet.encode(trignet_inputs(pdn.trigger_vectors, [triggers], [asked.context], trignet.transforms))
    user = direct.encode(direct_inputs([asked.context], direct.transforms))[0]
    ids = asked.country.item_ids[triggers.rows]
    found: dict[int, float] = {}
    for place in np.lexsort((ids, -weights))[:most]:
        row = triggers.rows[place]
        for target, score in zip(pdn.neighbours[row].tolist(), pdn.scores[row].tolist(), strict=True):
            if target >= 0:
                found[target] = found.get(target, 0.0) + _softplus(float(weights[place]) + score)
    scores = {row: total + _softplus(float(pdn.item_vectors[row] @ user)) for row, total in found.items()}
    return asked.case("pdn", scores, trignet=weights, pdn_user=user)


def _there(part: _Part | None) -> _Part:
    if part is None:
        message = "golden answers of a system that the country lacks"
        raise ValueError(message)
    return part


def _softplus(value: float) -> float:
    return float(np.logaddexp(0.0, value))


def _pairs(asked: _Asked, settings: InteractionPolicy) -> SourceGoldenCase:
    """The largest cosine of each target with one of the last views."""
    views = asked.country.item_interaction[InteractionType.VIEW]
    recent = list(dict.fromkeys(asked.rows[::-1].tolist()))[: settings.last_n]
    queries = views.vectors[np.searchsorted(views.rows, recent)]
    found: dict[int, float] = {}
    for kind in settings.targets:
        pairs = asked.country.item_interaction[kind]
        scores = (pairs.vectors @ queries.T).max(axis=1)
        scores[np.isin(pairs.rows, asked.rows)] = -np.inf
        for place, score in _best(scores).items():
            row = int(pairs.rows[place])
            found[row] = max(found.get(row, -np.inf), score)
    return asked.case("item_interaction", found)
