"""Encoders: what the spec promises is what runs."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.encoder import OnnxEncoder
from models.errors import EncoderError, EncoderSpecError
from models.led import led_inputs
from models.spec import TensorSpec, decode_spec, encode_spec, led_spec
from tiny_bundle import led_graph

SPEC = led_spec(8, 5, 17)


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    """The LED graph over 8 dimensions."""
    return OnnxEncoder.open(led_graph(SPEC), SPEC)


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_led_is_the_mean_of_the_recent_history_and_a_one(encoder: OnnxEncoder, lengths: list[int], seed: int) -> None:
    """`u = mean(v_h)` over the last `max_history` items, followed by 1; the null vector for an empty history."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(30, 8)).astype(np.float32)
    histories = [rng.integers(0, 30, size=length) for length in lengths]
    found = encoder.encode(led_inputs(vectors, histories, SPEC.max_history))
    assert found.shape == (len(lengths), 9)
    assert (found[:, -1] == 1).all()
    for vector, history in zip(found, histories, strict=True):
        mean = vectors[history[-5:]].mean(axis=0) if len(history) else np.zeros(8)
        np.testing.assert_allclose(vector[:-1], mean, atol=1e-6)


def test_a_spec_survives_the_way_to_disk_and_back() -> None:
    """What is written is what is read."""
    assert decode_spec(encode_spec(SPEC)) == SPEC


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"{}", "encoder"),
        (b"[]", "array"),
        (encode_spec(SPEC).replace(b'"max_history": 5', b'"max_history": 0'), "max_history"),
        (encode_spec(SPEC).replace(b'"opset"', b'"opsets"'), "opsets"),
        (encode_spec(SPEC).replace(b'"system": "led"', b'"system": "bert"'), "system"),
    ],
)
def test_a_malformed_spec_is_refused_by_field(raw: bytes, field: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(EncoderSpecError, match=field):
        decode_spec(raw)


@pytest.mark.parametrize(
    "spec",
    [
        msgspec.structs.replace(SPEC, inputs=SPEC.inputs[:1]),
        msgspec.structs.replace(SPEC, output=TensorSpec("nobody", "float32", ("B", 9))),
        msgspec.structs.replace(SPEC, output=TensorSpec("user_vector", "float32", ("B", 10))),
        msgspec.structs.replace(SPEC, inputs=(SPEC.inputs[0], TensorSpec("history_weights", "int64", ("B", "T")))),
    ],
)
def test_a_graph_that_is_not_what_the_spec_says_is_refused(spec: object) -> None:
    """Names, types and fixed sizes of inputs and output are compared."""
    with pytest.raises(EncoderSpecError, match="encoder led"):
        OnnxEncoder.open(led_graph(SPEC), spec)  # type: ignore[arg-type]


def test_bytes_that_are_no_graph_are_refused() -> None:
    """Onnxruntime's own error is translated."""
    with pytest.raises(EncoderSpecError, match="cannot open"):
        OnnxEncoder.open(b"nothing", SPEC)


def test_wrong_shapes_are_our_error_not_a_crash(encoder: OnnxEncoder) -> None:
    """A failing run is an `EncoderError`."""
    with pytest.raises(EncoderError, match="encoder led failed"):
        encoder.encode({"history_vectors": np.zeros((1, 2, 3), dtype=np.float32)})


def test_a_vector_that_is_not_finite_is_an_error(encoder: OnnxEncoder) -> None:
    """NaN never reaches an index."""
    vectors = np.full((2, 8), np.nan, dtype=np.float32)
    with pytest.raises(EncoderError, match="NaN"):
        encoder.encode(led_inputs(vectors, [np.array([0])], 5))
