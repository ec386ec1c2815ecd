"""Which rows may be answered: merchants, categories, price and exclusions of one request, over one catalogue.

Nothing of the catalogue's size is made unless it is asked for by `rows()` of a request that has no posting list to
start from. Excluded items are compared by id (`server.exclusions`): to look 10,000 up among a million rows costs 1 ms.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from index_store.catalog import Catalog
from index_store.postings import Postings
from server.exclusions import Exclusions, among
from server.query import Filters
from server.sources.base import NO_ROWS, Eligibility

# rows looked at to guess how many are eligible: 6 % of error at half the catalogue, enough to choose a plan
_SAMPLE = 256


class Everything:
    """All N rows of a catalogue."""

    all = True
    nearby = 0
    most_left_out = 0

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def estimate(self) -> int:
        """N."""
        return self._catalog.size

    @property
    def count(self) -> int:
        """N."""
        return self._catalog.size

    def keep(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Eligibility.keep`."""
        return rows >= 0

    def rows(self) -> NDArray[np.int64]:
        """See `Eligibility.rows`."""
        return np.arange(self._catalog.size)

    def without(self, rows: NDArray[np.int64]) -> Eligibility:
        """See `Eligibility.without`."""
        return Narrowed(self._catalog, excluded=self._catalog.item_ids[rows], nearby=len(rows)) if len(rows) else self


class NameCondition:
    """Rows whose merchant, or whose category, is one of some names; names that no row has match nothing."""

    def __init__(self, postings: Postings, names: Sequence[str]) -> None:
        self._codes = postings.codes
        self._lists = [rows for name in dict.fromkeys(names) if len(rows := postings.rows(name))]
        self.count = sum(len(rows) for rows in self._lists)
        # one more than there are names, for the code -1 of rows without one
        self._allowed = np.zeros(len(postings.names) + 1, dtype=np.bool_)
        self._allowed[[self._codes[rows[0]] for rows in self._lists]] = True

    def holds(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mark the (n,) rows with one of the names."""
        return self._allowed[self._codes[rows]]

    def rows(self) -> NDArray[np.int64]:
        """All rows with one of the names, ascending."""
        match self._lists:
            case []:
                return NO_ROWS
            case [only]:
                return only
            case lists:
                return np.sort(np.concatenate(lists))


class Narrowed:
    """The rows for which all conditions hold.

    named: of merchants and categories. price: lowest and highest, both included. excluded: (E,) uint64 ids, in any
    order, repeated or not, known or not. nearby: how many of those are of the user's history.
    """

    all = False

    def __init__(
        self,
        catalog: Catalog,
        *,
        excluded: NDArray[np.uint64],
        nearby: int = 0,
        named: Sequence[NameCondition] = (),
        price: tuple[float, float] | None = None,
    ) -> None:
        self._catalog = catalog
        self._excluded = Exclusions(excluded)
        self._named = sorted(named, key=lambda condition: condition.count)
        self._price = price
        self.nearby = nearby

    @property
    def most_left_out(self) -> int:
        """See `Eligibility.most_left_out`."""
        return self._catalog.size if self._named or self._price else min(len(self._excluded), self._catalog.size)

    @cached_property
    def estimate(self) -> int:
        """See `Eligibility.estimate`: exact for short lists, else by sizes, and of several conditions by a sample."""
        left = self._catalog.size - self.most_left_out
        if 2 * left > self._catalog.size:
            return left
        count = self._named[0].count if self._named else self._catalog.size
        if count <= _SAMPLE:
            return self.count
        if len(self._named) < 2 and not self._price:  # noqa: PLR2004 - one list
            return count - count * min(len(self._excluded), self._catalog.size) // self._catalog.size
        places = np.arange(0, count, count // _SAMPLE)
        sample = self._named[0].rows()[places] if self._named else places
        return int(self.keep(sample).mean() * count)

    @property
    def count(self) -> int:
        """See `Eligibility.count`."""
        return len(self._rows)

    def keep(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Eligibility.keep`."""
        kept = rows >= 0
        for condition in self._named:
            kept &= condition.holds(rows)
        if self._price is not None:
            kept &= self._priced(rows)
        if len(self._excluded):
            kept &= ~self._excluded.hold(self._catalog.item_ids[rows])
        return kept

    def rows(self) -> NDArray[np.int64]:
        """See `Eligibility.rows`."""
        return self._rows

    def without(self, rows: NDArray[np.int64]) -> Eligibility:
        """See `Eligibility.without`."""
        return Without(self, self._catalog.size, rows) if len(rows) else self

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        rows = self._listed()
        for condition in self._named[1:]:
            rows = rows[condition.holds(rows)]
        if self._named and self._price is not None:
            rows = rows[self._priced(rows)]
        if len(self._excluded):
            rows = rows[~self._excluded.hold(self._catalog.item_ids[rows])]
        return rows

    def _listed(self) -> NDArray[np.int64]:
        """The rows, ascending, for which the first condition holds."""
        if self._named:
            return self._named[0].rows()
        if self._price is None:
            return np.arange(self._catalog.size)
        prices = self._catalog.prices
        return NO_ROWS if prices is None else np.flatnonzero(_within(prices, self._price))

    def _priced(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        if self._catalog.prices is None or self._price is None:
            return np.zeros(len(rows), dtype=np.bool_)
        return _within(self._catalog.prices[rows], self._price)


class Without:
    """What is eligible, less (n,) rows of `items`, few of them: nothing is asked of the rest a second time."""

    all = False

    def __init__(self, eligible: Eligibility, items: int, rows: NDArray[np.int64]) -> None:
        self._eligible = eligible
        self._items = items
        self._left_out = np.sort(rows)
        self.nearby = eligible.nearby + len(rows)
        self.most_left_out = min(eligible.most_left_out + len(rows), items)

    @cached_property
    def estimate(self) -> int:
        """See `Eligibility.estimate`."""
        known = self._eligible.estimate
        return self.count if known <= _SAMPLE else max(known - len(self._left_out), 0)

    @property
    def count(self) -> int:
        """See `Eligibility.count`."""
        return len(self._rows)

    def keep(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Eligibility.keep`."""
        return self._eligible.keep(rows) & ~among(rows, self._left_out)

    def rows(self) -> NDArray[np.int64]:
        """See `Eligibility.rows`."""
        return self._rows

    def without(self, rows: NDArray[np.int64]) -> Eligibility:
        """See `Eligibility.without`."""
        return Without(self._eligible, self._items, np.concatenate([self._left_out, rows]))

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        rows = self._eligible.rows()
        kept = np.ones(len(rows), dtype=np.bool_)
        places = np.searchsorted(rows, self._left_out)
        places = places[among(self._left_out, rows)]
        kept[places] = False
        return rows[kept]


def _within(prices: NDArray[np.float32], bounds: tuple[float, float]) -> NDArray[np.bool_]:
    lowest, highest = bounds
    # NaN, an unknown price, compares false; a bound beyond float32 is as good as infinite
    with np.errstate(over="ignore"):
        return (prices >= lowest) & (prices <= highest)


def eligibility(catalog: Catalog, filters: Filters, left_out: NDArray[np.int64]) -> Eligibility:
    """Make what a request's filters allow; `left_out` (n,) are known rows of its history that are not wanted."""
    refs = filters.excluded
    if filters.empty and not len(left_out):
        return Everything(catalog)
    named, nearby = [], len(left_out)
    if filters.merchants:
        named.append(NameCondition(catalog.merchants, filters.merchants))
    if filters.categories:
        named.append(NameCondition(catalog.categories, filters.categories))
    excluded = refs.item_ids
    if refs.keys:
        rows = catalog.rows_of_keys(refs.keys)
        left_out = np.concatenate([left_out, rows[rows >= 0]])
    if len(left_out):
        excluded = np.concatenate([excluded, catalog.item_ids[left_out]])
    return Narrowed(catalog, excluded=excluded, nearby=nearby, named=named, price=filters.price)
