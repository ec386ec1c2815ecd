"""Arrays and string tables on disk (M12, M14). Arrays are memory-mapped: workers share their pages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.errors import ArrayMalformed, StringTableMalformed


def load_array(path: Path, dtype: type[np.generic], shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Map an `.npy` file read-only; `None` in `shape` is any size. `ArrayMalformed` names expected and found."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        message = f"{path.name} of {path.parent}: not an .npy file: {error}"
        raise ArrayMalformed(message) from error
    fits = len(array.shape) == len(shape) and all(e is None or e == a for e, a in zip(shape, array.shape, strict=True))
    if array.dtype != np.dtype(dtype) or not fits or not array.flags.c_contiguous:
        expected = tuple("any" if size is None else size for size in shape)
        message = (
            f"{path.name} of {path.parent}: expected {np.dtype(dtype)} {expected} in C order, "
            f"found {array.dtype} {array.shape}"
        )
        raise ArrayMalformed(message)
    return array


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write a C-order `.npy` file, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


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
