"""Features of users, learned once from training users: which values are known, where numbers are cut and scaled.

The transforms go into the encoders' specs; `models.features` applies them here and when serving.
"""

from collections.abc import Sequence
from math import isfinite

import msgspec
import numpy as np
import pyarrow as pa

from models.features import FeatureTransform, FeatureValue, UserContext
from shortlist_training.config_sources import Origin, UserSettings
from shortlist_training.errors import ConfigError
from shortlist_training.histories import Histories

LENGTH_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
IDLE_BOUNDS = (1 / 24, 1.0, 3.0, 7.0, 14.0, 30.0, 90.0, 180.0)
HOURS, DAYS = 24, 7


def read_user_columns(users: pa.Table | None, names: Sequence[str]) -> list[dict[str, FeatureValue]]:
    """Give each user (by the order of `names`) the columns of users.parquet as features; null values are left out.

    Strings and booleans ("true", "false") are categories, integers and floats numbers; other types are a `ConfigError`.
    A user without a row has no features; of several rows the first counts.
    """
    found: list[dict[str, FeatureValue]] = [{} for _ in names]
    if users is None:
        return found
    place = {name: number for number, name in enumerate(names)}
    filled: set[int] = set()
    columns = {name: _values(users, name) for name in users.column_names if name != "user"}
    for row, user in enumerate(users["user"].to_pylist()):
        at = place.get(user)
        if at is not None and at not in filled:
            filled.add(at)
            found[at] = {name: value for name, values in columns.items() if (value := values[row]) is not None}
    return found


def _values(users: pa.Table, name: str) -> list[FeatureValue | None]:
    kind = users.schema.field(name).type
    raw = users[name].to_pylist()
    if pa.types.is_boolean(kind):
        return [None if value is None else str(value).lower() for value in raw]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [None if value is None else str(value) for value in raw]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return [float(value) if value is not None and isfinite(value) else None for value in raw]
    message = f"users.keep: column '{name}' is {kind}; a feature is a string, a boolean or a number"
    raise ConfigError(message)


def learn_transforms(histories: Histories, settings: UserSettings) -> tuple[FeatureTransform, ...]:
    """Make the transforms of the origins and of every column that some training user has, named `user_<column>`."""
    own = [_own(origin, histories) for origin in settings.origins]
    people = [histories.features[int(user)] for user in histories.members("train")]
    return (*own, *(_column(key, people) for key in sorted({key for person in people for key in person})))


def _own(origin: Origin, histories: Histories) -> FeatureTransform:
    if origin == "country":
        trained = sorted({histories.countries[int(home)] for home in histories.homes[histories.members("train")]})
        return FeatureTransform(name="country", origin="country", kind="category", values=tuple(trained))
    if origin in {"hour", "weekday"}:
        values = tuple(str(number) for number in range(HOURS if origin == "hour" else DAYS))
        return FeatureTransform(name=origin, origin=origin, kind="category", values=values)
    bounds = LENGTH_BOUNDS if origin == "history_length" else IDLE_BOUNDS
    return FeatureTransform(name=origin, origin=origin, kind="bucket", bounds=bounds)


def _column(key: str, people: Sequence[dict[str, FeatureValue]]) -> FeatureTransform:
    given = [person[key] for person in people if key in person]
    name = f"user_{key}"
    if isinstance(given[0], str):
        values = tuple(sorted({str(value) for value in given}))
        return FeatureTransform(name=name, origin="feature", kind="category", key=key, values=values)
    numbers = np.array(given, dtype=np.float64)
    deviation = float(numbers.std()) or 1.0
    mean = float(numbers.mean())
    return FeatureTransform(name=name, origin="feature", kind="number", key=key, mean=mean, deviation=deviation)


def hide_some(context: UserContext, share: float, rng: np.random.Generator) -> UserContext:
    """Hide the time, and each feature, with probability `share`, as requests may lack them."""
    hidden = rng.random(len(context.features) + 1) < share
    kept = {key: value for (key, value), gone in zip(context.features.items(), hidden[1:], strict=True) if not gone}
    return msgspec.structs.replace(context, time_ms=0 if hidden[0] else context.time_ms, features=kept)
