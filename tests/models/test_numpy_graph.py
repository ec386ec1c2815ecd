"""Encoders in numpy: what onnxruntime gives, or not at all."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import models.numpy_choice
from models.encoder import OnnxEncoder
from models.errors import EncoderError, EncoderSpecError
from models.numpy_choice import choose
from models.numpy_graph import NumpyGraph
from models.onnx_file import read_onnx
from models.probe import random_inputs
from models.spec import led_spec
from tiny_bundle import led_graph
from tiny_sources import TinyEncoders

WIDTH = 5
MAKERS = ("gemm", "gemm_transposed", "gemm_plain", "matmul_add", "relu", "leaky", "concat", "scale", "normed")


class Tower:
    """A random tower over `x` (B, 5) and `ids` (B,), in the making."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401
        """Add a node."""
        name = output or f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, *shape: int) -> str:
        """Add a random constant."""
        return self.given(self.rng.normal(size=shape).astype(np.float32))

    def given(self, values: NDArray[Any]) -> str:
        """Add a constant."""
        self.constants.append(numpy_helper.from_array(values, f"constant{len(self.constants)}"))
        return self.constants[-1].name  # type: ignore[no-any-return]

    def add(self, maker: str, value: str, width: int, to: int) -> tuple[str, int]:
        """Add a layer of the kind `maker`; gives its value and width."""
        if maker == "concat":
            return self.op("Concat", value, self.op("Gather", self.constant(4, to), "ids", axis=0), axis=1), width + to
        if maker in {"relu", "leaky", "scale", "normed"}:
            return self._same_width(maker, value), width
        weights, bias = self.constant(*((to, width) if maker == "gemm_transposed" else (width, to))), self.constant(to)
        match maker:
            case "gemm_plain":
                return self.op("Gemm", value, weights), to
            case "matmul_add":
                return self.op("Add", self.op("MatMul", value, weights), bias), to
            case _:
                return self.op("Gemm", value, weights, bias, transB=int(maker == "gemm_transposed")), to

    def _same_width(self, maker: str, value: str) -> str:
        match maker:
            case "relu":
                return self.op("Relu", value)
            case "leaky":
                return self.op("LeakyRelu", value, alpha=0.2)
            case "scale":
                return self.op("Mul", value, self.constant(1))
            case _:
                axis = self.given(np.array([1], dtype=np.int64))
                sums = self.op("ReduceSum", self.op("Mul", value, value), axis, keepdims=1)
                return self.op("Div", value, self.op("Clip", sums, self.given(np.array(1.0, dtype=np.float32))))

    def serialise(self, width: int) -> bytes:
        """The model as bytes."""
        inputs = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", WIDTH]),
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["B"]),
        ]
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", width])
        graph = helper.make_graph(self.nodes, "tower", inputs, [output], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(model.SerializeToString())


def tower(seed: int, layers: Sequence[tuple[str, int]]) -> bytes:
    """A model of these layers and widths."""
    made = Tower(np.random.default_rng(seed))
    value, width = "x", WIDTH
    for maker, to in layers:
        value, width = made.add(maker, value, width, to)
    made.op("Add", value, made.constant(1), output="y")
    return made.serialise(width)


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    layers=st.lists(st.tuples(st.sampled_from(MAKERS), st.integers(1, 9)), max_size=8),
    rows=st.integers(1, 9),
)
def test_a_random_tower_gives_what_onnxruntime_gives(seed: int, layers: list[tuple[str, int]], rows: int) -> None:
    """Within 1e-5 of the largest component, for any layers and any number of rows."""
    raw = tower(seed, layers)
    rng = np.random.default_rng(seed)
    inputs: dict[str, NDArray[Any]] = {
        "x": rng.normal(size=(rows, WIDTH)).astype(np.float32),
        "ids": rng.integers(0, 4, rows),
    }
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    used = {node.name for node in session.get_inputs()}
    (expected,) = session.run(["y"], {name: value for name, value in inputs.items() if name in used})
    found = NumpyGraph(read_onnx(raw), ["x", "ids"], "y").run(inputs)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("name", ["led", "two_tower", "trignet", "direct"])
@pytest.mark.parametrize("rows", [1, 2, 30])
def test_every_encoder_of_a_bundle_runs_in_numpy(
    monkeypatch: pytest.MonkeyPatch, name: str, rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    """All four kinds of graphs are known, and give the same, whichever of the two is the faster one here."""
    encoders = TinyEncoders.random(np.random.default_rng(1))
    spec = led_spec(8, 5, 17) if name == "led" else getattr(encoders, name).spec
    raw = led_graph(spec) if name == "led" else getattr(encoders, name).onnx()
    inputs = random_inputs(spec, np.random.default_rng(rows), rows, 4)
    monkeypatch.setattr(models.numpy_choice, "_rows", lambda *_: 0)
    with caplog.at_level("DEBUG"):
        plain = OnnxEncoder.open(raw, spec).encode(inputs)
    assert "runs in numpy for up to 0 rows" in caplog.text
    monkeypatch.setattr(models.numpy_choice, "_rows", lambda *_: 100)
    np.testing.assert_allclose(OnnxEncoder.open(raw, spec).encode(inputs), plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("Tanh", {}),
        ("Softmax", {"axis": 1}),
        ("Gemm", {"alpha": 0.5}),
        ("Gather", {"axis": 1}),
        ("Shape", {"start": 1}),
    ],
)
def test_a_graph_with_anything_else_stays_with_onnxruntime(kind: str, attributes: dict[str, Any]) -> None:
    """An operation that is not known, or a known one in another form."""
    made = Tower(np.random.default_rng(0))
    others = {"Gemm": [made.constant(WIDTH, 3)], "Gather": ["ids"]}.get(kind, [])
    made.op(kind, "x", *others, output="y", **attributes)
    with pytest.raises(EncoderSpecError, match=f"{kind} .*not run in numpy"):
        NumpyGraph(read_onnx(made.serialise(3)), ["x", "ids"], "y")


def test_what_overflows_on_the_way_fails_no_run() -> None:
    """The output counts: a vector too long to be normalised becomes zeros without a warning, as in onnxruntime."""
    raw = tower(5, [("normed", WIDTH), ("concat", 2)])
    x = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [1e30, 1.0, 1.0, 1.0, 1.0]], dtype=np.float32)
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    inputs = {"x": x, "ids": np.zeros(2, dtype=np.int64)}
    (expected,) = session.run(["y"], inputs)
    found = NumpyGraph(read_onnx(raw), ["x", "ids"], "y").run(inputs)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_an_output_that_is_not_finite_is_refused(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Whatever made it so: what came in, or a sum that overflows in numpy, which is not asked to warn of it."""
    monkeypatch.setattr(models.numpy_choice, "_rows", lambda *_: 100)
    trignet = TinyEncoders.random(np.random.default_rng(1)).trignet
    encoder = OnnxEncoder.open(trignet.onnx(), trignet.spec)
    inputs = random_inputs(trignet.spec, np.random.default_rng(3), 3, 4)
    assert np.isfinite(encoder.encode(inputs)).all()
    # of the projection's signs, so that all its products grow one sum
    vectors = np.sign(trignet.projection).T * np.full((3, 1), value, dtype=np.float32)
    with pytest.raises(EncoderError, match="NaN or infinity"):
        encoder.encode(inputs | {"trigger_vectors": vectors})


def test_a_graph_that_would_differ_stays_with_onnxruntime(caplog: pytest.LogCaptureFixture) -> None:
    """Parity is checked when an encoder is opened, not believed; why is in the log."""
    direct = TinyEncoders.random(np.random.default_rng(2)).direct
    session = onnxruntime.InferenceSession(direct.onnx(), providers=["CPUExecutionProvider"])

    def unlike(inputs: Any) -> NDArray[Any]:  # noqa: ANN401 - as onnxruntime takes them
        return np.asarray(session.run(None, dict(inputs))[0]) + np.float32(1e-4)

    with caplog.at_level("DEBUG"):
        assert choose(direct.onnx(), direct.spec, unlike) is None
    assert "numpy differs by" in caplog.text


@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read(data: st.DataObject) -> None:
    """Whatever bytes change, reading ends with a graph or with one error, never with another one."""
    raw = bytearray(tower(3, [("gemm", 4), ("concat", 2)]))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    part = bytes(raw[: data.draw(st.integers(1, len(raw)))])
    with suppress(EncoderSpecError):
        NumpyGraph(read_onnx(part), ["x", "ids"], "y")


def test_sizes_may_be_packed() -> None:
    """Both ways in which protobuf writes repeated numbers are read."""
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    raw = numpy_helper.from_array(values, "w").SerializeToString()
    assert raw[:4] == b"\x08\x02\x08\x03"
    graph = bytes([5 << 3 | 2, len(raw)]) + raw
    packed = b"\x0a\x02\x02\x03" + raw[4:]
    again = bytes([5 << 3 | 2, len(packed)]) + packed
    for each in (graph, again):
        read = read_onnx(bytes([7 << 3 | 2, len(each)]) + each)
        np.testing.assert_array_equal(read.constants["w"], values)
