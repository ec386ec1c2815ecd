"""Encoders of published shapes with random weights, as ONNX, for benches: what they cost does not depend on weights.

The query tower is [512, 128] ReLU and a linear layer (Yang et al. 2020, section 4.2), TrigNet one ReLU layer over the
item's stored share and the user's features.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from index_store.content import EncoderContent
from loadtest.synthetic import DIM, DIRECT_DIM, ITEM_DIM
from models.encoder import OnnxEncoder
from models.features import FeatureTransform
from models.spec import EncoderSpec, led_spec, pdn_user_spec, trignet_spec, two_tower_spec

_OPSET = 17
_MAX_HISTORY = 100
_FEATURES = (
    FeatureTransform("length", "history_length", "number", scale="log1p"),
    FeatureTransform("age", "feature", "number", key="age", mean=40.0, deviation=15.0),
)
_DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
# the learnt layers' part of a lifted output
_LEARNT = 0.05
_BEHAVIOUR = ("trigger_type", "trigger_count", "trigger_position")


def synthetic_encoders() -> Mapping[str, OnnxEncoder]:
    """Open one encoder of each name, for the country of `loadtest.synthetic`."""
    exported = encoder_contents(DIM, DIM + 1, ITEM_DIM, DIRECT_DIM)
    return {name: OnnxEncoder.open(each.graph, each.spec) for name, each in exported.items()}


def encoder_contents(
    led_dim: int, tower_dim: int, item_dim: int, direct_dim: int, lift: NDArray[np.float32] | None = None
) -> Mapping[str, EncoderContent]:
    """Export one encoder of each name.

    led_dim: of LED's vectors without the bias. tower_dim: of the query tower's output, item_dim: of what it and TrigNet
    take of an item. lift: (item_dim, tower_dim) float32, added to the query tower as a straight way from the history's
    mean to the output, so that users lie near the items they saw, as trained ones do.
    """
    specs = [
        led_spec(led_dim, _MAX_HISTORY, _OPSET),
        two_tower_spec(item_dim, tower_dim, _FEATURES, _MAX_HISTORY, _OPSET),
        trignet_spec(item_dim, _FEATURES, _MAX_HISTORY, _OPSET),
        pdn_user_spec(direct_dim, _FEATURES, _MAX_HISTORY, _OPSET),
    ]
    graphs = [_Graph(spec) for spec in specs]
    _led(graphs[0])
    _two_tower(graphs[1], item_dim, tower_dim, lift)
    _trignet(graphs[2], item_dim)
    _pdn_user(graphs[3], direct_dim)
    return {graph.spec.encoder: EncoderContent(graph.serialise(), graph.spec) for graph in graphs}


class _Graph:
    """Nodes and weights in the making; values are known by name."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec
        self._rng = np.random.default_rng(7)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401
        name = output or f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        name = f"weight{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def layer(self, value: str, taken: int, given: int, *, output: str = "", relu: bool = False) -> str:
        weights = self._rng.normal(size=(taken, given)) / np.sqrt(taken)
        product = self.op("MatMul", value, self.constant(weights.astype(np.float32)), output="" if relu else output)
        return self.op("Relu", product) if relu else product

    def mean(self) -> tuple[str, str]:
        """The history's weighted mean, and how much it weighs (B, 1)."""
        last, middle = (self.constant(np.array([axis], dtype=np.int64)) for axis in (2, 1))
        weighted = self.op("Mul", "history_vectors", self.op("Unsqueeze", "history_weights", last))
        count = self.op("ReduceSum", "history_weights", middle, keepdims=1)
        least = self.op("Max", count, self.constant(np.array([1.0], dtype=np.float32)))
        return self.op("Div", self.op("ReduceSum", weighted, middle, keepdims=0), least), count

    def features(self) -> str:
        """The user's numbers (B, F)."""
        last = self.constant(np.array([1], dtype=np.int64))
        columns = [self.op("Unsqueeze", each.name, last) for each in self.spec.features]
        return self.op("Concat", *columns, axis=1)

    def ones(self, column: str) -> str:
        zero, one = (self.constant(np.array([value], dtype=np.float32)) for value in (0.0, 1.0))
        return self.op("Add", self.op("Mul", column, zero), one)

    def serialise(self) -> bytes:
        inputs = [
            helper.make_tensor_value_info(each.name, _DTYPES[each.dtype], list(each.shape)) for each in self.spec.inputs
        ]
        given = self.spec.output
        output = helper.make_tensor_value_info(given.name, _DTYPES[given.dtype], list(given.shape))
        graph = helper.make_graph(self._nodes, self.spec.encoder, inputs, [output], self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
        return bytes(model.SerializeToString())


def _led(graph: _Graph) -> None:
    mean, count = graph.mean()
    graph.op("Concat", mean, graph.ones(count), axis=1, output="user_vector")


def _two_tower(graph: _Graph, item_dim: int, dim: int, lift: NDArray[np.float32] | None) -> None:
    mean = graph.mean()[0]
    taken = graph.op("Concat", mean, "seed_vector", graph.features(), axis=1)
    hidden = graph.layer(taken, 2 * item_dim + len(_FEATURES), 512, relu=True)
    hidden = graph.layer(hidden, 512, 128, relu=True)
    if lift is None:
        graph.layer(hidden, 128, dim, output="user_vector")
        return
    learnt = graph.op("Mul", graph.layer(hidden, 128, dim), graph.constant(np.array([_LEARNT], dtype=np.float32)))
    graph.op("Add", graph.op("MatMul", mean, graph.constant(lift)), learnt, output="user_vector")


def _trignet(graph: _Graph, item_dim: int) -> None:
    users = graph.op("Gather", graph.layer(graph.features(), len(_FEATURES), item_dim), "trigger_owner", axis=0)
    total = graph.op("Add", "trigger_vectors", users)
    for name in _BEHAVIOUR:
        table = graph.constant(np.zeros((12, item_dim), dtype=np.float32))
        total = graph.op("Add", total, graph.op("Gather", table, name, axis=0))
    column = graph.layer(graph.op("Relu", total), item_dim, 1)
    graph.op("Squeeze", column, graph.constant(np.array([1], dtype=np.int64)), output="trigger_weights")


def _pdn_user(graph: _Graph, dim: int) -> None:
    features = graph.features()
    direct = graph.layer(features, len(_FEATURES), dim - 1)
    middle = graph.constant(np.array([1], dtype=np.int64))
    one = graph.ones(graph.op("ReduceSum", features, middle, keepdims=1))
    graph.op("Concat", direct, one, axis=1, output="user_vector")
