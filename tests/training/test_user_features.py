"""Features of users: columns of the user table, learned transforms, and what serving meets that training did not."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from models.features import MISSING, UNKNOWN, FeatureKindError, Transforms, UserContext
from shortlist_training.config_sources import UserSettings
from shortlist_training.errors import ConfigError
from shortlist_training.histories import Histories
from shortlist_training.user_features import hide_some, learn_transforms, read_user_columns

TABLE = pa.table(
    {
        "user": ["a", "c", "c", "x"],
        "segment": ["gold", None, "late", "gold"],
        "age": [30, 50, 1, 99],
        "member": [True, False, True, True],
    }
)


def people(features: list[dict[str, float | str]]) -> Histories:
    count = len(features)
    return Histories(
        offsets=np.arange(count + 1),
        rows=np.zeros(count, dtype=np.int64),
        types=np.ones(count, dtype=np.int64),
        times_ms=np.zeros(count, dtype=np.int64),
        homes=np.arange(count) % 2,
        countries=["BE", "NL"],
        split=np.array(["train"] * (count - 1) + ["test"]),
        features=features,
        items=1,
    )


def test_columns_become_features_by_their_types() -> None:
    """Strings and booleans are categories, numbers numbers; null is left out; the first of several rows counts."""
    assert read_user_columns(TABLE, ["a", "b", "c"]) == [
        {"segment": "gold", "age": 30.0, "member": "true"},
        {},
        {"age": 50.0, "member": "false"},
    ]
    assert read_user_columns(None, ["a"]) == [{}]


def test_a_column_of_another_type_is_refused() -> None:
    """A date is neither category nor number: the error names the column and its type."""
    table = pa.table({"user": ["a"], "since": [date(2024, 1, 1)]})
    with pytest.raises(ConfigError, match=r"column 'since' is date32.*a string, a boolean or a number"):
        read_user_columns(table, ["a"])


def test_transforms_know_training_users_only() -> None:
    """A held-out user's country and category are unknown; numbers are scaled by training's mean and deviation."""
    settings = UserSettings(origins=("country", "history_length"))
    histories = people([{"segment": "gold", "age": 20.0}, {"age": 40.0}, {"segment": "iron", "age": 99.0}])
    transforms = learn_transforms(histories, settings)
    assert [each.name for each in transforms] == ["country", "history_length", "user_age", "user_segment"]
    made = Transforms(transforms)
    known, unknown, nothing = (
        made.inputs([context])
        for context in (
            UserContext("NL", history_length=1, features={"segment": "gold", "age": 40.0}),
            UserContext("ZZ", features={"segment": "iron", "colour": "red"}),
            UserContext(""),
        )
    )
    assert [known[name][0] for name in ("country", "user_segment", "user_age")] == [3, 2, 1.0]
    assert [unknown[name][0] for name in ("country", "user_segment", "user_age")] == [UNKNOWN, UNKNOWN, 0.0]
    assert [nothing[name][0] for name in ("user_segment", "user_age")] == [MISSING, 0.0]
    with pytest.raises(FeatureKindError):
        made.inputs([UserContext("NL", features={"age": "old"})])


def test_a_constant_column_stays_finite() -> None:
    """A column without any spread is scaled by 1."""
    (age,) = learn_transforms(people([{"age": 5.0}, {"age": 5.0}, {}]), UserSettings(origins=()))
    assert (age.mean, age.deviation) == (5.0, 1.0)


def test_hiding_leaves_requests_that_lack_something() -> None:
    """With share 1 the time and all features are gone, with 0 nothing is."""
    context = UserContext("NL", 5, 4, 3, {"age": 1.0})
    rng = np.random.default_rng(0)
    assert hide_some(context, 0.0, rng) == context
    assert hide_some(context, 1.0, rng) == UserContext("NL", 0, 4, 3, {})
