"""The parts that requests share, from protobuf to values: items, history, features, filters, quotas.

Every function notes what is wrong under the field's path and gives a harmless value for it, so that one answer can
name all faults of a request.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from index_store.manifest import COUNTRY_PATTERN
from models.features import FeatureValue
from models.interactions import InteractionType
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.limits import (
    MAX_CATEGORY_BYTES,
    MAX_FEATURE_NAME_BYTES,
    MAX_FEATURES,
    MAX_KEY_BYTES,
    MAX_NAME_BYTES,
    MAX_NAMES,
    Limits,
)
from server.profiles import SourceName
from server.query import Filters, History, ItemRefs
from server.violations import Violations, quoted

_COUNTRY = re.compile(COUNTRY_PATTERN)
_LAST_TYPE = max(InteractionType)
_SOURCES: tuple[str, ...] = get_args(SourceName)
_UTF8_BYTES = 4
_ID_BYTES = 8


def check_country(country: str, path: str, violations: Violations) -> None:
    """Note a country that no bundle can have."""
    if not _COUNTRY.fullmatch(country):
        violations.add(path, f"expected 1 to 32 letters, digits, '-' or '_', found {quoted(country)}")


def check_k(k: int, path: str, limits: Limits, violations: Violations) -> None:
    """Note a k outside the limits."""
    if not 1 <= k <= limits.max_k:
        violations.add(path, f"expected 1 to {limits.max_k}, found {k}")


def check_type(value: int, path: str, violations: Violations) -> None:
    """Note a number that is no interaction type."""
    if not 0 <= value <= _LAST_TYPE:
        violations.add(path, f"expected a value of InteractionType, 0 to {_LAST_TYPE:d}, found {value}")


def item_of(item: pb.ItemRef, path: str, violations: Violations) -> ItemRefs:
    """Decode one item."""
    which = item.WhichOneof("item")
    if which == "item_id":
        return refs_of(np.array([item.item_id], dtype=np.uint64), ())
    if which is None:
        violations.add(path, "expected one of item_id and item_key, found neither")
        return ItemRefs.none()
    _check_key(item.item_key, f"{path}.item_key", violations)
    return refs_of(np.zeros(0, dtype=np.uint64), (item.item_key,))


def refs_of(item_ids: NDArray[np.uint64], keys: Sequence[str]) -> ItemRefs:
    """Put ids before keys."""
    length = len(item_ids) + len(keys)
    positions = np.arange(length, dtype=np.int64)
    return ItemRefs(length, item_ids, positions[: len(item_ids)], tuple(keys), positions[len(item_ids) :])


def history_of(interactions: Sequence[pb.Interaction], path: str, limits: Limits, violations: Violations) -> History:
    """Decode a history."""
    if len(interactions) > limits.max_history:
        violations.add(path, f"expected at most {limits.max_history} interactions, found {len(interactions)}")
        interactions = ()
    interactions = list(interactions)  # each pass over the container makes its elements anew
    chosen = [interaction.WhichOneof("item") for interaction in interactions]
    types = np.array([interaction.type for interaction in interactions], dtype=np.int64)
    times_ms = np.array([interaction.timestamp_ms for interaction in interactions], dtype=np.int64)
    if chosen.count("item_id") == len(chosen):
        items = refs_of(np.array([interaction.item_id for interaction in interactions], dtype=np.uint64), ())
    else:
        items = _mixed_refs(interactions, chosen)
    if chosen and (items.keys or types.min() < 0 or types.max() > _LAST_TYPE or times_ms.min() < 0):
        _check_interactions(interactions, path, violations)
    return History(items, types, times_ms)


def _mixed_refs(interactions: Sequence[pb.Interaction], chosen: Sequence[str | None]) -> ItemRefs:
    by_id = [position for position, which in enumerate(chosen) if which == "item_id"]
    by_key = [position for position, which in enumerate(chosen) if which != "item_id"]
    return ItemRefs(
        length=len(chosen),
        item_ids=np.array([interactions[position].item_id for position in by_id], dtype=np.uint64),
        id_positions=np.array(by_id, dtype=np.int64),
        keys=tuple(interactions[position].item_key for position in by_key),
        key_positions=np.array(by_key, dtype=np.int64),
    )


def _check_interactions(interactions: Sequence[pb.Interaction], path: str, violations: Violations) -> None:
    for position, interaction in enumerate(interactions):
        which = interaction.WhichOneof("item")
        if which is None:
            violations.add(f"{path}[{position}].item", "expected one of item_id and item_key, found neither")
        elif which == "item_key":
            _check_key(interaction.item_key, f"{path}[{position}].item_key", violations)
        check_type(interaction.type, f"{path}[{position}].type", violations)
        check_time(interaction.timestamp_ms, f"{path}[{position}].timestamp_ms", violations)
        if violations.full:
            break


def check_time(time_ms: int, path: str, violations: Violations) -> None:
    """Note a time before 1970."""
    if time_ms < 0:
        violations.add(path, f"expected 0 or more milliseconds, found {time_ms}")


def _check_key(key: str, path: str, violations: Violations) -> None:
    size = len(key.encode())
    if not 1 <= size <= MAX_KEY_BYTES:
        violations.add(path, f"expected 1 to {MAX_KEY_BYTES} bytes, found {size}")


def features_of(
    features: Mapping[str, pb.FeatureValue], path: str, violations: Violations
) -> Mapping[str, FeatureValue]:
    """Decode features; whether an encoder takes them is not known here."""
    if len(features) > MAX_FEATURES:
        violations.add(path, f"expected at most {MAX_FEATURES} features, found {len(features)}")
        return {}
    decoded: dict[str, FeatureValue] = {}
    for name, feature in features.items():
        place = f"{path}[{quoted(name)}]"
        size = len(name.encode())
        if not 1 <= size <= MAX_FEATURE_NAME_BYTES:
            violations.add(place, f"expected a name of 1 to {MAX_FEATURE_NAME_BYTES} bytes, found {size}")
        which = feature.WhichOneof("value")
        _check_feature(feature, which, place, violations)
        decoded[name] = feature.category if which == "category" else feature.number
    return decoded


def _check_feature(feature: pb.FeatureValue, which: str | None, path: str, violations: Violations) -> None:
    if which is None:
        violations.add(path, "expected one of number and category, found neither")
    elif which == "number":
        if not math.isfinite(feature.number):
            violations.add(f"{path}.number", f"expected a finite number, found {feature.number}")
    elif len(feature.category.encode()) > MAX_CATEGORY_BYTES:
        found = len(feature.category.encode())
        violations.add(f"{path}.category", f"expected at most {MAX_CATEGORY_BYTES} bytes, found {found}")


def filters_of(filters: pb.Filters, path: str, limits: Limits, violations: Violations) -> Filters:
    """Decode filters."""
    return Filters(
        merchants=_names_of(filters.merchants, f"{path}.merchants", violations),
        categories=_names_of(filters.categories, f"{path}.categories", violations),
        price=_price_of(filters.price, f"{path}.price", violations) if filters.HasField("price") else None,
        excluded=_excluded_of(filters, path, limits, violations),
    )


def _names_of(names: Sequence[str], path: str, violations: Violations) -> tuple[str, ...]:
    if len(names) > MAX_NAMES:
        violations.add(path, f"expected at most {MAX_NAMES} names, found {len(names)}")
        return ()
    for position, name in enumerate(names):
        if len(name) * _UTF8_BYTES > MAX_NAME_BYTES and (size := len(name.encode())) > MAX_NAME_BYTES:
            violations.add(f"{path}[{position}]", f"expected at most {MAX_NAME_BYTES} bytes, found {size}")
    return tuple(names)


def _price_of(price: pb.PriceRange, path: str, violations: Violations) -> tuple[float, float]:
    lowest = price.lowest if price.HasField("lowest") else -math.inf
    highest = price.highest if price.HasField("highest") else math.inf
    for name, value in (("lowest", lowest), ("highest", highest)):
        if math.isnan(value):
            violations.add(f"{path}.{name}", "expected a number, found nan")
    if lowest > highest:
        violations.add(path, f"expected lowest to be at most highest, found {lowest:g} and {highest:g}")
    return lowest, highest


def _excluded_of(filters: pb.Filters, path: str, limits: Limits, violations: Violations) -> ItemRefs:
    ids, keys = filters.excluded_item_ids, filters.excluded_item_keys
    if not ids and not keys:
        return ItemRefs.none()
    if (found := len(ids) + len(keys)) > limits.max_excluded:
        field = "excluded_item_ids" if ids else "excluded_item_keys"
        expected = f"expected at most {limits.max_excluded} items by id and key together"
        violations.add(f"{path}.{field}", f"{expected}, found {found}")
        return ItemRefs.none()
    for position, key in enumerate(keys):
        if not 1 <= len(key) <= MAX_KEY_BYTES // _UTF8_BYTES:
            _check_key(key, f"{path}.excluded_item_keys[{position}]", violations)
    known = tuple(keys)
    return refs_of(_ids_of(filters), known)


def _ids_of(filters: pb.Filters) -> NDArray[np.uint64]:
    """Read the excluded ids at once: packed, they are the last bytes of a message that has nothing else.

    One by one, through Python's numbers, 10,000 of them take a millisecond. Empties the other fields, which nobody
    reads any more.
    """
    count = len(filters.excluded_item_ids)
    for name in ("merchants", "categories", "price", "excluded_item_keys"):
        filters.ClearField(name)
    raw = filters.SerializeToString()
    return np.frombuffer(raw, dtype="<u8", count=count, offset=len(raw) - _ID_BYTES * count)


def quotas_of(quotas: Mapping[str, int], path: str, limits: Limits, violations: Violations) -> Mapping[str, int]:
    """Decode quotas by source."""
    for name, quota in quotas.items():
        place = f"{path}[{quoted(name)}]"
        if name not in _SOURCES:
            violations.add(place, f"expected one of {', '.join(_SOURCES)}, found {quoted(name)}")
        if quota > limits.max_k:
            violations.add(place, f"expected 0 to {limits.max_k}, found {quota}")
    return dict(quotas)
