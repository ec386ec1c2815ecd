"""The one definition of features: what a request or a log row says of a user becomes a graph's inputs, here only.

Training learns the transforms (known values, bounds, means), stores them in the encoder's spec, and makes its own
training inputs with the functions below; serving reads the spec and calls the same functions.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.errors import EncoderSpecError, FeatureKindError

MISSING = 0
"""Id of a feature that was not given."""
UNKNOWN = 1
"""Id of a value that training did not know."""
FIRST_KNOWN = 2

FeatureValue = float | str
Ids = NDArray[np.int64]

_MS_PER_HOUR = 3_600_000
_MS_PER_DAY = 24 * _MS_PER_HOUR
_HOURS, _DAYS = 24, 7
_THURSDAY = 3  # 1970 began on a Thursday; Monday is 0


class UserContext(msgspec.Struct, frozen=True):
    """What is known of a user besides the items of the history.

    time_ms: when the answer is wanted, newest_ms: of the newest interaction; milliseconds since 1970, 0 = not known.
    history_length: number of interactions with items that the catalogue has. features: by the caller's names, numbers
    or categories.
    """

    country: str
    time_ms: int = 0
    newest_ms: int = 0
    history_length: int = 0
    features: Mapping[str, FeatureValue] = msgspec.field(default_factory=dict)


class FeatureTransform(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one input of a graph is made of a `UserContext`. `name` is the input's.

    origin: where the raw value comes from. "country": the request's. "hour", "weekday": of `time_ms` in UTC, 0 is
    midnight and Monday. "history_length". "idle_days": days between the newest interaction and now. "feature": the
    caller's feature called `key`.
    kind "category": int64 (B,), the place of the value in `values` plus `FIRST_KNOWN`; "bucket": int64 (B,), the number
    of `bounds` at or below the number plus `FIRST_KNOWN`; "number": float32 (B,), `(scale(x) - mean) / deviation`,
    cut at 1,000 deviations, so that no caller's number makes a graph overflow.
    What is not given is `MISSING`, or 0.0 for "number", which is its mean. A category that is not in `values` is
    `UNKNOWN`. Hours and weekdays are categories "0", "1", and so on.
    """

    name: str
    origin: Literal["country", "hour", "weekday", "history_length", "idle_days", "feature"]
    kind: Literal["category", "bucket", "number"]
    key: str = ""
    values: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    scale: Literal["identity", "log1p"] = "identity"
    mean: float = 0.0
    deviation: Annotated[float, msgspec.Meta(gt=0)] = 1.0

    def __post_init__(self) -> None:
        if (self.origin == "feature") != bool(self.key):
            self._refuse("'key' names the caller's feature, for origin 'feature' and for no other")
        if len(set(self.values)) != len(self.values):
            self._refuse("'values' must be named once each")
        if any(not low < high for low, high in zip(self.bounds, self.bounds[1:], strict=False)):
            self._refuse("'bounds' must be numbers that rise")
        if not math.isfinite(self.mean) or not math.isfinite(self.deviation):
            self._refuse("'mean' and 'deviation' must be finite")
        if self.kind != "category" and self.origin in _TEXTS:
            self._refuse(f"{self.origin} is a category")
        if self.kind == "category" and self.origin in _NUMBERS:
            self._refuse(f"{self.origin} is a number")

    def _refuse(self, reason: str) -> None:
        message = f"feature {self.name}: {reason}"
        raise EncoderSpecError(message)

    @property
    def size(self) -> int:
        """Rows of the embedding table for "category" and "bucket": the known ids, `MISSING` and `UNKNOWN`."""
        known = len(self.values) if self.kind == "category" else len(self.bounds) + 1
        return known + FIRST_KNOWN


_LARGEST = 1_000.0
_FEW = 8
_TEXTS = frozenset({"country", "hour", "weekday"})
_NUMBERS = frozenset({"history_length", "idle_days"})


class Transforms:
    """The transforms of one encoder, ready to run. Lookup tables are made once; holds no state between calls."""

    def __init__(self, transforms: Sequence[FeatureTransform]) -> None:
        self.transforms = tuple(transforms)
        self._places = [
            {value: place for place, value in enumerate(each.values, FIRST_KNOWN)} for each in self.transforms
        ]
        self._bounds = [np.array(each.bounds, dtype=np.float64) for each in self.transforms]

    @property
    def keys(self) -> frozenset[str]:
        """The caller's features that are used."""
        return frozenset(each.key for each in self.transforms if each.origin == "feature")

    def inputs(self, contexts: Sequence[UserContext]) -> dict[str, NDArray[np.int64] | NDArray[np.float32]]:
        """Make every input for B users: by name, (B,) int64 or float32.

        Raises `FeatureKindError` where a caller's feature is a number and should be a category, or the reverse.
        """
        return {each.name: self._column(number, each, contexts) for number, each in enumerate(self.transforms)}

    def _column(
        self, number: int, each: FeatureTransform, contexts: Sequence[UserContext]
    ) -> NDArray[np.int64] | NDArray[np.float32]:
        raw = [_raw(each, context) for context in contexts]
        if each.kind == "category":
            places = self._places[number]
            ids = [MISSING if value is None else places.get(str(value), UNKNOWN) for value in raw]
            return np.array(ids, dtype=np.int64)
        if len(raw) <= _FEW:
            numbers = [_one_number(each, value) for value in raw]
            if each.kind == "bucket":
                return np.array(numbers, dtype=np.int64)
            return np.array(numbers, dtype=np.float32)
        given = np.array([math.nan if value is None else value for value in raw], dtype=np.float64)
        missing = np.isnan(given)
        if each.kind == "bucket":
            ids_ = np.searchsorted(self._bounds[number], given, side="right") + FIRST_KNOWN
            return np.where(missing, MISSING, ids_).astype(np.int64)
        scaled = np.log1p(np.maximum(given, 0.0)) if each.scale == "log1p" else given
        with np.errstate(over="ignore"):
            standard = np.clip((scaled - each.mean) / each.deviation, -_LARGEST, _LARGEST)
        return np.where(missing, 0.0, standard).astype(np.float32)


def _one_number(each: FeatureTransform, value: FeatureValue | None) -> float:
    """What the columns of `Transforms` hold for one value: for a few, numpy's calls cost more than their sums."""
    if value is None or isinstance(value, str) or math.isnan(value):
        return MISSING
    if each.kind == "bucket":
        return bisect_right(each.bounds, value) + FIRST_KNOWN
    scaled = float(np.log1p(max(value, 0.0))) if each.scale == "log1p" else value
    return min(max((scaled - each.mean) / each.deviation, -_LARGEST), _LARGEST)


def _raw(each: FeatureTransform, context: UserContext) -> FeatureValue | None:
    """Find the raw value; None where it is not given."""
    if each.origin == "feature":
        return _given(each, context)
    return _OWN[each.origin](context)


def _given(each: FeatureTransform, context: UserContext) -> FeatureValue | None:
    value = context.features.get(each.key)
    wants_text = each.kind == "category"
    if value is not None and isinstance(value, str) != wants_text:
        raise FeatureKindError(each.key, "a category" if wants_text else "a number")
    return value


def _hour(context: UserContext) -> str | None:
    return str(context.time_ms // _MS_PER_HOUR % _HOURS) if context.time_ms else None


def _weekday(context: UserContext) -> str | None:
    return str((context.time_ms // _MS_PER_DAY + _THURSDAY) % _DAYS) if context.time_ms else None


def _idle_days(context: UserContext) -> float | None:
    if not context.time_ms or not context.newest_ms:
        return None
    return max(context.time_ms - context.newest_ms, 0) / _MS_PER_DAY


_OWN: Mapping[str, Callable[[UserContext], FeatureValue | None]] = {
    "country": lambda context: context.country,
    "hour": _hour,
    "weekday": _weekday,
    "history_length": lambda context: float(context.history_length),
    "idle_days": _idle_days,
}
