"""Features: one definition for training and serving, as a loop over users and features gives it."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import EncoderSpecError, FeatureKindError
from models.features import FIRST_KNOWN, MISSING, UNKNOWN, FeatureTransform, FeatureValue, Transforms, UserContext

COUNTRIES = ("FR", "US", "DE")
NUMBERS = st.floats(-1e6, 1e6, width=32)
TIMES = st.just(0) | st.integers(1, 4_000_000_000_000)
FEATURE_MAPS = st.fixed_dictionaries(
    {}, optional={"tier": st.sampled_from(["gold", "silver", "tin"]), "spent": NUMBERS}
)
CONTEXTS = st.builds(
    UserContext,
    country=st.sampled_from([*COUNTRIES, "XX", ""]),
    time_ms=TIMES,
    newest_ms=TIMES,
    history_length=st.integers(0, 500),
    features=FEATURE_MAPS,
)
ALL = (
    FeatureTransform("country", "country", "category", values=COUNTRIES),
    FeatureTransform("hour", "hour", "category", values=tuple(str(hour) for hour in range(24))),
    FeatureTransform("weekday", "weekday", "category", values=("0", "6", "2")),
    FeatureTransform("length", "history_length", "bucket", bounds=(1.0, 5.0, 20.0)),
    FeatureTransform("length_scaled", "history_length", "number", scale="log1p", mean=2.0, deviation=0.5),
    FeatureTransform("idle", "idle_days", "number", mean=3.0, deviation=7.0),
    FeatureTransform("idle_bucket", "idle_days", "bucket", bounds=(0.5, 1.0, 30.0)),
    FeatureTransform("tier", "feature", "category", key="tier", values=("gold", "silver")),
    FeatureTransform("spent", "feature", "bucket", key="spent", bounds=(-10.0, 0.0, 10.0)),
    FeatureTransform("spent_scaled", "feature", "number", key="spent", scale="log1p", mean=1.0, deviation=2.0),
)


def naive_raw(each: FeatureTransform, context: UserContext) -> FeatureValue | None:
    """The value of one feature of one user, by the calendar; None where nobody knows it."""
    when = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=context.time_ms)
    match each.origin:
        case "country":
            return context.country
        case "hour":
            return str(when.hour) if context.time_ms else None
        case "weekday":
            return str(when.weekday()) if context.time_ms else None
        case "history_length":
            return context.history_length
        case "idle_days":
            known = context.time_ms and context.newest_ms
            return max(0.0, (context.time_ms - context.newest_ms) / 86_400_000) if known else None
        case _:
            return context.features.get(each.key)


def naive(each: FeatureTransform, context: UserContext) -> float:
    """One cell of one input."""
    raw = naive_raw(each, context)
    if raw is None:
        return 0.0 if each.kind == "number" else MISSING
    if each.kind == "category":
        return each.values.index(str(raw)) + FIRST_KNOWN if raw in each.values else UNKNOWN
    if each.kind == "bucket":
        return sum(float(raw) >= bound for bound in each.bounds) + FIRST_KNOWN
    scaled = math.log1p(max(float(raw), 0.0)) if each.scale == "log1p" else float(raw)
    return min(max((scaled - each.mean) / each.deviation, -1000.0), 1000.0)


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324])
def test_no_number_of_a_caller_overflows(value: float) -> None:
    """The largest numbers that the wire carries stay within 1,000 deviations."""
    transform = FeatureTransform("spent", "feature", "number", key="spent", deviation=1e-3)
    (cell,) = Transforms([transform]).inputs([UserContext("FR", features={"spent": value})])["spent"]
    assert abs(cell) <= 1000.0


@settings(max_examples=300)
@given(contexts=st.lists(CONTEXTS, max_size=20))
def test_inputs_are_those_of_a_loop_over_users_and_features(contexts: list[UserContext]) -> None:
    """Every cell, with its dtype and shape (B,); ids stay below the size of their embedding table."""
    found = Transforms(ALL).inputs(contexts)
    assert list(found) == [each.name for each in ALL]
    for each in ALL:
        column = found[each.name]
        assert column.shape == (len(contexts),)
        assert column.dtype == (np.float32 if each.kind == "number" else np.int64)
        np.testing.assert_allclose(column, [naive(each, context) for context in contexts], rtol=1e-5, atol=1e-5)
        if each.kind != "number":
            assert ((column >= 0) & (column < each.size)).all()


def test_a_hand_computed_case() -> None:
    """Friday 5 January 2024, 13:30 UTC, 36 hours after the newest interaction, in a country that training knew."""
    now = int(dt.datetime(2024, 1, 5, 13, 30, tzinfo=dt.UTC).timestamp() * 1000)
    context = UserContext("US", now, now - 36 * 3_600_000, 5, {"tier": "silver", "spent": -10.0})
    found = {name: column[0] for name, column in Transforms(ALL).inputs([context]).items()}
    assert found["country"] == 3  # second of the known ones, which begin with 2
    assert found["hour"] == 15
    assert found["weekday"] == UNKNOWN  # Friday is 4, which this transform does not have
    assert found["length"] == 4  # at the bounds 1 and 5
    assert found["idle"] == pytest.approx((1.5 - 3.0) / 7.0)
    assert found["idle_bucket"] == 4
    assert found["tier"] == 3
    assert found["spent"] == 3
    assert found["spent_scaled"] == pytest.approx((0.0 - 1.0) / 2.0)


def test_what_is_not_given_is_missing_and_what_training_never_saw_is_unknown() -> None:
    """Absent: id 0, or the mean. New: id 1. A feature that only the caller has: nothing happens."""
    transforms = Transforms(ALL)
    found = transforms.inputs([UserContext("XX", features={"tier": "platinum", "shoe size": 43.0})])
    missing = ("hour", "weekday", "idle_bucket", "spent")
    assert [found[name][0] for name in missing] == [MISSING] * 4
    assert [found[name][0] for name in ("country", "tier")] == [UNKNOWN] * 2
    assert [found[name][0] for name in ("idle", "spent_scaled")] == [0.0] * 2
    assert transforms.keys == {"tier", "spent"}


def test_a_number_that_is_none_is_missing() -> None:
    """NaN stands for nothing."""
    found = Transforms(ALL).inputs([UserContext("FR", features={"spent": math.nan})])
    assert (found["spent"][0], found["spent_scaled"][0]) == (MISSING, 0.0)


@pytest.mark.parametrize(("name", "value", "expected"), [("tier", 3.0, "a category"), ("spent", "much", "a number")])
def test_a_feature_of_the_wrong_kind_is_the_callers_fault_by_name(
    name: str, value: FeatureValue, expected: str
) -> None:
    """The error has the caller's name of the feature and what it should be."""
    with pytest.raises(FeatureKindError, match=f"{name}.*{expected}") as caught:
        Transforms(ALL).inputs([UserContext("FR"), UserContext("FR", features={name: value})])
    assert (caught.value.name, caught.value.expected) == (name, expected)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"origin": "feature", "kind": "category"}, "key"),
        ({"origin": "hour", "kind": "category", "key": "hour"}, "key"),
        ({"origin": "hour", "kind": "number"}, "is a category"),
        ({"origin": "idle_days", "kind": "category"}, "is a number"),
        ({"origin": "hour", "kind": "category", "values": ("1", "1")}, "once"),
        ({"origin": "idle_days", "kind": "bucket", "bounds": (1.0, 1.0)}, "rise"),
        ({"origin": "idle_days", "kind": "bucket", "bounds": (1.0, math.nan)}, "rise"),
        ({"origin": "idle_days", "kind": "number", "mean": math.inf}, "finite"),
        ({"origin": "idle_days", "kind": "number", "deviation": math.nan}, "finite"),
    ],
)
def test_a_transform_that_makes_no_sense_is_refused(fields: dict[str, object], reason: str) -> None:
    """The message names the feature and what is wrong with it."""
    with pytest.raises(EncoderSpecError, match=f"feature f: .*{reason}"):
        FeatureTransform("f", **fields)  # type: ignore[arg-type]


@given(contexts=st.lists(CONTEXTS, min_size=9, max_size=20))
def test_users_alone_get_what_they_get_among_many(contexts: list[UserContext]) -> None:
    """The short way for a few users, and numpy's for many, differ by no more than float32's last bit."""
    transforms = Transforms(ALL)
    together = transforms.inputs(contexts)
    for place, context in enumerate(contexts):
        for name, column in transforms.inputs([context]).items():
            assert column.dtype == together[name].dtype
            np.testing.assert_array_max_ulp(column[0], together[name][place])
