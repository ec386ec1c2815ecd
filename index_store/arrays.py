"""Arrays and string tables on disk (M12, M14). Arrays are memory-mapped: workers share their pages."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from index_store.errors import ArrayMalformed, StringTableMalformed


def load_array(path: Path, dtype: type[np.generic], shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Map an `.npy` file read-only; `None` in `shape` is any size. `ArrayMalformed` names expected and found.

    `np.load` would also open archives and pickles and believe any size; here only the header is parsed, and the file
    must be exactly as long as it says.
    """
    with path.open("rb") as file:
        found_shape, fortran_order, found_dtype = _read_header(path, file)
        offset = file.tell()
    fits = len(found_shape) == len(shape) and all(e is None or e == a for e, a in zip(shape, found_shape, strict=True))
    if found_dtype != np.dtype(dtype) or fortran_order or not fits:
        expected = tuple("any" if size is None else size for size in shape)
        found = f"{found_dtype} {found_shape} in {'Fortran' if fortran_order else 'C'} order"
        _refuse(path, f"expected {np.dtype(dtype)} {expected} in C order, found {found[:_SHOWN]}")
    size = offset + math.prod(found_shape) * found_dtype.itemsize
    if path.stat().st_size != size:
        _refuse(path, f"expected {size} bytes for {found_shape}, found {path.stat().st_size}")
    if 0 in found_shape:
        return np.empty(found_shape, dtype)  # nothing to map
    # the subclass np.memmap costs microseconds at every indexing; a plain view of the same pages does not
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=found_shape))


def _read_header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a header of Python 2 is one
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                message = f"version {version}"
                raise ValueError(message)  # noqa: TRY301 - refused like all other faults of a header
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # numpy parses the header as Python and lets through what that raises
        _refuse(path, f"expected an .npy file of version 1.0, found {type(error).__name__}: {str(error)[:_SHOWN]}")
    if any(type(size) is not int or not 0 <= size <= _MOST for size in shape):
        _refuse(path, f"expected sizes from 0 to {_MOST}, found {str(shape)[:_SHOWN]}")
    return shape, fortran_order, dtype


def _refuse(path: Path, reason: str) -> NoReturn:
    message = f"{path.name} of {path.parent}: {reason}"
    raise ArrayMalformed(message)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write a C-order `.npy` file, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


_SHOWN = 200  # characters of a file's own words in a message
_MOST = 2**40  # elements along one axis

# a byte 10xxxxxx continues a UTF-8 character
_CONTINUATION = 0b1000_0000


class StringTable:
    """N strings as one byte array and N + 1 offsets: a million titles are two mapped files, not a million objects."""

    def __init__(self, utf8: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.utf8 = utf8
        self.offsets = offsets

    @classmethod
    def of(cls, strings: Sequence[str]) -> "StringTable":
        """Pack strings."""
        encoded = [string.encode() for string in strings]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    @classmethod
    def load(cls, utf8: Path, offsets: Path, count: int) -> "StringTable":
        """Map and check a table of `count` strings (M12, M14)."""
        table = cls(load_array(utf8, np.uint8, (None,)), load_array(offsets, np.int64, (count + 1,)))
        ends = table.offsets
        if ends[0] != 0 or ends[-1] != len(table.utf8) or (np.diff(ends) < 0).any():
            message = f"{offsets.name} of {offsets.parent}: offsets must rise from 0 to {len(table.utf8)}"
            raise StringTableMalformed(message)
        table._check_utf8(utf8)
        return table

    def _check_utf8(self, path: Path) -> None:
        """All bytes together are UTF-8, and no string begins inside a character."""
        try:
            self.utf8.tobytes().decode()
        except UnicodeDecodeError as error:
            message = f"{path.name} of {path.parent}: not UTF-8 at byte {error.start}: {error.reason}"
            raise StringTableMalformed(message) from error
        inner = self.offsets[(self.offsets > 0) & (self.offsets < len(self.utf8))]
        if ((self.utf8[inner] & 0b1100_0000) == _CONTINUATION).any():
            message = f"{path.name} of {path.parent}: an offset lies inside a UTF-8 character"
            raise StringTableMalformed(message)

    def save(self, utf8: Path, offsets: Path) -> None:
        """Write both arrays."""
        save_array(utf8, self.utf8)
        save_array(offsets, self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> str:
        return self.utf8[self.offsets[row] : self.offsets[row + 1]].tobytes().decode()
