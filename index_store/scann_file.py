"""Reads ScaNN's files without ScaNN, because ScaNN believes them: too few codes are read beyond their memory.

What lies in the folder, for N rows of D dimensions in T leaves, with B codes a row:

- scann_config.pb, a `ScannConfig`: how the index was built.
- serialized_partitioner.pb, a `SerializedPartitioner`: the T leaves' centres, (D,) each.
- ah_codebook.pb, a `CentersForAllSubspaces`: the 16 centres of each of B blocks of dimensions.
- datapoint_to_token.npy: (N,) int32, each row's leaf; with SOAR (2 N,), row r's at 2 r, its second one or -1 after it.
- hashed_dataset.npy: (N, B) uint8, the codes of what the first leaf's centre leaves over of each row.
- hashed_dataset_soar.npy: the same for the second leaf, with SOAR only.

The vectors themselves are the `vectors.npy` beside the folder; ScaNN's own copy of them is not kept.
"""

from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from scann.partitioning.partitioner_pb2 import SerializedPartitioner
from scann.proto.centers_pb2 import CentersForAllSubspaces
from scann.proto.scann_pb2 import ScannConfig

from index_store.arrays import load_array
from index_store.errors import IndexMismatch
from index_store.index_entry import ScannEntry
from index_store.scann_config import CODES, blocks, scann_config

_CHUNK_ROWS = 65_536
_SAMPLE = 2_048
_MOST_LEFT_OVER = 0.5  # of the vectors' energy, after their codes: about 0.1 of the right vectors', over 1 of others'

LARGEST_COMPONENT = 1e12
"""Of a vector: where ScaNN's own sums overflow float32, it ends the process."""

_Message = TypeVar("_Message")
Floats = NDArray[np.float32]


def check_scann_files(folder: Path, vectors: Floats, recall_k: int, entry: ScannEntry) -> int:
    """Check that a folder holds an index over `vectors` (N, D), built as the manifest says (M17); returns T."""
    count, dim = vectors.shape
    if (largest := largest_component(vectors)) > LARGEST_COMPONENT:
        _refuse(folder, f"expected components of vectors up to {LARGEST_COMPONENT:g}, found {largest:g}")
    config = _parsed(folder / "scann_config.pb", ScannConfig)
    if config != scann_config(dim, recall_k, entry):
        _refuse(folder / "scann_config.pb", "it is not the configuration that the manifest's settings make")
    centres = _leaf_centres(folder / "serialized_partitioner.pb", dim, entry)
    books = _codebooks(folder / "ah_codebook.pb", dim, entry)
    width = 1 if entry.soar is None else 2
    leaves = load_array(folder / "datapoint_to_token.npy", np.int32, (count * width,)).reshape(count, width)
    _check_leaves(folder / "datapoint_to_token.npy", leaves, len(centres))
    codes = _codes(folder / "hashed_dataset.npy", (count, len(books)))
    if entry.soar is not None:
        _codes(folder / "hashed_dataset_soar.npy", (count, len(books)))
    _check_sample(folder, vectors, centres[leaves[_sampled(count), 0]], books, codes)
    return len(centres)


def largest_component(vectors: Floats) -> float:
    """Find the largest absolute value of (N, D)."""
    return max(float(vectors.max()), -float(vectors.min()))


def _leaf_centres(path: Path, dim: int, entry: ScannEntry) -> Floats:
    """The centres (T, D) of a tree with one level below its root, T at most the leaves that were asked for."""
    tree = _parsed(path, SerializedPartitioner)
    root = tree.kmeans.kmeans_tree.root
    ids = [child.leaf_id for child in root.children]
    if (
        not tree.HasField("kmeans")
        or tree.n_tokens != len(ids)
        or not 1 <= len(ids) <= entry.leaves
        or len(root.centers) != len(ids)
    ):
        found = f"{tree.n_tokens} leaves, {len(ids)} nodes and {len(root.centers)} centres"
        _refuse(path, f"expected 1 to {entry.leaves} leaves with a centre each, found {found}")
    if ids != list(range(len(ids))) or any(child.children or child.centers for child in root.children):
        _refuse(path, "expected the root's children to be the leaves, in order")
    if tree.uses_projection or tree.kmeans.HasField("next_bottom_up_level"):
        _refuse(path, "expected a tree without projection and without a level above")
    return _rows(path, [centre.dimension for centre in root.centers], dim)


def _codebooks(path: Path, dim: int, entry: ScannEntry) -> Floats:
    """The centres (B, 16, block) of all blocks, zeros beyond the last one's dimensions."""
    found = _parsed(path, CentersForAllSubspaces)
    count = blocks(dim, entry.block)
    sizes = [len(each.center) for each in found.subspace_centers]
    if sizes != [CODES] * count or found.quantization_scheme or found.HasField("serialized_projection"):
        _refuse(path, f"expected {count} blocks with {CODES} centres each, found {sizes[:8]} in {len(sizes)} blocks")
    books = np.zeros((count, CODES, entry.block), dtype=np.float32)
    for number, each in enumerate(found.subspace_centers):
        width = min(entry.block, dim - number * entry.block)
        books[number, :, :width] = _rows(path, [centre.feature_value_float for centre in each.center], width)
    return books


def _rows(path: Path, rows: list[Any], width: int) -> Floats:
    if any(len(row) != width for row in rows):
        _refuse(path, f"expected centres of {width} dimensions")
    found = np.array(rows, dtype=np.float64).astype(np.float32)
    if not np.isfinite(found).all():
        _refuse(path, "expected finite centres, found NaN or infinity")
    return found


def _check_leaves(path: Path, leaves: NDArray[np.int32], count: int) -> None:
    lowest = leaves.min(axis=0).tolist()
    if lowest[0] < 0 or min(lowest) < -1 or int(leaves.max()) >= count:
        _refuse(path, f"expected leaves from 0 to {count - 1}, found {min(lowest)} to {int(leaves.max())}")


def _codes(path: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = load_array(path, np.uint8, shape)
    for start in range(0, len(codes), _CHUNK_ROWS):
        if int(codes[start : start + _CHUNK_ROWS].max()) >= CODES:
            _refuse(path, f"expected codes below {CODES}, found more in rows from {start}")
    return codes


def _sampled(count: int) -> NDArray[np.int64]:
    return np.arange(0, count, max(count // _SAMPLE, 1))


def _check_sample(folder: Path, vectors: Floats, centres: Floats, books: Floats, codes: NDArray[np.uint8]) -> None:
    """Put sampled rows together from centre (S, D) and codes: they must come near the vectors, or it is another's."""
    rows = _sampled(len(vectors))
    parts = books[np.arange(len(books)), codes[rows]].reshape(len(rows), -1)[:, : vectors.shape[1]]
    sampled = vectors[rows].astype(np.float64)
    left_over = float(((sampled - centres - parts) ** 2).sum())
    if not left_over <= _MOST_LEFT_OVER * float((sampled**2).sum()):
        _refuse(folder, "its leaves and codes are not those of the vectors.npy beside it")


def _parsed(path: Path, kind: type[_Message]) -> _Message:
    try:
        message: _Message = kind.FromString(path.read_bytes())  # type: ignore[attr-defined] # generated by protobuf
    except Exception as error:  # protobuf's DecodeError, which is not imported here: this package knows no protobuf
        message_text = f"{path}: expected a {kind.__name__}: {error}"
        raise IndexMismatch(message_text) from error
    return message


def _refuse(path: Path, reason: str) -> NoReturn:
    message = f"{path}: {reason}"
    raise IndexMismatch(message)
