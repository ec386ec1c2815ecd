"""What every golden request must be, whatever its source: known items, finite numbers, scores in order (M19)."""

from collections.abc import Sequence

import numpy as np

from index_store.catalog import Catalog
from index_store.errors import GoldenInvalid

_MAX_IDS = 1 << 64


def check_answer(where: str, item_ids: Sequence[int], scores: Sequence[float], counts: range) -> None:
    """Check an answer's items and scores: as many as each other and one of `counts`, no item twice, in order."""
    if len(item_ids) != len(scores) or len(item_ids) not in counts:
        wanted = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        message = f"{where}: expected {wanted} items and scores, found {len(item_ids)} and {len(scores)}"
        raise GoldenInvalid(message)
    if len(set(item_ids)) != len(item_ids):
        message = f"{where}: expected {len(item_ids)} different items, found {len(set(item_ids))}"
        raise GoldenInvalid(message)
    check_numbers(where, scores)
    if (np.diff(np.array(scores, dtype=np.float64)) > 0).any():
        message = f"{where}: expected scores that never increase"
        raise GoldenInvalid(message)


def check_numbers(where: str, numbers: Sequence[float]) -> None:
    """Check that numbers are finite, in float32 too."""
    if not (np.abs(np.array(numbers, dtype=np.float64)) <= np.finfo(np.float32).max).all():
        message = f"{where}: expected numbers that are finite in float32"
        raise GoldenInvalid(message)


def check_items(where: str, country: str, catalog: Catalog, item_ids: Sequence[int]) -> None:
    """Check that a country's catalogue has all items."""
    if max(item_ids, default=0) >= _MAX_IDS:
        message = f"{where}: item id {max(item_ids)} does not fit into 64 bits"
        raise GoldenInvalid(message)
    rows = catalog.rows_of_ids(np.array(item_ids, dtype=np.uint64))
    if (rows < 0).any():
        message = f"{where}: item {item_ids[int(np.argmin(rows))]} is not in the catalogue of {country}"
        raise GoldenInvalid(message)
