"""hnswlib behind the `Index` protocol: build, save, load with every check, search with exact scores."""

from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from index_store.errors import IndexMismatch
from index_store.hnsw_file import check_graph_file
from index_store.index import Neighbours, exact_top_k
from index_store.index_entry import Space, VectorEntry
from index_store.spaces import HNSWLIB_SPACE, largest_square, stored_dim, stored_items, stored_queries


class HnswIndex:
    """A graph over `vectors` (N, D), searched on the calling thread.

    `ef` belongs to the graph, not to the query (nmslib/hnswlib#64), so it is set once. Returned scores are inner
    products recomputed from `vectors`, whatever the space.
    """

    def __init__(self, graph: hnswlib.Index, space: Space, vectors: NDArray[np.float32]) -> None:
        self._graph = graph
        self._space: Space = space
        self._vectors = vectors

    @classmethod
    def build(
        cls, vectors: NDArray[np.float32], space: Space, *, m: int, ef_construction: int, seed: int
    ) -> "HnswIndex":
        """Insert rows in order on one thread with a fixed seed: the same vectors give the same bytes."""
        stored = stored_items(space, vectors, largest_square(vectors))
        graph = hnswlib.Index(space=HNSWLIB_SPACE[space], dim=stored.shape[1])
        graph.init_index(max_elements=len(stored), M=m, ef_construction=ef_construction, random_seed=seed)
        graph.add_items(stored, np.arange(len(stored)), num_threads=1)
        return cls(graph, space, vectors)

    @classmethod
    def load(cls, path: Path, entry: VectorEntry, vectors: NDArray[np.float32]) -> "HnswIndex":
        """Load a graph and make sure that it is the one over `vectors` (M17)."""
        if entry.space is None or entry.ef is None or entry.m is None:
            message = f"{path}: the manifest has no space, ef and M for it"
            raise IndexMismatch(message)
        dim = stored_dim(entry.space, entry.dim)
        check_graph_file(path, vectors, entry.space, entry.m)
        graph = hnswlib.Index(space=HNSWLIB_SPACE[entry.space], dim=dim)
        try:
            graph.load_index(str(path), max_elements=len(vectors))
        except RuntimeError as error:
            message = f"{path}: hnswlib refuses it: {error}"
            raise IndexMismatch(message) from error
        index = cls(graph, entry.space, vectors)
        index.set_ef(entry.ef)
        return index

    def save(self, path: Path) -> None:
        """Write the graph; `ef` is not part of the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._graph.save_index(str(path))

    def set_ef(self, ef: int) -> None:
        """Set the search breadth. Not safe beside a running search."""
        self._graph.set_ef(ef)

    def search(self, queries: NDArray[np.float32], k: int, *, spare: bool = False) -> Neighbours:  # noqa: ARG002
        """See `Index.search`. A query for which the graph reaches fewer than k rows is searched exactly.

        Nothing is to spare: only the k are scored by their vectors.
        """
        k = min(k, len(self._vectors))
        try:
            labels, _ = self._graph.knn_query(stored_queries(self._space, queries), k=k, num_threads=1)
        except RuntimeError:
            # "Cannot return the results in a contiguous 2D array": a poorly connected graph (nmslib/hnswlib#373)
            if len(queries) > 1:
                each = [self.search(query[None], k) for query in queries]
                rows, scores = np.concatenate([one.rows for one in each]), np.concatenate([one.scores for one in each])
                return Neighbours(rows, scores, "exact_fallback")
            found = exact_top_k(self._vectors, queries, k)
            return Neighbours(found.rows, found.scores, "exact_fallback")
        rows = np.sort(labels.astype(np.int64), axis=1)
        scores = np.matmul(self._vectors[rows], queries[:, :, None])[:, :, 0]
        order = np.argsort(-scores, axis=1, kind="stable")
        return Neighbours(np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1), "hnsw")
