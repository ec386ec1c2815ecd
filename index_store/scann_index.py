"""ScaNN behind the `Index` protocol: build, save, load with every check, search with exact scores. Needs `scann`."""

import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scann  # noqa: F401 - makes the native module below importable
import scann_pybind
from numpy.typing import NDArray
from scann.scann_ops.scann_assets_pb2 import ScannAssets

from index_store.engines import ScannUnfit
from index_store.errors import IndexMismatch
from index_store.index import Neighbours, SearchMethod, exact_top_k
from index_store.index_entry import ScannEntry
from index_store.layout import SCANN_SPILLED, scann_files
from index_store.scann_config import scann_config
from index_store.scann_file import LARGEST_COMPONENT, check_scann_files, largest_component

_ASSETS = {
    "ah_codebook.pb": "AH_CENTERS",
    "serialized_partitioner.pb": "PARTITIONER",
    "datapoint_to_token.npy": "TOKENIZATION_NPY",
    "hashed_dataset.npy": "AH_DATASET_NPY",
    SCANN_SPILLED: "AH_DATASET_SOAR_NPY",
}
# beyond float32 ScaNN ends the process; far below it no encoder's vector is any use
_LARGEST_SCORE = 1e30


class ScannIndex:
    """Leaves of a k-means tree over `vectors` (N, D), scanned by codes; the best are scored by the vectors themselves.

    Searched on the calling thread. `entry` says how much one search for at most `recall_k` rows looks at, and how much
    that grows for more. Scores are inner products in float32 with `vectors`, of which ScaNN has its own
    copy: gathering from ours again costs a fifth of a search (docs/engines.md).
    """

    def __init__(
        self, searcher: scann_pybind.ScannNumpy, vectors: NDArray[np.float32], recall_k: int, entry: ScannEntry
    ) -> None:
        self._searcher = searcher
        self._vectors = vectors
        self._recall_k = recall_k
        self._entry = entry
        self._largest_query = _LARGEST_SCORE / (vectors.shape[1] * max(largest_component(vectors), 1.0))

    @classmethod
    def build(cls, vectors: NDArray[np.float32], recall_k: int, entry: ScannEntry) -> "ScannIndex":
        """Build on one thread from the seed: the same vectors give the same files. `ScannUnfit` where it cannot."""
        if (largest := largest_component(vectors)) > LARGEST_COMPONENT:
            message = f"expected components up to {LARGEST_COMPONENT:g}, found {largest:g}"
            raise ScannUnfit(message)
        config = scann_config(vectors.shape[1], recall_k, entry)
        try:
            with _native_stderr_to(os.devnull):
                searcher = scann_pybind.ScannNumpy(np.ascontiguousarray(vectors), str(config), 1)
        except RuntimeError as error:
            raise ScannUnfit(str(error)) from error
        return cls(searcher, vectors, recall_k, entry)

    @classmethod
    def load(cls, folder: Path, vectors: NDArray[np.float32], recall_k: int, entry: ScannEntry) -> "ScannIndex":
        """Load the index of `folder` and make sure that it is the one over `vectors`, of `../vectors.npy` (M17)."""
        check_scann_files(folder, vectors, recall_k, entry)
        assets = ScannAssets()
        for name in scann_files(entry):
            if name in _ASSETS:
                assets.assets.add(asset_type=_ASSETS[name], asset_path=name)
        assets.assets.add(asset_type="DATASET_NPY", asset_path="../vectors.npy")
        try:
            searcher = scann_pybind.ScannNumpy(str(folder), str(assets))
        except (RuntimeError, IndexError) as error:
            message = f"{folder}: ScaNN refuses it: {error}"
            raise IndexMismatch(message) from error
        return cls(searcher, vectors, recall_k, entry)

    def save(self, folder: Path) -> None:
        """Write the files of the layout; ScaNN's copy of the vectors and its list of files are not among them."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            self._searcher.serialize(scratch, True)  # noqa: FBT003 - relative paths; the binding takes no names
            for name in scann_files(self._entry):
                written = Path(scratch) / name
                if not written.exists():
                    message = f"ScaNN writes no {name} for them"
                    raise ScannUnfit(message)
                shutil.move(written, folder / name)

    def set_effort(self, entry: ScannEntry) -> None:
        """Search as another entry of the same index says."""
        self._entry = entry

    def search(self, queries: NDArray[np.float32], k: int, *, spare: bool = False) -> Neighbours:
        """See `Index.search`. Where half of all rows would be scored, all are. `ValueError` for a query not finite."""
        count, dim = self._vectors.shape
        if queries.shape[1] != dim:
            message = f"expected queries of {dim} dimensions, found {queries.shape[1]}"
            raise ValueError(message)
        k = min(k, count)
        leaves, reorder = self._effort(k)
        if 2 * reorder >= count:
            return exact_top_k(self._vectors, queries, k)
        if not np.abs(queries).max(initial=0.0) <= self._largest_query:
            message = f"expected finite queries with components up to {self._largest_query:.2g}"
            raise ValueError(message)
        width = reorder if spare else k
        rows = np.full((len(queries), width), -1, dtype=np.int64)
        scores = np.full((len(queries), width), -np.inf, dtype=np.float32)
        method: SearchMethod = "scann"
        for number, query in enumerate(queries):
            found, found_scores = self._searcher.search(query, width, reorder, leaves)
            if len(found) < k:
                found, found_scores, method = self._wider(query, k, reorder)
            rows[number, : len(found)], scores[number, : len(found)] = found, found_scores
        for number in (scores[:, 1:] == scores[:, :-1]).any(axis=1).nonzero()[0].tolist():
            order = np.lexsort((rows[number], -scores[number]))
            rows[number], scores[number] = rows[number][order], scores[number][order]
        return Neighbours(rows, scores, method)

    def _effort(self, k: int) -> tuple[int, int]:
        """Leaves and rows for k."""
        leaves, reorder = self._entry.effort(k, self._recall_k)
        return min(math.ceil(leaves), self._entry.leaves), min(math.ceil(reorder), len(self._vectors))

    def _wider(
        self, query: NDArray[np.float32], k: int, reorder: int
    ) -> tuple[NDArray[Any], NDArray[np.float32], SearchMethod]:
        """Answer a query whose leaves hold fewer than k rows: from all leaves, and if that is not enough, exactly."""
        found, scores = self._searcher.search(query, k, 2 * max(k, reorder), self._entry.leaves)
        if len(found) == k:
            return found, scores, "scann"
        exact = exact_top_k(self._vectors, query[None], k)
        return exact.rows[0], exact.scores[0], "exact_fallback"


@contextmanager
def _native_stderr_to(path: str) -> Iterator[None]:
    """Send what native code writes to standard error elsewhere: ScaNN reports on its training there, unasked."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(path, "wb") as file:  # noqa: PTH123 - also a device
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
