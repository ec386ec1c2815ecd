"""A tiny bundle of all four sources, built from a seed: `tiny_bundle.tiny_content` with the other three added.

Golden answers are computed item by item in plain Python. FR's two-tower items and cart pairs are enough for a graph
when published with `tiny_bundle.POLICY`; DE has no purchase pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index_store.content import (
    BundleContent,
    CountryContent,
    EncoderContent,
    InteractionContent,
    InteractionPolicy,
    PdnContent,
    SourceGoldenCase,
    TwoTowerContent,
)
from models.features import Transforms, UserContext
from models.interactions import InteractionType
from models.pdn import direct_inputs, triggers_of, trignet_inputs
from models.spec import pdn_user_spec, trignet_spec, two_tower_spec
from models.two_tower import NO_SEED, two_tower_inputs
from tiny_bundle import OPSET, QUERIES, tiny_content
from tiny_graphs import FEATURES, TinyEncoder

VIEW, CART, PURCHASE = InteractionType.VIEW, InteractionType.CART, InteractionType.PURCHASE
INPUT_DIM, TOWER_DIM, TRIGGER_DIM, DIRECT_DIM, PAIR_DIM = 6, 7, 5, 5, 9
NEIGHBOURS, TRIGGERS, MAX_HISTORY = 12, 3, 20
SETTINGS = InteractionPolicy(sources=(VIEW, CART), targets=(CART, PURCHASE), last_n=2)
NOW_MS = 1_700_000_000_000
_SHARES: Mapping[InteractionType, float] = {VIEW: 0.9, CART: 0.5, PURCHASE: 0.1}


@dataclass(frozen=True)
class TinyEncoders:
    """The three encoders, as weights."""

    two_tower: TinyEncoder
    trignet: TinyEncoder
    direct: TinyEncoder

    @classmethod
    def random(cls, rng: np.random.Generator) -> "TinyEncoders":
        """Draw all weights."""
        tower = two_tower_spec(INPUT_DIM, TOWER_DIM, FEATURES, MAX_HISTORY, OPSET)
        trignet = trignet_spec(TRIGGER_DIM, FEATURES, MAX_HISTORY, OPSET)
        return cls(
            TinyEncoder.random(tower, rng, TOWER_DIM, INPUT_DIM),
            TinyEncoder.random(trignet, rng, 1, TRIGGER_DIM),
            TinyEncoder.random(pdn_user_spec(DIRECT_DIM, FEATURES[:4], MAX_HISTORY, OPSET), rng, DIRECT_DIM - 1),
        )

    def content(self) -> dict[str, EncoderContent]:
        """Export all three."""
        encoders = (self.two_tower, self.trignet, self.direct)
        return {each.spec.encoder: EncoderContent(each.onnx(), each.spec) for each in encoders}


def full_content(seed: int = 0, *, sizes: Mapping[str, int] | None = None) -> BundleContent:
    """Build the content of a bundle with every source."""
    content = tiny_content(seed, sizes=sizes)
    rng = np.random.default_rng([seed, 1])
    encoders = TinyEncoders.random(rng)
    countries = {code: _country(rng, code, country) for code, country in content.countries.items()}
    return replace(
        content,
        countries=countries,
        encoders=encoders.content(),
        source_golden=[case for code, each in countries.items() for case in _golden(rng, code, each, encoders)],
        pdn_triggers=TRIGGERS,
        item_interaction=SETTINGS,
    )


def _country(rng: np.random.Generator, code: str, country: CountryContent) -> CountryContent:
    size = len(country.item_ids)
    prices = rng.uniform(0.5, 100.0, size=size).astype(np.float32)
    prices[::11] = np.nan
    tower = TwoTowerContent(
        vectors=_normal(rng, size, TOWER_DIM),
        input_vectors=_normal(rng, size, INPUT_DIM),
        calibration_queries=_normal(rng, QUERIES, TOWER_DIM),
        own_queries=QUERIES,
    )
    kinds = [kind for kind in _SHARES if (code, kind) != ("DE", PURCHASE)]
    return replace(
        country,
        prices=None if code == "US" else prices,
        two_tower=tower,
        pdn=tiny_pdn(rng, size),
        item_interaction={kind: _pairs(rng, size, _SHARES[kind]) for kind in kinds},
    )


def tiny_pdn(rng: np.random.Generator, size: int, width: int = NEIGHBOURS) -> PdnContent:
    """Draw a path index over `size` rows, with fewer than `width` neighbours here and there."""
    neighbours = np.full((size, width), -1, dtype=np.int32)
    scores = np.full((size, width), -np.inf, dtype=np.float16)
    for row in range(size):
        others = np.delete(np.arange(size), row)
        count = int(rng.integers(0, min(width, len(others)) + 1)) if row % 3 == 0 else min(width, len(others))
        neighbours[row, :count] = rng.permutation(others)[:count]
        scores[row, :count] = -np.sort(-rng.normal(loc=-2.0, size=count).astype(np.float16))
    return PdnContent(neighbours, scores, _normal(rng, size, DIRECT_DIM), _normal(rng, size, TRIGGER_DIM))


def _pairs(rng: np.random.Generator, size: int, share: float) -> InteractionContent:
    rows = np.sort(rng.permutation(size)[: max(2, int(share * size))]).astype(np.int32)
    return InteractionContent(rows, unit(_normal(rng, len(rows), PAIR_DIM)), unit(_normal(rng, QUERIES, PAIR_DIM)))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale vectors (n, d) to length 1."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.normal(scale=0.7, size=shape).astype(np.float32)


def _golden(
    rng: np.random.Generator, code: str, country: CountryContent, encoders: TinyEncoders
) -> list[SourceGoldenCase]:
    return [
        *(_two_tower_case(code, country, encoders, _history(rng, country), seed) for seed in (None, 3)),
        *(_pdn_case(code, country, encoders, _history(rng, country)) for _ in range(2)),
        *(_pairs_case(code, country, _history(rng, country)) for _ in range(2)),
    ]


def _history(rng: np.random.Generator, country: CountryContent) -> list[tuple[int, int, int]]:
    """3 to 9 interactions as (row, type, time), some rows more than once."""
    length = int(rng.integers(3, 10))
    rows = rng.integers(0, len(country.item_ids), size=length)
    rows[-1] = rows[0]
    rows[1] = country.item_interaction[VIEW].rows[0]
    kinds = rng.choice([VIEW, CART, PURCHASE], size=length)
    kinds[1] = VIEW
    times = NOW_MS - 3_600_000 * np.arange(length, 0, -1)
    return [(int(row), int(kind), int(time)) for row, kind, time in zip(rows, kinds, times, strict=True)]


def _case(source: str, code: str, country: CountryContent, history: list[tuple[int, int, int]]) -> SourceGoldenCase:
    return SourceGoldenCase(
        source=source,  # type: ignore[arg-type] # one of three
        country=code,
        history=[(int(country.item_ids[row]), kind, time) for row, kind, time in history],
        k=8,
        encoded={},
        item_ids=[],
        scores=[],
        time_ms=NOW_MS,
        features={"tier": "gold", "spent": 42.0} if source != "item_interaction" else {},
    )


def _answered(
    case: SourceGoldenCase, country: CountryContent, scores: Mapping[int, float], **encoded: NDArray[np.float32]
) -> SourceGoldenCase:
    """Fill in the best k of the rows' scores."""
    best = sorted(scores, key=lambda row: (-scores[row], int(country.item_ids[row])))[: case.k]
    ids = [int(country.item_ids[row]) for row in best]
    return replace(case, encoded=encoded, item_ids=ids, scores=[scores[row] for row in best])


def _context(case: SourceGoldenCase) -> UserContext:
    return UserContext(case.country, case.time_ms, case.history[-1][2], len(case.history), case.features)


def _two_tower_case(
    code: str, country: CountryContent, encoders: TinyEncoders, history: list[tuple[int, int, int]], seed: int | None
) -> SourceGoldenCase:
    case, tower, encoder = _case("two_tower", code, country, history), country.two_tower, encoders.two_tower
    case = replace(case, seed=None if seed is None else int(country.item_ids[seed]))
    rows = np.array([row for row, _, _ in history])
    inputs = two_tower_inputs(
        tower.input_vectors,
        [rows],
        [NO_SEED if seed is None else seed],
        [_context(case)],
        Transforms(FEATURES),
        MAX_HISTORY,
    )
    user = encoder.numpy(inputs)[0]
    scores = {row: float(vector @ user) for row, vector in enumerate(tower.vectors)}
    return _answered(case, country, scores, two_tower_query=user)


def _pdn_case(
    code: str, country: CountryContent, encoders: TinyEncoders, history: list[tuple[int, int, int]]
) -> SourceGoldenCase:
    case, pdn = _case("pdn", code, country, history), country.pdn
    rows, kinds, _ = (np.array(column) for column in zip(*history, strict=True))
    triggers = triggers_of(rows, kinds, MAX_HISTORY)
    inputs = trignet_inputs(pdn.trigger_vectors, [triggers], [_context(case)], Transforms(FEATURES))
    weights = encoders.trignet.numpy(inputs)
    user = encoders.direct.numpy(direct_inputs([_context(case)], Transforms(FEATURES[:4])))[0]
    scores = naive_paths(pdn, triggers.rows.tolist(), weights.tolist(), user, TRIGGERS)
    return _answered(case, country, scores, trignet=weights, pdn_user=user)


def naive_paths(
    pdn: PdnContent, rows: list[int], weights: list[float], user: NDArray[np.float32], m: int
) -> dict[int, float]:
    """Equation 14 of Li et al. 2021, path by path: the score of every row that a path leads to."""
    best = sorted(range(len(rows)), key=lambda place: (-weights[place], rows[place]))[:m]
    found: dict[int, float] = {}
    for place in best:
        for target, score in zip(pdn.neighbours[rows[place]], pdn.scores[rows[place]], strict=True):
            if target >= 0:
                found[int(target)] = found.get(int(target), 0.0) + softplus(weights[place] + float(score))
    return {row: total + softplus(float(pdn.item_vectors[row] @ user)) for row, total in found.items()}


def softplus(value: float) -> float:
    """`ln(1 + e^x)` in double precision."""
    return float(np.logaddexp(0.0, value))


def _pairs_case(code: str, country: CountryContent, history: list[tuple[int, int, int]]) -> SourceGoldenCase:
    seen = {row for row, _, _ in history}
    scores: dict[int, float] = {}
    for source, begin in recent_pairs(country, history, SETTINGS):
        query = vector_of(country.item_interaction[source], begin)
        for target in SETTINGS.targets:
            pairs = country.item_interaction.get(target)
            for row, vector in zip(pairs.rows, pairs.vectors, strict=True) if pairs else ():
                if int(row) not in seen:
                    scores[int(row)] = max(scores.get(int(row), -np.inf), float(query @ vector))
    return _answered(_case("item_interaction", code, country, history), country, scores)


def recent_pairs(
    country: CountryContent, history: list[tuple[int, int, int]], settings: InteractionPolicy
) -> list[tuple[InteractionType, int]]:
    """The last `last_n` different pairs of each source type, of those that the country has."""
    found = []
    for source in settings.sources:
        pairs, own = country.item_interaction.get(source), []
        for row, kind, _ in reversed(history):
            if pairs and kind == source and row in pairs.rows and row not in own:
                own.append(row)
        found += [(source, row) for row in own[: settings.last_n]]
    return found


def vector_of(pairs: InteractionContent, row: int) -> NDArray[np.float32]:
    """The vector of a row's pair."""
    return pairs.vectors[pairs.rows.tolist().index(row)]
