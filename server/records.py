"""Reads the usual history off the wire at once: interactions by id that all have the same fields.

On the wire these are records of equal length, and numpy takes their columns. Whatever is not exactly that, faulty or
only unusual, is left to the generated class; protobuf joins messages that are concatenated, so what stands before and
after the records is a request of its own, without a history.

    0a 02 F R  12 12 09 <item_id> 18 <type> 20 <timestamp_ms>  12 12 09 …  18 64
    ├ country ─┤├ one record ──────────────────────────────────┤           ├ k …
"""

from collections.abc import Sequence
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.interactions import InteractionType
from server.query import History, ItemRefs

# a tag, or the length of what follows it
_COUNTRY, _HISTORY, _ID, _TYPE, _TIME = 0x0A, 0x12, 0x09, 0x18, 0x20
_MORE, _WHOLE = 0x80, 0xFF
_ID_BYTES = 8
# of the milliseconds between 1971 and 2109
_TIME_BYTES = 6
_HEAD_BYTES = 2
_ID_AT = 3
_TYPES = bytes(InteractionType)
_NOT_READ: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

# a varint is the sum of its bytes, seven bits each; all but the last are 128 too large
_TIME_WEIGHTS = 128.0 ** np.arange(_TIME_BYTES)
_TIME_EXCESS = float(_MORE * _TIME_WEIGHTS[:-1].sum())


class RecordedHistory(History):
    """A history in the bytes that came. LED needs only the items: types and times are read when they are asked for."""

    __slots__ = ("_count", "_raw", "_shape", "_start")

    def __init__(self, raw: bytes, start: int, count: int, shape: "Shape") -> None:
        item_ids: NDArray[np.uint64] = np.ndarray((count,), "<u8", raw, start + _ID_AT, (shape.size,)).copy()
        super().__init__(ItemRefs(count, item_ids, _places(count), (), _NOT_READ), _NOT_READ, _NOT_READ)
        self._raw, self._start, self._count, self._shape = raw, start, count, shape

    @property
    def types(self) -> NDArray[np.int64]:
        """See `History.types`."""
        shape = self._shape
        if not shape.type_at:
            return np.zeros(self._count, dtype=np.int64)
        kinds = np.ndarray((self._count,), np.uint8, self._raw, self._start + shape.type_at, (shape.size,))
        return kinds.astype(np.int64)

    @property
    def times_ms(self) -> NDArray[np.int64]:
        """See `History.times_ms`: bytes are added up as floats, which are exact below 2**42."""
        shape = self._shape
        if not shape.time_at:
            return np.zeros(self._count, dtype=np.int64)
        digits = np.ndarray(
            (self._count, _TIME_BYTES), np.uint8, self._raw, self._start + shape.time_at, (shape.size, 1)
        )
        times: NDArray[np.float64] = digits.astype(np.float64).dot(_TIME_WEIGHTS)
        return (times - _TIME_EXCESS).astype(np.int64)


class Shape(msgspec.Struct, frozen=True):
    """The bytes of one record that are the same in all, and where the others are.

    size: bytes of a record. type_at, time_at: where these begin, 0 = not there. mask, pattern: uint8, of as many
    records as a request may have and one more; `byte & mask == pattern` holds for every byte of a record.
    """

    size: int
    type_at: int
    time_at: int
    mask: NDArray[np.uint8]
    pattern: NDArray[np.uint8]


def read_history(raw: bytes, max_history: int) -> tuple[int, int, History] | None:
    """Find where the records begin and end, and what they say; None where the usual way has to be gone.

    Equal to what the generated class reads, but for a request that it, or the limits, would refuse: that gives None, or
    has its faults outside of the records.
    """
    if len(raw) <= _HEAD_BYTES or raw[0] != _COUNTRY:
        return None
    start = _HEAD_BYTES + raw[1]
    if len(raw) <= start + 1 or raw[start] != _HISTORY or raw[1] & _MORE:
        return None
    shape = _shapes(max_history).get(raw[start + 1])
    if shape is None:
        return None
    count = _count(raw, start, shape)
    end = start + count * shape.size
    if not 0 < count <= max_history or raw[end : end + 1] == _HISTORY.to_bytes():
        return None
    types = raw[start + shape.type_at : end : shape.size] if shape.type_at else bytes(count)
    if types.strip(_TYPES):
        return None
    return start, end, RecordedHistory(raw, start, count, shape)


def _count(raw: bytes, start: int, shape: Shape) -> int:
    """How many records of this shape follow each other."""
    found = np.frombuffer(raw, dtype=np.uint8, offset=start)[: len(shape.mask)]
    size = len(found)
    wrong = (found & shape.mask[:size]) != shape.pattern[:size]
    first = int(wrong.argmax())
    return (first if wrong[first] else size) // shape.size


@cache
def _places(count: int) -> NDArray[np.int64]:
    """0, 1, … for histories of one length, which nobody writes to."""
    places = np.arange(count, dtype=np.int64)
    places.flags.writeable = False
    return places


@cache
def _shapes(max_history: int) -> dict[int, Shape]:
    """The four shapes, with and without type and time, by what their records say of their own length."""
    found = {}
    for typed in (False, True):
        for timed in (False, True):
            shape = _shape(max_history + 1, typed=typed, timed=timed)
            found[shape.size - _HEAD_BYTES] = shape
    return found


def _shape(records: int, *, typed: bool, timed: bool) -> Shape:
    parts: list[Sequence[tuple[int, int]]] = [[(_ID, _WHOLE)], [(0, 0)] * _ID_BYTES]
    type_at = time_at = 0
    if typed:
        type_at = _HEAD_BYTES + sum(map(len, parts)) + 1
        parts += [[(_TYPE, _WHOLE), (0, _MORE)]]
    if timed:
        time_at = _HEAD_BYTES + sum(map(len, parts)) + 1
        parts += [[(_TIME, _WHOLE)], [(_MORE, _MORE)] * (_TIME_BYTES - 1), [(0, _MORE)]]
    content = [each for part in parts for each in part]
    every = [(_HISTORY, _WHOLE), (len(content), _WHOLE), *content]
    pattern, mask = np.array(every, dtype=np.uint8).T
    return Shape(len(every), type_at, time_at, np.tile(mask, records), np.tile(pattern, records))
