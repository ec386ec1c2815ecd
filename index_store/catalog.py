"""One country's catalogue: the map between item ids, string keys and rows, and what a person may read of an item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.arrays import StringTable, load_array
from index_store.errors import CatalogInvalid
from index_store.id_table import IdTable
from index_store.layout import catalog_array, string_table
from index_store.manifest import CountryEntry
from index_store.postings import Postings


@dataclass(frozen=True, slots=True)
class ItemDetails:
    """Display strings of one item, "" where the catalogue has none."""

    item_key: str
    title: str
    merchant: str
    category: str


class Catalog:
    """Rows 0..N-1 of one country.

    item_ids: (N,) uint64. popularity: (N,) int64, training interactions. popular_order: (N,) int64, rows by descending
    popularity, equal ones by row. prices: (N,) float32, NaN where unknown, or None. merchants, categories: rows by
    name. Lookups are exact and vectorised.
    """

    def __init__(
        self,
        item_ids: NDArray[np.uint64],
        popularity: NDArray[np.int64],
        columns: Mapping[str, StringTable],
        prices: NDArray[np.float32] | None = None,
    ) -> None:
        self.item_ids = item_ids
        self.popularity = popularity
        self.popular_order: NDArray[np.int64] = np.argsort(-popularity, kind="stable")
        self.prices = prices
        self.merchants = Postings.of(columns.get("merchants"), len(item_ids), self.popular_order)
        self.categories = Postings.of(columns.get("categories"), len(item_ids), self.popular_order)
        self._columns = dict(columns)
        self.id_table = IdTable(item_ids)
        keys = self._columns.get("keys")
        self._row_of_key = {keys[row]: row for row in range(len(keys))} if keys else {}

    @classmethod
    def load(cls, directory: Path, country: str, entry: CountryEntry) -> "Catalog":
        """Map a country's catalogue and check M12 to M14."""
        item_ids = load_array(directory / catalog_array(country, "item_ids"), np.uint64, (entry.items,))
        popularity = load_array(directory / catalog_array(country, "popularity"), np.int64, (entry.items,))
        columns: dict[str, StringTable] = {}
        for column in entry.columns:
            utf8, offsets = string_table(country, column)
            columns[column] = StringTable.load(directory / utf8, directory / offsets, entry.items)
        prices = None
        if entry.prices:
            prices = load_array(directory / catalog_array(country, "prices"), np.float32, (entry.items,))
        catalog = cls(item_ids, popularity, columns, prices)
        catalog.check(country)
        return catalog

    def check(self, country: str) -> None:
        """Raise `CatalogInvalid` on duplicate ids or keys, an empty key, or an impossible popularity or price (M13)."""
        if len(self.id_table.repeated):
            message = (
                f"country {country}: expected different item ids, found {self.id_table.repeated.min()} more than once"
            )
            raise CatalogInvalid(message)
        keys = self._columns.get("keys")
        if keys and len(self._row_of_key) != len(keys):
            message = f"country {country}: expected {len(keys)} different keys, found {len(self._row_of_key)}"
            raise CatalogInvalid(message)
        if "" in self._row_of_key:
            row = self._row_of_key[""]
            message = f"country {country}: expected keys of at least one character, found an empty one in row {row}"
            raise CatalogInvalid(message)
        if (self.popularity < 0).any():
            message = f"country {country}: expected popularity of at least 0, found {self.popularity.min()}"
            raise CatalogInvalid(message)
        if self.prices is not None:
            wrong = np.isinf(self.prices) | (self.prices < 0)
            if wrong.any():
                found = self.prices[np.argmax(wrong)]
                message = f"country {country}: expected prices that are unknown, 0 or more, found {found}"
                raise CatalogInvalid(message)

    @property
    def size(self) -> int:
        """N."""
        return len(self.item_ids)

    @property
    def merchant_codes(self) -> NDArray[np.int32]:
        """(N,) int32, each row's place in `merchant_names`, -1 where the merchant is unknown."""
        return self.merchants.codes

    @property
    def merchant_names(self) -> tuple[str, ...]:
        """The different merchants."""
        return self.merchants.names

    @property
    def category_codes(self) -> NDArray[np.int32]:
        """(N,) int32, each row's place in `category_names`, -1 where the category is unknown."""
        return self.categories.codes

    @property
    def category_names(self) -> tuple[str, ...]:
        """The different categories."""
        return self.categories.names

    def rows_of_merchant(self, name: str) -> NDArray[np.int64]:
        """Rows (n,) of a merchant, ascending."""
        return self.merchants.rows(name)

    def rows_of_category(self, name: str) -> NDArray[np.int64]:
        """Rows (n,) of a category, ascending."""
        return self.categories.rows(name)

    def rows_of_ids(self, item_ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Rows (M,) of M item ids, -1 for an id that is not in the catalogue."""
        return self.id_table.rows(item_ids)

    def rows_of_keys(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Rows (M,) of M string keys, -1 for a key that is not in the catalogue."""
        rows = [self._row_of_key.get(key, -1) for key in keys]
        return np.array(rows, dtype=np.int64)

    def details(self, row: int) -> ItemDetails:
        """What a person may read of the item in `row`."""
        return ItemDetails(
            item_key=self._text("keys", row),
            title=self._text("titles", row),
            merchant=self._text("merchants", row),
            category=self._text("categories", row),
        )

    def _text(self, column: str, row: int) -> str:
        table = self._columns.get(column)
        return table[row] if table else ""
