"""Reads an hnswlib file without hnswlib, because hnswlib believes it: a wrong header or link reads past its memory.

The layout is that of `HierarchicalNSW::saveIndex` in hnswlib 0.8: a header, then per row its links on the ground level,
its vector and its label, then per row the size and the links of its upper levels.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.errors import IndexMismatch

# size_t offsetLevel0, max_elements, count, row bytes, label offset, vector offset; int level; unsigned entry point;
# size_t maxM, maxM0, M; double mult; size_t ef_construction
_HEADER = struct.Struct("<6QiI3QdQ")
_WORD = 4
_LABEL_BYTES = 8
_COUNT_MASK = np.uint32(0xFFFF)  # the upper half of the count word holds flags


@dataclass(frozen=True)
class _Header:
    """The fields that decide where everything else lies."""

    capacity: int
    count: int
    row_bytes: int
    label_offset: int
    vector_offset: int
    level: int
    entry_point: int
    upper_links: int
    ground_links: int
    m: int


def check_graph_file(path: Path, *, count: int, dim: int, m: int) -> None:
    """Check that a graph has `count` rows of `dim` floats, was built with `m`, and links only to its own rows (M17)."""
    size = path.stat().st_size
    if size <= _HEADER.size or size % _WORD:
        _refuse(path, f"expected a header of {_HEADER.size} bytes and whole words, found {size} bytes in all")
    header = _read_header(path)
    _check_header(path, header, count=count, dim=dim, m=m)
    words = np.memmap(path, dtype=np.uint32, mode="r", offset=_HEADER.size, shape=((size - _HEADER.size) // _WORD,))
    row_words = header.row_bytes // _WORD
    if len(words) < count * row_words:
        _refuse(path, f"expected {count} rows of {header.row_bytes} bytes, the file ends before")
    ground = words[: count * row_words].reshape(count, row_words)
    _check_ground_links(path, ground[:, : 1 + header.ground_links], count)
    level = _check_upper_links(path, words[count * row_words :], header)
    if header.level != level:
        _refuse(path, f"its entry point should lie on level {header.level}, lies on {level}")


def _read_header(path: Path) -> _Header:
    with path.open("rb") as file:
        fields = _HEADER.unpack(file.read(_HEADER.size))
    _, capacity, count, row_bytes, label_offset, vector_offset, level, entry_point, upper, ground, m, _, _ = fields
    return _Header(capacity, count, row_bytes, label_offset, vector_offset, level, entry_point, upper, ground, m)


def _check_header(path: Path, header: _Header, *, count: int, dim: int, m: int) -> None:
    vector_bytes = dim * _WORD
    expected = {
        "count": count,
        "m": m,
        "upper_links": m,
        "ground_links": 2 * m,
        "vector_offset": _WORD * (1 + 2 * m),
        "label_offset": _WORD * (1 + 2 * m) + vector_bytes,
        "row_bytes": _WORD * (1 + 2 * m) + vector_bytes + _LABEL_BYTES,
    }
    for field, value in expected.items():
        found = getattr(header, field)
        if found != value:
            _refuse(
                path,
                f"expected a graph of {count} vectors of {dim} dimensions with M {m}, "
                f"but the header's {field} is {found} instead of {value}",
            )
    if header.capacity < count or header.entry_point >= count:
        _refuse(path, f"capacity {header.capacity} or entry point {header.entry_point} does not fit {count} rows")


def _check_ground_links(path: Path, links: NDArray[np.uint32], count: int) -> None:
    """`links` is (count, 1 + ground_links): how many, then which rows."""
    used = links[:, 0] & _COUNT_MASK
    limit = links.shape[1] - 1
    if (used > limit).any():
        _refuse(path, f"row {int(np.argmax(used))} claims {int(used.max())} links, at most {limit} fit")
    targets = np.where(np.arange(limit) < used[:, None], links[:, 1:], 0)
    if (targets >= count).any():
        row = int(np.flatnonzero((targets >= count).any(axis=1))[0])
        _refuse(path, f"row {row} links to a row that does not exist")


def _check_upper_links(path: Path, words: NDArray[np.uint32], header: _Header) -> int:
    """Walk the upper levels' lists; returns the level of the entry point. Most rows have none: their word is 0."""
    list_words = 1 + header.upper_links
    nonzero = np.flatnonzero(words)
    entry_level = 0
    row, place = 0, 0
    while row < header.count:
        ahead = int(np.searchsorted(nonzero, place))
        empty = (int(nonzero[ahead]) if ahead < len(nonzero) else len(words)) - place
        row, place = row + empty, place + empty
        if row >= header.count or place == len(words):
            break
        levels, rest = divmod(int(words[place]), list_words * _WORD)
        block = words[place + 1 : place + 1 + levels * list_words]
        if rest or len(block) < levels * list_words:
            _refuse(path, f"row {row}: {int(words[place])} bytes of upper links do not fit")
        _check_ground_links(path, block.reshape(levels, list_words), header.count)
        if row == header.entry_point:
            entry_level = levels
        row, place = row + 1, place + 1 + len(block)
    if row != header.count or place != len(words):
        _refuse(path, "its upper levels do not end where the file ends")
    return entry_level


def _refuse(path: Path, reason: str) -> None:
    message = f"{path}: {reason}"
    raise IndexMismatch(message)
