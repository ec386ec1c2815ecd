"""Weights of interactions in LED's mean: by type and age, against a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.encoder import OnnxEncoder
from models.errors import EncoderSpecError
from models.history_weights import DAY_MS, HistoryWeights
from models.interactions import InteractionType
from models.led import is_mean, led_inputs, mean_users, weights_of
from models.spec import decode_spec, encode_spec, led_spec
from tiny_bundle import led_graph

DIM, MAX_HISTORY = 8, 5
NAMES = [kind.name for kind in InteractionType]
rules = st.builds(
    HistoryWeights,
    st.dictionaries(st.sampled_from(NAMES), st.floats(0.01, 100.0)),
    st.one_of(st.none(), st.floats(0.1, 1000.0)),
)
interactions = st.tuples(st.integers(0, 29), st.integers(0, 5), st.one_of(st.just(0), st.integers(1, 400 * DAY_MS)))


def naive(rule: HistoryWeights, items: np.ndarray, history: list[tuple[int, int, int]]) -> list[float]:  # type: ignore[type-arg]
    """`sum w_h v_h / sum w_h` over the last interactions, one at a time."""
    recent = history[-MAX_HISTORY:]
    times = [time for _, _, time in recent if time]
    total, added = 0.0, [0.0] * DIM
    for row, kind, time in recent:
        weight = rule.types.get(NAMES[kind], 1.0)
        if rule.half_life_days is not None and times:
            days = (max(times) - (time or min(times))) / DAY_MS
            weight *= 0.5 ** (days / rule.half_life_days)
        total += weight
        added = [each + weight * float(value) for each, value in zip(added, items[row], strict=False)]
    return [each / total for each in added]


@settings(max_examples=150)
@given(
    rule=rules,
    histories=st.lists(st.lists(interactions, min_size=1, max_size=8), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_users_are_weighted_means(rule: HistoryWeights, histories: list[list[tuple[int, int, int]]], seed: int) -> None:
    """By numpy and by the graph, alone and in a batch, what a loop over the interactions gives."""
    spec = led_spec(DIM, MAX_HISTORY, 17, rule)
    encoder = OPENED
    items = np.random.default_rng(seed).normal(size=(30, DIM + 1)).astype(np.float32)
    rows, types, times = ([np.array([one[column] for one in each]) for each in histories] for column in range(3))
    weights = weights_of(spec, types, times)
    expected = [[*naive(rule, items, each), 1.0] for each in histories]
    np.testing.assert_allclose(mean_users(items, rows, MAX_HISTORY, weights), expected, atol=1e-5)
    found = encoder.encode(led_inputs(items[:, :-1], rows, MAX_HISTORY, weights))
    np.testing.assert_allclose(found, expected, atol=1e-5)


OPENED = OnnxEncoder.open(led_graph(led_spec(DIM, MAX_HISTORY, 17)), led_spec(DIM, MAX_HISTORY, 17))


def test_a_spec_without_weights_is_written_as_before() -> None:
    """An older reader refuses fields that it does not know; with weights they survive the way to disk and back."""
    assert b"weights" not in encode_spec(led_spec(DIM, 5, 17)).replace(b"history_weights", b"")
    weighted = led_spec(DIM, 5, 17, HistoryWeights({"CART": 3.0}, 30.0))
    assert decode_spec(encode_spec(weighted)) == weighted
    assert is_mean(OPENED)
    assert weights_of(led_spec(DIM, 5, 17), [np.ones(2, dtype=np.int64)], [np.ones(2, dtype=np.int64)]) is None


@pytest.mark.parametrize(
    ("weights", "field"),
    [
        (b'{"types": {"LIKE": 2.0}}', "LIKE"),
        (b'{"types": {"CART": 0.0}}', "CART|types"),
        (b'{"half_life_days": 0.0}', "half_life_days"),
        (b'{"half_life": 3.0}', "half_life"),
    ],
)
def test_weights_that_are_none_are_refused_by_field(weights: bytes, field: str) -> None:
    """Unknown types and fields, and weights that are not positive."""
    raw = encode_spec(led_spec(DIM, 5, 17)).strip()
    with pytest.raises(EncoderSpecError, match=field):
        decode_spec(raw[:-1] + b', "weights": ' + weights + b"}")


def test_only_led_weighs() -> None:
    """Another system's spec cannot have weights."""
    raw = encode_spec(led_spec(DIM, 5, 17, HistoryWeights())).replace(b'"system": "led"', b'"system": "pdn"')
    with pytest.raises(EncoderSpecError, match="only led weighs"):
        decode_spec(raw)
