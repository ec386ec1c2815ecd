"""What items.parquet says of items, as lists. A leaf of the sources and of assembly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Catalogue:
    """N items. keys is None where items are integers; the other lists are None where the project does not name them.

    item_ids: (N,) uint64. titles, merchants, categories: "" where unknown. prices: (N,) float32, NaN where unknown.
    """

    item_ids: NDArray[np.uint64]
    keys: Sequence[str] | None
    titles: Sequence[str] | None
    merchants: Sequence[str] | None
    categories: Sequence[str] | None
    prices: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, items: pa.Table) -> Self:
        """Read items.parquet."""
        columns: dict[str, list[str]] = {
            name: ["" if value is None else value for value in items[name].to_pylist()]
            for name in ("title", "merchant", "category")
            if name in items.column_names
        }
        prices = None
        if "price" in items.column_names:
            prices = items["price"].cast(pa.float32()).to_numpy().astype(np.float32)
        return cls(
            item_ids=items["item_id"].to_numpy(),
            keys=None if pa.types.is_integer(items.schema.field("item").type) else items["item"].to_pylist(),
            titles=columns.get("title"),
            merchants=columns.get("merchant"),
            categories=columns.get("category"),
            prices=prices,
        )

    def take(self, places: NDArray[np.int64]) -> Self:
        """Give some items, in this order."""
        return type(self)(
            item_ids=self.item_ids[places],
            keys=_take(self.keys, places),
            titles=_take(self.titles, places),
            merchants=_take(self.merchants, places),
            categories=_take(self.categories, places),
            prices=None if self.prices is None else self.prices[places],
        )


def _take(values: Sequence[str] | None, places: NDArray[np.int64]) -> list[str] | None:
    return None if values is None else [values[place] for place in places]
