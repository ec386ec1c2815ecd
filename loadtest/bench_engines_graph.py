"""Graphs for the bench of engines, kept between runs: a million items take minutes to insert."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.content import IndexPolicy
from index_store.hnsw import HnswIndex
from index_store.index_entry import Space, VectorEntry
from index_store.sweep import Graph


def graph_of(vectors: NDArray[np.float32], policy: IndexPolicy, space: Space, m: int, kept: Path | None) -> Graph:
    """Load the graph that an earlier run kept of the same vectors and settings, or build it and keep it.

    Its file is checked as a bundle's is (`HnswIndex.load`).
    """
    path = None if kept is None else kept / f"{_key(vectors, policy, space, m)}.hnsw"
    if path is not None and path.is_file():
        index = HnswIndex.load(path, _entry(vectors, policy, space, m), vectors)
    else:
        index = HnswIndex.build(vectors, space, m=m, ef_construction=policy.ef_construction, seed=policy.seed)
        if path is not None:
            unfinished = path.with_suffix(".part")
            index.save(unfinished)
            unfinished.replace(path)
    return Graph(index, space, m, policy.ef_construction)


def _key(vectors: NDArray[np.float32], policy: IndexPolicy, space: Space, m: int) -> str:
    settings = f"{vectors.shape} {space} {m} {policy.ef_construction} {policy.seed}".encode()
    return hashlib.blake2b(np.ascontiguousarray(vectors).data, digest_size=12, key=settings).hexdigest()


def _entry(vectors: NDArray[np.float32], policy: IndexPolicy, space: Space, m: int) -> VectorEntry:
    return VectorEntry(
        dim=vectors.shape[1],
        engine="hnsw",
        recall_k=policy.recall_k,
        recall_target=policy.recall_target,
        recall=0.0,
        queries=0,
        own_queries=0,
        curve=(),
        space=space,
        ef=policy.recall_k,
        m=m,
        ef_construction=policy.ef_construction,
    )
