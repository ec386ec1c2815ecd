"""Items by what a person remembers of their titles: a search over all titles of a country as one text.

    "white heart"  →  lines of the text that have every word  →  best first: begins so, words begin so, anywhere

The text is lower case, a line per item, the most popular first. So a search may stop early, after enough lines or after
its time, and still has found what most people mean. A million titles are one text of some 50 MB that `bytes.find`
crosses in tens of milliseconds.
"""

import time
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_store.arrays import StringTable

MAX_WORDS = 8
_MOST_LINES = 2_000
_LONGEST_S = 0.2
_CHECK_EVERY = 256
_SAMPLE_BYTES = 1024 * 1024
_CLEAN = bytes.maketrans(b"\n\t", b"  ")


@dataclass(frozen=True)
class Matches:
    """Rows, best first. found: how many lines matched; complete: whether all lines were looked at."""

    rows: list[int]
    found: int
    complete: bool


class TitleIndex:
    """The text of one country. Lines have the title and, after a tab, the key."""

    def __init__(self, text: bytes, rows: NDArray[np.int64]) -> None:
        self._text = text
        self._rows = rows
        newlines = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n"))
        # bisect asks one element at a time, which a memoryview gives several times faster than an array
        self._ends = np.append(newlines, len(text)).data

    @classmethod
    def build(
        cls, tables: list[StringTable], popularity: NDArray[np.int64], item_ids: NDArray[np.uint64]
    ) -> "TitleIndex":
        """Join the strings of each row; tables: titles, then keys, whichever there are; without any, the ids."""
        order = np.argsort(-popularity, kind="stable")
        columns = [_strings(table, order) for table in tables]
        columns = columns or [[b"%d" % item_id for item_id in item_ids[order].tolist()]]
        lines = columns[0] if len(columns) == 1 else [b"\t".join(parts) for parts in zip(*columns, strict=True)]
        return cls(b"\n".join(lines).decode().lower().encode(), order)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return len(self._text) + self._ends.nbytes + self._rows.nbytes

    def search(self, query: str, limit: int, longest_s: float = _LONGEST_S) -> Matches:
        """Find at most `limit` rows whose line has every word of `query`; no word finds the most popular."""
        words = [word.encode() for word in query.lower().split()[:MAX_WORDS]]
        if not words:
            return Matches(self._rows[:limit].tolist(), len(self._rows), complete=True)
        lines, complete = self._lines(words, time.monotonic() + longest_s)
        start = b" ".join(words)
        ranked = sorted((self._rank(line, words, start), line) for line in lines)
        return Matches([int(self._rows[line]) for _, line in ranked[:limit]], len(lines), complete)

    def _lines(self, words: list[bytes], deadline_s: float) -> tuple[list[int], bool]:
        """Go from one line with the rarest word, by a sample, to the next."""
        rarest = min(words, key=lambda word: (self._text.count(word, 0, _SAMPLE_BYTES), -len(word)))
        found: list[int] = []
        looked_at, place = 0, self._text.find(rarest)
        while place >= 0:
            line = bisect_left(self._ends, place)
            text = self._line(line)
            if all(word in text for word in words):
                found.append(line)
            looked_at += 1
            if len(found) == _MOST_LINES or (looked_at % _CHECK_EVERY == 0 and time.monotonic() > deadline_s):
                return found, False
            place = self._text.find(rarest, self._ends[line])
        return found, True

    def _line(self, line: int) -> bytes:
        return self._text[self._ends[line - 1] + 1 if line else 0 : self._ends[line]]

    def _rank(self, line: int, words: list[bytes], start: bytes) -> int:
        text = self._line(line)
        if text.startswith(start):
            return 0
        spaced = b" " + text.replace(b"\t", b" ")
        return 1 if all(b" " + word in spaced for word in words) else 2


def _strings(table: StringTable, order: NDArray[np.int64]) -> list[bytes]:
    raw = table.utf8.tobytes().translate(_CLEAN)
    begins, ends = table.offsets[:-1][order].tolist(), table.offsets[1:][order].tolist()
    return [raw[begin:end] for begin, end in zip(begins, ends, strict=True)]
