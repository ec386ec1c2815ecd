"""One country's catalogue as a person looks it up: by title, by id, by merchant.

The files are mapped; what a search needs is made when it is first asked for.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from index_store.arrays import StringTable, load_array
from index_store.id_table import IdTable
from index_store.layout import catalog_array, string_table
from index_store.manifest import CountryEntry
from server.inspector.titles import TitleIndex

MAX_ID = 2**64 - 1
_FACETS = ("merchants", "categories")


class Item(msgspec.Struct, frozen=True):
    """What the page shows of an item. `id` is a text: JavaScript's numbers end at 2^53."""

    id: str
    key: str = ""
    title: str = ""
    merchant: str = ""
    category: str = ""
    price: float | None = None
    popularity: int = 0
    known: bool = True


class Found(msgspec.Struct, frozen=True):
    """What a search gives: see `server.inspector.titles.Matches`."""

    items: list[Item]
    found: int
    complete: bool


class Name(msgspec.Struct, frozen=True):
    """A merchant or category, and how many items it has."""

    name: str
    items: int


class Shelf:
    """The catalogue of `country`; `entry` is its part of the manifest. OSError or `BundleError` if files are gone."""

    def __init__(self, folder: Path, country: str, entry: CountryEntry) -> None:
        size = entry.items
        self.size = size
        self._item_ids = load_array(folder / catalog_array(country, "item_ids"), np.uint64, (size,))
        self._popularity = load_array(folder / catalog_array(country, "popularity"), np.int64, (size,))
        prices = folder / catalog_array(country, "prices")
        self._prices = load_array(prices, np.float32, (size,)) if entry.prices else None
        self._tables: dict[str, StringTable] = {}
        for column in entry.columns:
            utf8, offsets = string_table(country, column)
            self._tables[column] = StringTable.load(folder / utf8, folder / offsets, size)
        self._making = threading.Lock()
        self._ids: IdTable | None = None
        self._titles: TitleIndex | None = None
        self._names: dict[str, list[tuple[str, int]]] = {}

    @property
    def nbytes(self) -> int:
        """About how much memory it holds besides the mapped files."""
        return (self._titles.nbytes if self._titles else 0) + (32 * self.size if self._ids else 0)

    def search(self, query: str, limit: int) -> Found:
        """Find items by the words of their titles and keys, or by id."""
        row = self._row_of_id(query.strip().removeprefix("id:"))
        if row >= 0:
            return Found([self._item(row)], 1, complete=True)
        matches = self._title_index().search(query, limit)
        return Found([self._item(row) for row in matches.rows], matches.found, matches.complete)

    def items(self, item_ids: Sequence[int]) -> list[Item]:
        """Look ids up; one that the catalogue does not have comes back with `known` false."""
        rows = self._id_table().rows(np.array(item_ids, dtype=np.uint64)).tolist() if item_ids else []
        return [
            self._item(row) if row >= 0 else Item(str(item_id), known=False)
            for row, item_id in zip(rows, item_ids, strict=True)
        ]

    def names(self, facet: str, query: str, limit: int) -> list[Name]:
        """List merchants or categories that have `query` in their name, those with the most items first."""
        wanted = query.casefold()
        matching = (Name(name, count) for name, count in self._counted(facet) if wanted in name.casefold())
        return [name for name, _ in zip(matching, range(limit), strict=False)]

    def _row_of_id(self, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID):
            return -1
        return int(self._id_table().rows(np.array([int(text)], dtype=np.uint64))[0])

    def _item(self, row: int) -> Item:
        texts = {column: table[row] for column, table in self._tables.items()}
        price = float(self._prices[row]) if self._prices is not None else float("nan")
        return Item(
            id=str(self._item_ids[row]),
            key=texts.get("keys", ""),
            title=texts.get("titles", ""),
            merchant=texts.get("merchants", ""),
            category=texts.get("categories", ""),
            price=None if np.isnan(price) else round(price, 2),
            popularity=int(self._popularity[row]),
        )

    def _id_table(self) -> IdTable:
        with self._making:
            self._ids = self._ids or IdTable(self._item_ids)
            return self._ids

    def _title_index(self) -> TitleIndex:
        with self._making:
            if self._titles is None:
                tables = [self._tables[column] for column in ("titles", "keys") if column in self._tables]
                self._titles = TitleIndex.build(tables, self._popularity, self._item_ids)
            return self._titles

    def _counted(self, facet: str) -> list[tuple[str, int]]:
        table = self._tables.get(facet)
        if table is None or facet not in _FACETS:
            return []
        with self._making:
            if facet not in self._names:
                raw, ends = table.utf8.tobytes(), table.offsets.tolist()
                counts = Counter(raw[begin:end] for begin, end in pairwise(ends) if begin < end)
                self._names[facet] = [(name.decode(), count) for name, count in counts.most_common()]
            return self._names[facet]
