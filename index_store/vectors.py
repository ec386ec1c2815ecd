"""Any source's vectors and the index over them: finite, and searched as the manifest says (M16 to M18)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.arrays import load_array
from index_store.errors import RecallUnderTarget, VectorsInvalid
from index_store.hnsw import HnswIndex
from index_store.index import ExactIndex, Index
from index_store.manifest import VectorEntry

_CHUNK_ROWS = 65_536


def load_vectors(path: Path, count: int, dim: int) -> NDArray[np.float32]:
    """Map (count, dim) float32 vectors; `ArrayMalformed` or, where one is not finite, `VectorsInvalid`."""
    vectors: NDArray[np.float32] = load_array(path, np.float32, (count, dim))
    for start in range(0, count, _CHUNK_ROWS):
        finite = np.isfinite(vectors[start : start + _CHUNK_ROWS]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            message = f"{path.name} of {path.parent}: expected finite vectors, found NaN or infinity in row {row}"
            raise VectorsInvalid(message)
    return vectors


def load_index(path: Path, entry: VectorEntry, vectors: NDArray[Any]) -> Index:
    """Load the graph at `path` where the entry names one, or search exactly; checks M17 and M18."""
    _check_recall(path.parent, entry)
    if entry.engine == "exact":
        return ExactIndex(vectors)
    return HnswIndex.load(path, entry, vectors)


def _check_recall(where: Path, entry: VectorEntry) -> None:
    if entry.engine == "exact":
        measured = [1.0]
    else:
        measured = [point.recall for point in entry.curve if (point.space, point.ef) == (entry.space, entry.ef)]
    if measured != [entry.recall]:
        message = (
            f"{where}: recall {entry.recall} is not what its curve has at {entry.space}, ef {entry.ef}: {measured}"
        )
        raise RecallUnderTarget(message)
    if entry.recall < entry.recall_target:
        message = f"{where}: expected recall of at least {entry.recall_target}, the manifest has {entry.recall}"
        raise RecallUnderTarget(message)
