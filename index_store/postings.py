"""Which rows have which name: one country's merchants or categories, ready for filters, caps and popularity lists."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from index_store.arrays import StringTable
from index_store.grouping import grouped

NO_NAME = -1


class Postings:
    """The rows of every name of a string column.

    names: the different ones, "" (unknown) left out, in the order of their first rows. codes: (N,) int32, each row's
    place in `names`, or `NO_NAME`.
    """

    def __init__(self, names: tuple[str, ...], codes: NDArray[np.int32], popular_order: NDArray[np.int64]) -> None:
        self.names = names
        self.codes = codes
        self._code_of = {name: code for code, name in enumerate(names)}
        self._rows, starts = grouped(codes)
        self._ends = np.append(starts, len(self._rows))  # a name's rows lie between two of them
        self._popular = popular_order[grouped(codes[popular_order])[0]]

    @classmethod
    def of(cls, table: StringTable | None, count: int, popular_order: NDArray[np.int64]) -> "Postings":
        """Number the names of a column of `count` rows; None is a column that the catalogue has not."""
        if table is None:
            return cls((), np.full(count, NO_NAME, dtype=np.int32), popular_order)
        raw, ends = table.utf8.tobytes(), table.offsets.tolist()
        code_of: dict[bytes, int] = {b"": NO_NAME}
        codes = [code_of.setdefault(raw[start:end], len(code_of) - 1) for start, end in pairwise(ends)]
        names = tuple(name.decode() for name in code_of if name)
        return cls(names, np.array(codes, dtype=np.int32), popular_order)

    def rows(self, name: str) -> NDArray[np.int64]:
        """Rows (n,) of a name, ascending; none for a name that no row has."""
        return self._rows[self._span(name)]

    def popular_rows(self, name: str) -> NDArray[np.int64]:
        """The same rows by descending popularity, equal ones by row."""
        return self._popular[self._span(name)]

    def _span(self, name: str) -> slice:
        code = self._code_of.get(name)
        return slice(0, 0) if code is None else slice(int(self._ends[code]), int(self._ends[code + 1]))
