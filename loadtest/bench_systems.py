"""The three other systems of a bench bundle, over the items that its LED has.

They cost what published ones do and find what trained ones would: two-tower users lie near the items they saw, paths
lead to items of the trigger's cluster, pairs of an item point where its LED vector does. Golden answers are numpy's.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from index_store.content import (
    BundleContent,
    EncoderContent,
    InteractionContent,
    InteractionPolicy,
    PdnContent,
    TwoTowerContent,
)
from loadtest.bench_content import COUNTRY, DIRECT_DIM, INPUT_DIM, Asked
from loadtest.bench_golden import golden_cases, tower_users
from loadtest.catalogue import Catalogue
from loadtest.synthetic_encoders import encoder_contents
from models.interactions import InteractionType

TRIGGERS = 50
NEIGHBOURS = 200
_PAIRS = {InteractionType.VIEW: 1.0, InteractionType.CART: 0.5}
_SETTINGS = InteractionPolicy(tuple(_PAIRS), (InteractionType.CART,), last_n=4)
_CHUNK = 50_000
_SEED = 21


def with_systems(content: BundleContent, catalogue: Catalogue, asked: Asked) -> BundleContent:
    """Add two-tower, PDN and item-interaction to a bundle with LED."""
    rng = np.random.default_rng(_SEED)
    country, dim = content.countries[COUNTRY], catalogue.vectors.shape[1]
    down = _down(catalogue)
    encoders = {
        name: each
        for name, each in encoder_contents(dim, dim, INPUT_DIM, DIRECT_DIM, np.ascontiguousarray(down.T)).items()
        if name != "led"
    }
    country = replace(
        country,
        two_tower=_two_tower(rng, catalogue, asked, encoders["two_tower_query"], down),
        pdn=_pdn(rng, catalogue),
        item_interaction=_pairs(rng, catalogue, asked),
    )
    return replace(
        content,
        countries={COUNTRY: country},
        encoders=encoders,
        source_golden=golden_cases(COUNTRY, country, encoders, asked.calibration[:2], TRIGGERS, _SETTINGS),
        pdn_triggers=TRIGGERS,
        item_interaction=_SETTINGS,
    )


def _down(catalogue: Catalogue) -> NDArray[np.float32]:
    """The map (d, INPUT_DIM) from an item to what the query tower takes of it; its transpose leads back."""
    dim = catalogue.vectors.shape[1]
    found = np.zeros((dim, INPUT_DIM), dtype=np.float32)
    rows = catalogue.basis[:INPUT_DIM] if len(catalogue.basis) else np.eye(dim, dtype=np.float32)[:INPUT_DIM]
    found[:, : len(rows)] = rows.T
    return found


def _two_tower(
    rng: np.random.Generator,
    catalogue: Catalogue,
    asked: Asked,
    tower: EncoderContent,
    down: NDArray[np.float32],
) -> TwoTowerContent:
    vectors = _near(rng, catalogue.vectors, 0.1)
    inputs = vectors @ down
    queries = tower_users(tower, inputs, asked.calibration)
    return TwoTowerContent(vectors, inputs, queries, len(queries))


def _near(rng: np.random.Generator, vectors: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Move every vector by `share` of its length, at random."""
    moved = rng.standard_normal(vectors.shape, dtype=np.float32)
    moved *= np.float32(share / np.sqrt(vectors.shape[1])) * np.linalg.norm(vectors, axis=1, keepdims=True)
    moved += vectors
    return moved


def _pdn(rng: np.random.Generator, catalogue: Catalogue) -> PdnContent:
    count = len(catalogue.vectors)
    neighbours = _neighbours(catalogue)
    row = np.linspace(2.0, -2.0, NEIGHBOURS).astype(np.float16)
    scores = np.where(neighbours < 0, np.float16(-np.inf), row)
    direct = 0.1 * rng.standard_normal((count, DIRECT_DIM), dtype=np.float32)
    return PdnContent(neighbours, scores, direct, rng.standard_normal((count, INPUT_DIM), dtype=np.float32))


def _neighbours(catalogue: Catalogue) -> NDArray[np.int32]:
    """200 items of each item's own cluster, evenly over it; all others of a cluster that is smaller."""
    order, ends = catalogue.by_cluster, catalogue.ends
    found = np.full((len(order), NEIGHBOURS), -1, dtype=np.int32)
    sizes = np.diff(ends)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    steps = np.arange(NEIGHBOURS)
    for start in range(0, len(order), _CHUNK):
        places = np.arange(start, min(start + _CHUNK, len(order)))
        size, begin = sizes[cluster[places]][:, None], ends[:-1][cluster[places]][:, None]
        kept = np.minimum(NEIGHBOURS, size - 1)
        offsets = 1 + steps * (size - 1) // np.maximum(kept, 1)
        rows = order[begin + (places[:, None] - begin + offsets) % size]
        found[order[places]] = np.where(steps < kept, rows, -1)
    return found


def _pairs(
    rng: np.random.Generator, catalogue: Catalogue, asked: Asked
) -> Mapping[InteractionType, InteractionContent]:
    count = len(catalogue.vectors)
    last = np.array([history[-1] for history in asked.calibration])
    found = {}
    for kind, share in _PAIRS.items():
        vectors = _near(rng, catalogue.vectors, 0.2)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rows = np.sort(rng.permutation(count)[: max(2, int(share * count))]).astype(np.int32)
        found[kind] = InteractionContent(rows, vectors[rows], vectors[last])
    return found
