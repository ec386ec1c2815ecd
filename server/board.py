"""The shared memory of the metrics: a slot per process that counts, and the countries that all slots have columns for.

    worker → its slot (no lock) → `server.collector` in the master → GET /metrics

A memory file of 64-bit integers. A slot has one writer, so writing needs no lock; a replaced worker goes on in the slot
of the dead one, so counters never fall. Two generations overlap during a hand-over: the board has twice as many slots
as there are workers, and generations take turns in the halves.

Which columns are a country's is written at the top of the board, by the generation that loads it and before it forks:
one generation loads at a time. A country keeps its columns for the life of the master.
"""

import mmap
import os
from array import array
from collections.abc import Iterable, Mapping
from operator import add
from typing import Final

from server.metrics import COUNTRY_WIDTH, FIXED_WIDTH, MAX_COUNTRIES

_WORD_BYTES: Final = 8
_NAME_BYTES: Final = 32
_WIDTH: Final = FIXED_WIDTH + (MAX_COUNTRIES + 1) * COUNTRY_WIDTH
_HEADER_BYTES: Final = MAX_COUNTRIES * _NAME_BYTES


class Board:
    """`create` makes the memory; another process opens it by its inherited descriptor. Untouched pages cost nothing."""

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self._memory = mmap.mmap(descriptor, _size(slots))
        self._words = memoryview(self._memory)[_HEADER_BYTES:].cast("q")

    @classmethod
    def create(cls, slots: int) -> "Board":
        """Make a board of `slots` slots, all zero, that children inherit."""
        descriptor = os.memfd_create("shortlist-metrics", 0)
        os.ftruncate(descriptor, _size(slots))
        return cls(descriptor, slots)

    def slot(self, index: int) -> memoryview:
        """Slot `index`, for one writer."""
        return self._words[index * _WIDTH : (index + 1) * _WIDTH]

    def add_countries(self, codes: Iterable[str]) -> Mapping[str, int]:
        """Give each country its place, 1 and up; 0, that of all others, where `MAX_COUNTRIES` have one already."""
        places = {name: place for place, name in enumerate(self.countries(), 1)}
        for code in codes:
            if code not in places and len(places) < MAX_COUNTRIES:
                start = len(places) * _NAME_BYTES
                self._memory[start : start + _NAME_BYTES] = code.encode().ljust(_NAME_BYTES, b"\0")
                places[code] = len(places) + 1
        return {code: places.get(code, 0) for code in codes}

    def countries(self) -> list[str]:
        """All that have a place, in the order of their places."""
        names = []
        for start in range(0, _HEADER_BYTES, _NAME_BYTES):
            name = self._memory[start : start + _NAME_BYTES].rstrip(b"\0")
            if not name:
                break
            names.append(name.decode())
        return names

    def totals(self) -> list[int]:
        """Sum each column over all slots, up to those of the last country that has a place."""
        width = FIXED_WIDTH + (len(self.countries()) + 1) * COUNTRY_WIDTH
        totals = [0] * width
        for index in range(self.slots):
            totals = list(map(add, totals, array("q", self.slot(index)[:width].tobytes())))
        return totals


def _size(slots: int) -> int:
    return _HEADER_BYTES + slots * _WIDTH * _WORD_BYTES
