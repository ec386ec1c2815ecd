"""What a caller says, as arrays, and how it becomes messages.

Only what cannot be sent is refused here; the rest is the server's to judge, which names every field that is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protos.retrieval.v1 import retrieval_pb2 as pb

InteractionName = str
_TYPES: Mapping[str, int] = {
    name.removeprefix("INTERACTION_TYPE_"): number for name, number in pb.InteractionType.items()
}


@dataclass(frozen=True)
class History:
    """What a user did, oldest first; every array has one entry per interaction.

    items: (T,) integers are the caller's ids, strings the catalogue's keys. types: (T,) names ("view", "CART") or
    numbers of `retrieval.v1.InteractionType`, one for all where it is a single one. times_ms: (T,) integers,
    milliseconds since the Unix epoch, 0 = not known. ValueError where the lengths differ or a name is no type.
    """

    items: ArrayLike | Sequence[str] = ()
    types: ArrayLike | Sequence[InteractionName] | InteractionName | int = 0
    times_ms: ArrayLike | int = 0

    def messages(self) -> list[pb.Interaction]:
        """Give one message per interaction."""
        items = item_array(self.items)
        types, times = _column("types", _type_numbers(self.types), len(items)), self._times(len(items))
        together = zip(item_values(items), types, times, strict=True)
        if items.dtype.kind == "U":
            return [pb.Interaction(item_key=item, type=kind, timestamp_ms=time) for item, kind, time in together]  # type: ignore[arg-type]
        return [pb.Interaction(item_id=item, type=kind, timestamp_ms=time) for item, kind, time in together]  # type: ignore[arg-type]

    def _times(self, length: int) -> list[int]:
        return _column("times_ms", np.asarray(self.times_ms), length)


@dataclass(frozen=True)
class Filters:
    """Which items may be in the answer; all conditions hold together, an empty one is none.

    merchants, categories: any of these names. price: (lowest, highest), both included, None = open. excluded: (E,)
    ids or keys of items to leave out.
    """

    merchants: Sequence[str] = ()
    categories: Sequence[str] = ()
    price: tuple[float | None, float | None] | None = None
    excluded: ArrayLike | Sequence[str] = ()

    def message(self) -> pb.Filters:
        """Give the message."""
        filters = pb.Filters(merchants=self.merchants, categories=self.categories)
        excluded = item_array(self.excluded)
        values = item_values(excluded)
        if excluded.dtype.kind == "U":
            filters.excluded_item_keys.extend(values)  # type: ignore[arg-type]
        else:
            filters.excluded_item_ids.extend(values)  # type: ignore[arg-type]
        if self.price is not None:
            lowest, highest = self.price
            filters.price.CopyFrom(pb.PriceRange(lowest=lowest, highest=highest))
        return filters


@dataclass(frozen=True)
class RetrieveOptions:
    """Everything of a `Retrieve` beside country, history and k; as the fields of `retrieval.v1.RetrieveRequest`."""

    profile: str = ""
    exclude_history: bool = False
    features: Mapping[str, float | str] = field(default_factory=dict)
    seed_item: int | str | None = None
    timestamp_ms: int = 0
    filters: Filters | None = None
    source_quotas: Mapping[str, int] = field(default_factory=dict)
    include_item_details: bool = False
    explain: bool = False


def retrieve_request(country: str, history: History, k: int, options: RetrieveOptions) -> pb.RetrieveRequest:
    """Make the message of a `Retrieve`."""
    request = pb.RetrieveRequest(
        country=country,
        history=history.messages(),
        k=k,
        profile=options.profile,
        exclude_history=options.exclude_history,
        features={name: _feature(value) for name, value in options.features.items()},
        timestamp_ms=options.timestamp_ms,
        source_quotas=options.source_quotas,
        include_item_details=options.include_item_details,
        explain=options.explain,
    )
    if options.seed_item is not None:
        request.seed_item.CopyFrom(item_ref(options.seed_item))
    if options.filters is not None:
        request.filters.CopyFrom(options.filters.message())
    return request


def item_ref(item: int | str) -> pb.ItemRef:
    """Name an item by id or by key."""
    return pb.ItemRef(item_key=item) if isinstance(item, str) else pb.ItemRef(item_id=int(item))


def item_array(items: ArrayLike | Sequence[str]) -> NDArray[np.generic]:
    """Give ids or keys as an array; numpy would make floats of a list with ids on both sides of 2**63."""
    found = np.asarray(items)
    if found.dtype.kind in "fO" and isinstance(items, Sequence) and all(isinstance(item, int) for item in items):
        return np.array(items, dtype=np.uint64)
    return found


def item_values(items: NDArray[np.generic]) -> list[int] | list[str]:
    """Give ids or keys as Python values; ValueError for anything else, such as floats or more than one dimension."""
    if items.ndim != 1:
        message = f"items: expected one dimension, found shape {items.shape}"
        raise ValueError(message)
    if len(items) and items.dtype.kind not in "iuU":
        message = f"items: expected integer ids or string keys, found {items.dtype}"
        raise ValueError(message)
    return items.tolist()  # type: ignore[no-any-return]


def _feature(value: float | str) -> pb.FeatureValue:
    return pb.FeatureValue(category=value) if isinstance(value, str) else pb.FeatureValue(number=value)


def _type_numbers(types: ArrayLike | Sequence[str] | str | int) -> NDArray[np.int64]:
    found = np.asarray(types)
    if found.dtype.kind != "U":
        return found.astype(np.int64)
    unknown = sorted({name for name in found.ravel().tolist() if name.upper() not in _TYPES})
    if unknown:
        message = f"types: expected {', '.join(_TYPES)}, found {', '.join(map(repr, unknown))}"
        raise ValueError(message)
    numbers = [_TYPES[name.upper()] for name in found.ravel().tolist()]
    return np.array(numbers, dtype=np.int64).reshape(found.shape)


def _column(name: str, values: NDArray[np.generic], length: int) -> list[int]:
    if values.ndim == 0:
        return [int(values)] * length
    if values.shape != (length,):
        message = f"{name}: expected one value or {length}, one per item, found shape {values.shape}"
        raise ValueError(message)
    return values.astype(np.int64).tolist()  # type: ignore[no-any-return]
