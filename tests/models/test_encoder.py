"""Encoders: what the spec promises is what runs."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.encoder import OnnxEncoder
from models.errors import EncoderError, EncoderSpecError
from models.features import UserContext
from models.led import is_mean, led_inputs, mean_users
from models.probe import probe_inputs
from models.spec import TensorSpec, decode_spec, encode_spec, led_spec
from tiny_bundle import led_graph
from tiny_graphs import FEATURES
from tiny_sources import DIRECT_DIM, TRIGGER_DIM, TinyEncoders

SPEC = led_spec(8, 5, 17)


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    """The LED graph over 8 dimensions."""
    return OnnxEncoder.open(led_graph(SPEC), SPEC)


@settings(max_examples=100)
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


@settings(max_examples=100)
@given(lengths=st.lists(st.integers(1, 9), max_size=8), seed=st.integers(0, 2**32 - 1))
def test_the_mean_without_the_graph_is_the_graphs(encoder: OnnxEncoder, lengths: list[int], seed: int) -> None:
    """`mean_users` gives what LED's graph gives, whatever the biases, and the graph is known for a mean."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(30, 9)).astype(np.float32)
    histories = [rng.integers(0, 30, size=length) for length in lengths]
    expected = encoder.encode(led_inputs(items[:, :-1], histories, SPEC.max_history))
    np.testing.assert_allclose(mean_users(items, histories, SPEC.max_history), expected, atol=1e-6)
    assert is_mean(encoder)


class Unlike:
    """An LED encoder that is the graph but for what `change` does to its output."""

    def __init__(self, encoder: OnnxEncoder, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self.spec = encoder.spec
        self._encoder, self._change = encoder, change

    def encode(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """See `OnnxEncoder.encode`."""
        return self._change(self._encoder.encode(inputs))


def fail(_: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a graph does that cannot take the probes."""
    message = "encoder led failed"
    raise EncoderError(message)


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users * np.float32(1.001),
        lambda users: np.where(np.arange(len(users))[:, None] > 0, users * 2, users),
        fail,
    ],
)
def test_a_graph_that_is_no_mean_is_run(
    encoder: OnnxEncoder, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    """Another weight, another treatment of batches, or a failure: such a graph is not replaced."""
    assert not is_mean(Unlike(encoder, change))  # type: ignore[arg-type]


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


@pytest.fixture(scope="module")
def tiny() -> TinyEncoders:
    """Random query tower, TrigNet and direct tower."""
    return TinyEncoders.random(np.random.default_rng(0))


def test_no_user_and_no_trigger_is_no_row(tiny: TinyEncoders, encoder: OnnxEncoder) -> None:
    """An empty batch, or users without a trigger, never reach the graph."""
    trignet = OnnxEncoder.open(tiny.trignet.onnx(), tiny.trignet.spec)
    users = trignet.transforms.inputs([UserContext("FR"), UserContext("US")])
    no_ids = {f"trigger_{name}": np.zeros(0, dtype=np.int64) for name in ("owner", "type", "count", "position")}
    found = trignet.encode({"trigger_vectors": np.zeros((0, TRIGGER_DIM), dtype=np.float32), **no_ids, **users})
    assert (found.shape, found.dtype) == ((0,), np.float32)
    assert encoder.encode(led_inputs(np.zeros((3, 8), dtype=np.float32), [], 5)).shape == (0, 9)


def test_weights_of_triggers_come_flat(tiny: TinyEncoders) -> None:
    """TrigNet's output is (L,) float32."""
    trignet = OnnxEncoder.open(tiny.trignet.onnx(), tiny.trignet.spec)
    found = trignet.encode(probe_inputs(tiny.trignet.spec))
    np.testing.assert_allclose(found, tiny.trignet.numpy(probe_inputs(tiny.trignet.spec)), rtol=1e-5, atol=1e-6)
    assert (found.shape, found.dtype) == ((2,), np.float32)


def test_a_probe_has_the_lowest_and_the_highest_id_of_every_input(tiny: TinyEncoders) -> None:
    """Features by their size, behaviour fields by their classes; what is no id is zero."""
    found = probe_inputs(tiny.trignet.spec)
    ids = {each.name: [0, each.size - 1] for each in FEATURES if each.kind != "number"}
    fields = {"trigger_owner": [0, 1], "trigger_type": [0, 5], "trigger_count": [0, 7], "trigger_position": [0, 11]}
    assert {name: column.tolist() for name, column in found.items() if column.dtype == np.int64} == ids | fields
    assert not any(column.any() for column in found.values() if column.dtype == np.float32)


@pytest.mark.parametrize("name", ["country", "length", "trigger_type", "trigger_count", "trigger_position"])
def test_a_graph_that_embeds_fewer_ids_than_its_spec_allows_is_refused(tiny: TinyEncoders, name: str) -> None:
    """Otherwise the first request with the highest id would fail, long after the bundle was accepted."""
    tables = tiny.trignet.tables | {name: tiny.trignet.tables[name][:-1]}
    graph = replace(tiny.trignet, tables=tables).onnx()
    with pytest.raises(EncoderSpecError, match="highest ids"):
        OnnxEncoder.open(graph, tiny.trignet.spec)


def test_a_graph_that_gives_one_row_for_all_users_is_refused(tiny: TinyEncoders) -> None:
    """A user tower without features has no batch to answer."""
    spec = msgspec.structs.replace(tiny.direct.spec, inputs=(), features=())
    node = helper.make_node("Identity", ["p"], ["user_vector"])
    constant = numpy_helper.from_array(np.zeros((1, DIRECT_DIM), dtype=np.float32), "p")
    output = helper.make_tensor_value_info("user_vector", TensorProto.FLOAT, ["B", DIRECT_DIM])
    graph = helper.make_graph([node], "constant", [], [output], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(EncoderSpecError, match=rf"shape \(2, {DIRECT_DIM}\), the graph gave \(1, {DIRECT_DIM}\)"):
        OnnxEncoder.open(model.SerializeToString(), spec)


@pytest.mark.parametrize("package", ["models.encoder", "shortlist_training.two_tower.export"])
def test_onnxruntime_keeps_no_record_of_its_use(tmp_path: Path, package: str) -> None:
    """With a session opened, its telemetry has written no database to $HOME."""
    graph = tmp_path / "led.onnx"
    graph.write_bytes(led_graph(SPEC))
    home = tmp_path / "home"
    home.mkdir()
    script = f"import {package}, onnxruntime; onnxruntime.InferenceSession({str(graph)!r})"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment.pop("XDG_CACHE_HOME", None)
    subprocess.run([sys.executable, "-c", script], env={**environment, "HOME": str(home)}, check=True)
    assert not list(home.rglob("*onnxruntime*"))


def test_a_history_is_gathered_without_copying_the_catalogue() -> None:
    """Of a part of wider rows, as LED's are beside their bias, only the history's rows are copied: all are 64 TB."""
    row = np.arange(17, dtype=np.float32)
    vectors = np.broadcast_to(row, (1 << 40, 17))[:, :-1]
    for histories in ([np.array([5, 1 << 39])], [np.array([5, 1 << 39]), np.array([7])]):
        gathered = led_inputs(vectors, histories, 10)["history_vectors"]
        assert np.array_equal(gathered[0], np.stack([row[:-1], row[:-1]]))
