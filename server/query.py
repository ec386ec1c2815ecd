"""What a caller asks, after decoding and validation and before any catalogue is looked at. Values only."""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.features import FeatureValue


class ItemRefs(msgspec.Struct, frozen=True):
    """`length` items in the caller's order, each known by id or by key.

    item_ids: (I,) uint64 at id_positions: (I,) int64; keys at key_positions: (length - I,) int64, both ascending.
    """

    length: int
    item_ids: NDArray[np.uint64]
    id_positions: NDArray[np.int64]
    keys: tuple[str, ...]
    key_positions: NDArray[np.int64]

    @staticmethod
    def none() -> "ItemRefs":
        """No item at all."""
        return _NO_ITEMS


_NO_PLACES: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
_NO_ITEMS = ItemRefs(0, np.zeros(0, dtype=np.uint64), _NO_PLACES, (), _NO_PLACES)


class History:
    """What a user did, oldest first."""

    __slots__ = ("_times_ms", "_types", "items")

    def __init__(self, items: ItemRefs, types: NDArray[np.int64], times_ms: NDArray[np.int64]) -> None:
        self.items = items
        self._types = types
        self._times_ms = times_ms

    @property
    def types(self) -> NDArray[np.int64]:
        """(length,) int64 values of `models.InteractionType`."""
        return self._types

    @property
    def times_ms(self) -> NDArray[np.int64]:
        """(length,) int64 since 1970, 0 = not known."""
        return self._times_ms

    @property
    def length(self) -> int:
        """How many interactions."""
        return self.items.length


class Filters(msgspec.Struct, frozen=True):
    """Which items may be in the answer. All conditions hold together; empty or None is no condition.

    merchants, categories: any of these names. price: (lowest, highest) both included, infinite where open; an item
    without a known price does not match. excluded: items that are left out, known to the catalogue or not.
    """

    merchants: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    price: tuple[float, float] | None = None
    excluded: ItemRefs = _NO_ITEMS

    @property
    def empty(self) -> bool:
        """Whether there is no condition."""
        return not (self.merchants or self.categories or self.price or self.excluded.length)


_NO_FILTERS = Filters()


class Query(msgspec.Struct, frozen=True):
    """A valid Retrieve request.

    time_ms: when the answer is wanted, since 1970; the edge puts the clock's time where the caller gave none.
    profile: "" is the default one. quotas: candidates by source name that replace the profile's. features: by the
    caller's names.
    """

    country: str
    history: History
    k: int
    time_ms: int
    exclude_history: bool = False
    include_details: bool = False
    features: Mapping[str, FeatureValue] = msgspec.field(default_factory=dict)
    profile: str = ""
    seed: ItemRefs = _NO_ITEMS
    filters: Filters = _NO_FILTERS
    quotas: Mapping[str, int] = msgspec.field(default_factory=dict)
    explain: bool = False
    return_embedding: bool = False
    include_modules: bool = False


class SimilarQuery(msgspec.Struct, frozen=True):
    """A valid SimilarItems request: the `k` items most like `item` (one item).

    source: "pdn" (SimNet's table, s_ji) or "item_interaction" (cosine of pairs), "" is whichever the bundle has, in
    this order. source_type, target_type: of `models.InteractionType`, 0 = the bundle's own choice; item_interaction
    only.
    """

    country: str
    item: ItemRefs
    k: int
    source: str = ""
    source_type: int = 0
    target_type: int = 0
    filters: Filters = _NO_FILTERS
    include_details: bool = False
