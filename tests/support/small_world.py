"""Small random countries with every source, in memory: no files, no ONNX; encoders are plain functions of their inputs.

`SmallWorld` stands in for a bundle, and its countries for those that a bundle loads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.arrays import StringTable
from index_store.catalog import Catalog
from index_store.country import Country
from index_store.hnsw import HnswIndex
from index_store.index import ExactIndex, Index
from index_store.index_entry import VectorEntry
from index_store.item_interaction import ItemInteractionShard, Pairs
from index_store.led import LedShard
from index_store.manifest import PairsEntry, PdnEntry, TwoTowerEntry
from index_store.pdn import PdnShard
from index_store.two_tower import TwoTowerShard
from models.errors import EncoderError
from models.features import FeatureTransform, Transforms
from models.interactions import InteractionType
from models.spec import EncoderSpec, led_spec, pdn_user_spec, trignet_spec, two_tower_spec

DIM = 6  # not 5: with five columns OpenBLAS reads memory that it does not use, and numpy may warn of what lies there
MAX_HISTORY = 6
NEIGHBOURS = 4
TRIGGERS = 3
LAST_N = 2
GRAPH_EF = 16
AGE = FeatureTransform(name="age", origin="feature", kind="number", key="age", mean=30.0, deviation=10.0)
PAIR_SOURCES = (InteractionType.VIEW, InteractionType.CART)
PAIR_TARGETS = (InteractionType.CART, InteractionType.PURCHASE)
POISON = 99.0  # an age with which encoders fail


class FakeEncoder:
    """What `models.encoder.OnnxEncoder` offers, computed by `compute`; fails where the feature "age" is `POISON`."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec
        self.transforms = Transforms(spec.features)
        self.calls = 0

    def encode(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Compute the output; counts its calls."""
        self.calls += 1
        if "age" in inputs and (inputs["age"] > 6.5).any():
            message = f"encoder {self.spec.encoder} failed: poisoned"
            raise EncoderError(message)
        return COMPUTE[self.spec.encoder](inputs).astype(np.float32)


def led_vector(inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """`[mean(v_h), 1]`."""
    mean = _mean(inputs)
    return np.column_stack([mean, np.ones(len(mean))])


def tower_vector(inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """History, seed and age, each in its own way."""
    return _mean(inputs) + 0.5 * inputs["seed_vector"] + 0.1 * inputs["age"][:, None]


def trigger_weight(inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Every behaviour field and the user's age count; sums of these factors are exact, so that ties stay ties."""
    own = inputs["trigger_vectors"].sum(axis=1) + 0.25 * inputs["trigger_type"] + 0.125 * inputs["trigger_count"]
    return own - 0.0625 * inputs["trigger_position"] + 0.0625 * inputs["age"][inputs["trigger_owner"]]


def direct_vector(inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """`[p_u, 1]`."""
    ages = inputs["age"]
    return np.column_stack([*(ages * 0.1 * place for place in range(DIM - 1)), np.ones(len(ages))])


def _mean(inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    weights = inputs["history_weights"]
    total = (inputs["history_vectors"] * weights[:, :, None]).sum(axis=1)
    return total / np.maximum(weights.sum(axis=1, keepdims=True), 1.0)


COMPUTE = {"led": led_vector, "two_tower_query": tower_vector, "trignet": trigger_weight, "pdn_user": direct_vector}


@dataclass(frozen=True)
class SmallWorld:
    """What a `Retriever` takes of a bundle, with its encoders."""

    countries: Mapping[str, Country]
    sources: tuple[str, ...]
    encoders: Mapping[str, FakeEncoder]


def encoders() -> dict[str, FakeEncoder]:
    """Fresh encoders by name."""
    specs = [
        led_spec(DIM, MAX_HISTORY, 17),
        two_tower_spec(DIM, DIM, (AGE,), MAX_HISTORY, 17),
        trignet_spec(2, (AGE,), MAX_HISTORY, 17),
        pdn_user_spec(DIM, (AGE,), MAX_HISTORY, 17),
    ]
    return {spec.encoder: FakeEncoder(spec) for spec in specs}


@lru_cache(maxsize=64)
def small_world(seed: int, *, graph: bool = False) -> SmallWorld:
    """Countries "AA" and "BB" of 1 to 60 items with every source, "LL" with LED alone; `graph`: searched by HNSW."""
    rng = np.random.default_rng(seed)
    sizes = [int(rng.choice([1, 2, 5, 20, 60])), int(rng.integers(1, 60)), int(rng.integers(1, 40))]
    countries = {
        code: small_country(rng, code, size, graph=graph) for code, size in zip(("AA", "BB"), sizes, strict=False)
    }
    countries["LL"] = small_country(rng, "LL", sizes[2], graph=graph, complete=False)
    return SmallWorld(countries, ("led", "two_tower", "pdn", "item_interaction"), encoders())


def small_country(rng: np.random.Generator, code: str, size: int, *, graph: bool, complete: bool = True) -> Country:
    """One country; vectors and popularity have ties, some items have neither merchant, category nor price."""
    catalog = small_catalog(rng, size, prices=complete)
    led_vectors = _rounded(rng, size, DIM + 1)
    entry = {"dim": DIM + 1, "recall_k": 10, "recall_target": 0.0, "recall": 1.0, "queries": 0, "own_queries": 0}
    search: dict[str, Any] = {"engine": "exact", "curve": ()}
    if graph:
        search = {"engine": "hnsw", "curve": (), "space": "ip", "ef": GRAPH_EF, "m": 8, "ef_construction": 64}
    led = LedShard.of(VectorEntry(**entry, **search), led_vectors, _index(led_vectors, graph=graph))
    if not complete:
        return Country(code, catalog, led)
    vectors = _rounded(rng, size, DIM)
    tower = TwoTowerEntry(**{**entry, "dim": DIM}, **search, input_dim=DIM)
    two_tower = TwoTowerShard(tower, vectors, _rounded(rng, size, DIM), _index(vectors, graph=graph))
    pairs = {}
    for kind in {*PAIR_SOURCES, *PAIR_TARGETS}:
        rows = np.flatnonzero(rng.random(size) < 0.8).astype(np.int32)
        if len(rows):
            own = rng.normal(size=(len(rows), DIM)).astype(np.float32)
            own /= np.linalg.norm(own, axis=1, keepdims=True)
            pair_entry = PairsEntry(**{**entry, "dim": DIM}, **search, count=len(rows))
            pairs[kind] = Pairs(pair_entry, rows, own, _index(own, graph=graph))
    interaction = ItemInteractionShard(PAIR_SOURCES, PAIR_TARGETS, LAST_N, pairs)
    return Country(code, catalog, led, two_tower, small_pdn(rng, size), interaction)


def small_catalog(rng: np.random.Generator, size: int, *, prices: bool = True) -> Catalog:
    """Ids over the whole range, keys, and names of which "" is one."""
    item_ids = rng.permutation(np.unique(rng.integers(1, 2**64, size=3 * size, dtype=np.uint64)))[:size]
    columns = {
        "keys": StringTable.of([f"key-{row}" for row in range(size)]),
        "merchants": StringTable.of([f"m{place}" if place else "" for place in rng.integers(0, 4, size)]),
        "categories": StringTable.of([f"c{place}" if place else "" for place in rng.integers(0, 3, size)]),
    }
    known = np.where(rng.random(size) < 0.8, rng.integers(0, 10, size), np.nan).astype(np.float32)
    return Catalog(item_ids, rng.integers(0, 8, size), columns, known if prices else None)


def small_pdn(rng: np.random.Generator, size: int) -> PdnShard:
    """A path table with 0 to `NEIGHBOURS` neighbours a row."""
    neighbours = np.full((size, NEIGHBOURS), -1, dtype=np.int32)
    scores = np.full((size, NEIGHBOURS), -np.inf, dtype=np.float16)
    for row in range(size):
        others = rng.permutation(np.delete(np.arange(size), row))[: rng.integers(0, NEIGHBOURS + 1)]
        neighbours[row, : len(others)] = others
        scores[row, : len(others)] = -np.sort(-rng.integers(-4, 5, len(others)) / 2)
    entry = PdnEntry(neighbours=NEIGHBOURS, dim=DIM, trigger_dim=2)
    return PdnShard(entry, TRIGGERS, neighbours, scores, _rounded(rng, size, DIM), _rounded(rng, size, 2))


def _rounded(rng: np.random.Generator, size: int, dim: int) -> NDArray[np.float32]:
    """Vectors of quarters, so that scores tie."""
    vectors: NDArray[np.float32] = (np.round(rng.normal(size=(size, dim)) * 4) / 4).astype(np.float32)
    return vectors


def _index(vectors: NDArray[np.float32], *, graph: bool) -> Index:
    if not graph:
        return ExactIndex(vectors)
    index = HnswIndex.build(vectors, "ip", m=8, ef_construction=64, seed=7)
    index.set_ef(GRAPH_EF)
    return index
