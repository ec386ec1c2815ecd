"""Reads an hnswlib file without hnswlib, because hnswlib believes it: a wrong header or link reads past its memory.

The layout is that of `HierarchicalNSW::saveIndex` in hnswlib 0.8: a header, then per row its links on the ground level,
its vector and its label, then per row the size and the links of its upper levels, lowest first.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from index_store.errors import IndexMismatch
from index_store.index_entry import Space
from index_store.spaces import largest_square, stored_dim, stored_items

# size_t offsetLevel0, max_elements, count, row bytes, label offset, vector offset; int level; unsigned entry point;
# size_t maxM, maxM0, M; double mult; size_t ef_construction
_HEADER = struct.Struct("<6QiI3QdQ")
_WORD = 4
_LABEL_WORDS = 2
_CHUNK_ROWS = 65_536
_MARGIN = 1e-6

Words = NDArray[np.uint32]


@dataclass(frozen=True)
class _Shape:
    """What the manifest and the vectors say the graph must be; sizes in 32-bit words."""

    count: int
    dim: int
    m: int

    @property
    def ground_words(self) -> int:
        return 1 + 2 * self.m

    @property
    def row_words(self) -> int:
        return self.ground_words + self.dim + _LABEL_WORDS

    @property
    def list_words(self) -> int:
        return 1 + self.m


def check_graph_file(path: Path, vectors: NDArray[np.float32], space: Space, m: int) -> None:
    """Check that a file is a graph over `vectors` (N, D) laid out for `space`, built with `m` (M17)."""
    shape = _Shape(len(vectors), stored_dim(space, vectors.shape[1]), m)
    size = path.stat().st_size
    if size <= _HEADER.size or size % _WORD:
        _refuse(path, f"expected a header of {_HEADER.size} bytes and whole words, found {size} bytes in all")
    level, entry_point = _check_header(path, shape)
    words = np.memmap(path, dtype=np.uint32, mode="r", offset=_HEADER.size, shape=((size - _HEADER.size) // _WORD,))
    if len(words) < shape.count * shape.row_words:
        _refuse(path, f"expected {shape.count} rows of {shape.row_words} words, the file ends before")
    ground = words[: shape.count * shape.row_words].reshape(shape.count, shape.row_words)
    _check_rows(path, ground, vectors, space, shape)
    levels = _check_upper_links(path, words[shape.count * shape.row_words :], shape)
    if levels[entry_point] != level or levels.max() != level:
        _refuse(
            path, f"expected the entry point on the top level {levels.max()}, found {level} and {levels[entry_point]}"
        )


def _check_header(path: Path, shape: _Shape) -> tuple[int, int]:
    """Compare every field that decides where something lies; returns level and row of the entry point."""
    with path.open("rb") as file:
        fields = _HEADER.unpack(file.read(_HEADER.size))
    start, capacity, count, row_bytes, label_at, vector_at, level, entry_point, upper, ground, m, _, _ = fields
    comparisons = {
        "offset of the first row": (0, start),
        "number of vectors": (shape.count, count),
        "capacity": (shape.count, capacity),
        "bytes per row": (shape.row_words * _WORD, row_bytes),
        "offset of the vector": (shape.ground_words * _WORD, vector_at),
        "offset of the label": ((shape.ground_words + shape.dim) * _WORD, label_at),
        "M": (shape.m, m),
        "links above": (shape.m, upper),
        "links on the ground": (2 * shape.m, ground),
    }
    for name, (expected, found) in comparisons.items():
        if expected != found:
            _refuse(path, f"{name}: expected {expected}, found {found} ({shape.dim} dimensions, M {shape.m})")
    if entry_point >= count:
        _refuse(path, f"entry point: expected a row below {count}, found {entry_point}")
    return level, entry_point


def _check_rows(path: Path, ground: Words, vectors: NDArray[np.float32], space: Space, shape: _Shape) -> None:
    """Links, vectors and labels of all rows, a chunk at a time: a million rows are half a gigabyte."""
    largest = largest_square(vectors)
    levels = np.zeros(shape.count, dtype=np.int32)
    for start in range(0, shape.count, _CHUNK_ROWS):
        rows = np.arange(start, min(start + _CHUNK_ROWS, shape.count))
        chunk = ground[rows[0] : rows[-1] + 1]
        _check_links(path, chunk[:, : shape.ground_words], rows, levels, level=0)
        if shape.count > 1 and (chunk[:, 0] == 0).any():
            _refuse(path, f"row {rows[int(np.argmin(chunk[:, 0]))]}: expected at least one link, found none")
        found = np.ascontiguousarray(chunk[:, shape.ground_words : -_LABEL_WORDS]).view(np.float32)
        expected = stored_items(space, vectors[rows], largest)
        margin = np.zeros(shape.dim, dtype=np.float32)
        margin[vectors.shape[1] :] = _MARGIN * np.sqrt(largest)  # computed, so that machines may differ in the last bit
        wrong = ~(np.abs(found - expected) <= margin).all(axis=1)
        if wrong.any():
            _refuse(path, f"row {rows[int(np.argmax(wrong))]}: its vector is not the one of vectors.npy for {space}")
        if (chunk[:, -2] != rows).any() or chunk[:, -1].any():
            _refuse(path, f"its labels are not the rows 0 to {shape.count - 1} in order")


def _check_links(path: Path, lists: Words, rows: NDArray[np.int64], levels: NDArray[np.int32], *, level: int) -> None:
    """`lists` is (R, 1 + limit): how many links row r of `rows` has on `level`, then where they lead.

    The count's upper half holds hnswlib's mark of deletion, which must not be set. `levels` are all rows' levels.
    """
    used, limit = lists[:, 0], lists.shape[1] - 1
    if (used > limit).any():
        worst = int(np.argmax(used))
        _refuse(path, f"row {rows[worst]}: expected at most {limit} links and no mark, found {used[worst]}")
    linked = np.arange(limit) < used[:, None]
    targets = np.where(linked, lists[:, 1:], 0)
    bad = (targets >= len(levels)) | (linked & (targets == rows[:, None]))
    if not bad.any():
        bad = linked & (levels[targets] < level)
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        target = targets[row][bad[row]][0]
        _refuse(path, f"row {rows[row]}: expected links to other rows on level {level}, found one to {target}")


def _check_upper_links(path: Path, words: Words, shape: _Shape) -> NDArray[np.int32]:
    """Walk the upper levels' lists and check each level's links; returns the level (N,) of every row."""
    places = _upper_lists(path, words, shape)
    levels = np.zeros(shape.count, dtype=np.int32)
    rows = np.array(list(places), dtype=np.int64)
    levels[rows] = [count for count, _ in places.values()]
    for level in range(1, int(levels.max()) + 1):
        there = rows[levels[rows] >= level]
        starts = np.array([places[row][1] for row in there.tolist()]) + (level - 1) * shape.list_words
        _check_links(path, words[starts[:, None] + np.arange(shape.list_words)], there, levels, level=level)
    return levels


def _upper_lists(path: Path, words: Words, shape: _Shape) -> dict[int, tuple[int, int]]:
    """Row → (how many upper levels, where its lists begin). Most rows have none: their one word is 0."""
    nonzero = np.flatnonzero(words)
    found: dict[int, tuple[int, int]] = {}
    row, place = 0, 0
    while row < shape.count:
        ahead = int(np.searchsorted(nonzero, place))
        empty = (int(nonzero[ahead]) if ahead < len(nonzero) else len(words)) - place
        row, place = row + empty, place + empty
        if row >= shape.count or place == len(words):
            break
        levels, rest = divmod(int(words[place]), shape.list_words * _WORD)
        end = place + 1 + levels * shape.list_words
        if rest or end > len(words):
            _refuse(path, f"row {row}: {int(words[place])} bytes of upper links do not fit")
        found[row] = (levels, place + 1)
        row, place = row + 1, end
    if row != shape.count or place != len(words):
        _refuse(path, f"expected upper levels of {shape.count} rows to the end of the file, found {row}")
    return found


def _refuse(path: Path, reason: str) -> NoReturn:
    message = f"{path}: {reason}"
    raise IndexMismatch(message)
