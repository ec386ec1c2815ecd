"""One synthetic country with every source, in memory, at the size of a real one: what the benches of sources search.

Items lie in 2,000 clusters of a low-rank space, with nearly equal lengths, as trained vectors do; users' histories come
from one or two clusters. LED, two-tower and the pairs share one set of vectors and one graph, so that a million items
fit a small machine: what a search costs depends on its size and dimensions, not on whose vectors they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from index_store.arrays import StringTable
from index_store.catalog import Catalog
from index_store.country import Country
from index_store.hnsw import HnswIndex
from index_store.index_entry import VectorEntry
from index_store.item_interaction import ItemInteractionShard, Pairs
from index_store.led import LedShard
from index_store.manifest import PairsEntry, PdnEntry, TwoTowerEntry
from index_store.pdn import PdnShard
from index_store.spaces import HNSWLIB_SPACE, stored_dim, stored_items
from index_store.two_tower import TwoTowerShard
from models.interactions import InteractionType

DIM = 100
ITEM_DIM = 64
DIRECT_DIM = 33
NEIGHBOURS = 200
TRIGGERS = 50
HISTORY = 50
SHARES = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.5)
"""Share of the catalogue that the merchants "0.0001", "0.001" and so on have."""

_CLUSTERS = 2_000
_RANK = 32
_M, _EF_CONSTRUCTION = 16, 120
_CHUNK = 20_000
_SEED = 7

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SyntheticItems:
    """vectors: (N, DIM + 1) float32, the last one is the bias. by_cluster: rows by cluster; ends: (C + 1,) of each."""

    vectors: NDArray[np.float32]
    by_cluster: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def draw(cls, count: int) -> "SyntheticItems":
        """Draw `count` items."""
        rng = np.random.default_rng(_SEED)
        basis = rng.normal(size=(_RANK, DIM)).astype(np.float32) / np.sqrt(_RANK)
        centres = rng.normal(size=(_CLUSTERS, _RANK)).astype(np.float32)
        clusters = rng.integers(0, _CLUSTERS, count)
        latent = centres[clusters] + 0.7 * rng.normal(size=(count, _RANK)).astype(np.float32)
        vectors = latent @ basis + 0.1 * rng.normal(size=(count, DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors *= np.exp(0.05 * rng.normal(size=(count, 1))).astype(np.float32)
        biases = 0.02 * rng.normal(size=count)
        by_cluster = np.argsort(clusters, kind="stable")
        ends = np.searchsorted(clusters[by_cluster], np.arange(_CLUSTERS + 1))
        return cls(np.column_stack([vectors, biases]).astype(np.float32), by_cluster, ends)

    def history(self, rng: np.random.Generator, length: int) -> NDArray[np.int64]:
        """Draw a history: one or two clusters, a few interests each."""
        clusters = rng.integers(0, _CLUSTERS, rng.integers(1, 3))
        drawn = rng.choice(clusters, length)
        begins, ends = self.ends[drawn], self.ends[drawn + 1]
        places = begins + (rng.random(length) * np.maximum(ends - begins, 1)).astype(np.int64)
        found: NDArray[np.int64] = self.by_cluster[np.minimum(places, len(self.by_cluster) - 1)]
        return found


def load_graph(items: SyntheticItems, cache: Path, progress: Progress) -> HnswIndex:
    """Open the graph over the items from `cache`, or build and keep it: about seven minutes for a million."""
    vectors = items.vectors
    path = cache / f"graph-{len(vectors)}.bin"
    graph = hnswlib.Index(space=HNSWLIB_SPACE["ip"], dim=stored_dim("ip", vectors.shape[1]))
    if path.exists():
        graph.load_index(str(path), max_elements=len(vectors))
        return HnswIndex(graph, "ip", vectors)
    graph.init_index(max_elements=len(vectors), M=_M, ef_construction=_EF_CONSTRUCTION, random_seed=_SEED)
    for start in range(0, len(vectors), _CHUNK):
        chunk = stored_items("ip", vectors[start : start + _CHUNK], 0.0)
        graph.add_items(chunk, np.arange(start, start + len(chunk)), num_threads=1)
        progress("building the graph", start + len(chunk), len(vectors))
    cache.mkdir(parents=True, exist_ok=True)
    graph.save_index(str(path))
    return HnswIndex(graph, "ip", vectors)


def synthetic_world(items: int, ef: int, cache: Path, say: Callable[[str], None]) -> tuple[SyntheticItems, Country]:
    """Draw `items` items and make their country; the graph is kept in `cache`. `say` hears what is being done."""
    say("drawing items")
    drawn = SyntheticItems.draw(items)
    index = load_graph(drawn, cache, lambda what, done, of: say(f"{what}: {done:,} of {of:,}"))
    say("making the country")
    return drawn, synthetic_country(drawn, index, ef)


def synthetic_country(items: SyntheticItems, index: HnswIndex, ef: int) -> Country:
    """Make the country "XX", searched with `ef`."""
    rng = np.random.default_rng(_SEED)
    vectors = items.vectors
    count, dim = vectors.shape
    index.set_ef(ef)
    entry: dict[str, Any] = {
        "dim": dim, "engine": "hnsw", "recall_k": 100, "recall_target": 0.0, "recall": 0.0, "queries": 0,
        "own_queries": 0, "curve": (), "space": "ip", "ef": ef, "m": _M, "ef_construction": _EF_CONSTRUCTION,
    }  # fmt: skip
    every = np.arange(count, dtype=np.int32)
    pairs = Pairs(PairsEntry(**entry, count=count), every, vectors, index)
    kinds = (InteractionType.VIEW, InteractionType.CART)
    return Country(
        code="XX",
        catalog=_catalog(rng, count),
        led=LedShard.of(VectorEntry(**entry), vectors, index),
        two_tower=TwoTowerShard(
            TwoTowerEntry(**entry, input_dim=ITEM_DIM), vectors, np.ascontiguousarray(vectors[:, :ITEM_DIM]), index
        ),
        pdn=_pdn(rng, count),
        item_interaction=ItemInteractionShard(kinds, kinds[:1], 4, dict.fromkeys(kinds, pairs)),
    )


def _catalog(rng: np.random.Generator, count: int) -> Catalog:
    """A merchant for each of `SHARES`, and one that has the rest; ids in random order."""
    owners = np.searchsorted(np.cumsum(SHARES), rng.permutation(count) / count, side="right")
    names = [*(f"{share}" for share in SHARES), "rest"]
    merchants = StringTable.of([names[owner] for owner in owners.tolist()])
    item_ids = rng.permutation(count).astype(np.uint64) * np.uint64(977) + np.uint64(11)
    return Catalog(item_ids, rng.zipf(1.3, count).clip(max=10**6), {"merchants": merchants})


def _pdn(rng: np.random.Generator, count: int) -> PdnShard:
    """Neighbours that lie anywhere: the worst for the caches."""
    neighbours = rng.integers(0, count, (count, NEIGHBOURS), dtype=np.int32)
    scores = np.broadcast_to(np.linspace(2.0, -2.0, NEIGHBOURS).astype(np.float16), neighbours.shape)
    item_vectors = rng.normal(size=(count, DIRECT_DIM)).astype(np.float32)
    trigger_vectors = rng.normal(size=(count, ITEM_DIM)).astype(np.float32)
    entry = PdnEntry(neighbours=NEIGHBOURS, dim=DIRECT_DIM, trigger_dim=ITEM_DIM)
    return PdnShard(entry, TRIGGERS, neighbours, np.ascontiguousarray(scores), item_vectors, trigger_vectors)
