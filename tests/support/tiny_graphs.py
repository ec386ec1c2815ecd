"""Tiny encoders of two-tower and PDN: the same random weights as an ONNX graph and as plain numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.features import FeatureTransform
from models.pdn import COUNT_CODES, POSITION_CODES
from models.spec import EncoderSpec, TensorSpec

FEATURES = (
    FeatureTransform("country", "country", "category", values=("FR", "US")),
    FeatureTransform("hour", "hour", "category", values=tuple(str(hour) for hour in range(24))),
    FeatureTransform("length", "history_length", "bucket", bounds=(2.0, 5.0, 10.0)),
    FeatureTransform("idle", "idle_days", "number", scale="log1p", mean=0.5, deviation=1.25),
    FeatureTransform("tier", "feature", "category", key="tier", values=("gold", "silver")),
    FeatureTransform("spent", "feature", "bucket", key="spent", bounds=(10.0, 100.0)),
)
_ONNX = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
_TRIGGER_TABLES = {"trigger_type": 6, "trigger_count": COUNT_CODES, "trigger_position": POSITION_CODES}

Inputs = Mapping[str, NDArray[Any]]


@dataclass
class TinyEncoder:
    """Random weights behind one spec. tables: by feature, (size, D) or, for a number, (1, D). projection: or None."""

    spec: EncoderSpec
    tables: dict[str, NDArray[np.float32]]
    projection: NDArray[np.float32] | None = None
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    @classmethod
    def random(cls, spec: EncoderSpec, rng: np.random.Generator, width: int, taken: int = 0) -> "TinyEncoder":
        """Draw the weights of `width` outputs; `taken` is the width of the item vectors that go in."""
        sizes = {each.name: 1 if each.kind == "number" else each.size for each in spec.features}
        if spec.encoder == "trignet":
            sizes |= _TRIGGER_TABLES
        tables = {name: _normal(rng, size, width) for name, size in sizes.items()}
        return cls(spec, tables, _normal(rng, taken, width) if taken else None)

    def numpy(self, inputs: Inputs) -> NDArray[np.float32]:
        """Compute the output with numpy, one user after the other."""
        if self.spec.encoder == "trignet":
            return np.array([self._trigger(inputs, place) for place in range(len(inputs["trigger_owner"]))], np.float32)
        count = len(next(iter(inputs.values())))
        return np.stack([self._user(inputs, row) for row in range(count)]).astype(np.float32)

    def _features(self, inputs: Inputs, row: int) -> NDArray[np.float32]:
        total = np.zeros(next(iter(self.tables.values())).shape[1], dtype=np.float32)
        for each in self.spec.features:
            value, table = inputs[each.name][row], self.tables[each.name]
            total = total + (value * table[0] if each.kind == "number" else table[value])
        return total

    def _user(self, inputs: Inputs, row: int) -> NDArray[np.float32]:
        total = self._features(inputs, row)
        if self.spec.encoder == "pdn_user":
            return np.append(total, np.float32(1.0))
        weights = inputs["history_weights"][row]
        mean = (inputs["history_vectors"][row] * weights[:, None]).sum(axis=0) / max(weights.sum(), 1.0)
        return total + (mean + inputs["seed_vector"][row]) @ self.projection

    def _trigger(self, inputs: Inputs, place: int) -> float:
        total = self._features(inputs, int(inputs["trigger_owner"][place]))
        for name in _TRIGGER_TABLES:
            total = total + self.tables[name][inputs[name][place]]
        return float((total + inputs["trigger_vectors"][place] @ self.projection)[0])

    def onnx(self) -> bytes:
        """Serialise the same as a graph."""
        self.nodes = []
        features = self._sum([self._feature(each) for each in self.spec.features])
        match self.spec.encoder:
            case "pdn_user":
                zeros = self._node("ReduceSum", self._node("Mul", features, "zero"), "one_axis", keepdims=1)
                self._node("Concat", features, self._node("Add", zeros, "one"), axis=1, output="user_vector")
            case "trignet":
                owned = self._node("Gather", features, "trigger_owner", axis=0)
                tables = [self._node("Gather", f"table_{name}", name, axis=0) for name in _TRIGGER_TABLES]
                taken = self._node("MatMul", "trigger_vectors", "projection")
                self._node("Squeeze", self._sum([owned, taken, *tables]), "one_axis", output="trigger_weights")
            case _:
                self._query_tower(features)
        return self._model()

    def _query_tower(self, features: str) -> None:
        weighted = self._node("Mul", "history_vectors", self._node("Unsqueeze", "history_weights", "two_axis"))
        total = self._node("ReduceSum", weighted, "one_axis", keepdims=0)
        count = self._node("ReduceSum", "history_weights", "one_axis", keepdims=1)
        mean = self._node("Div", total, self._node("Max", count, "one"))
        taken = self._node("MatMul", self._node("Add", mean, "seed_vector"), "projection")
        self._node("Add", features, taken, output="user_vector")

    def _feature(self, each: FeatureTransform) -> str:
        if each.kind != "number":
            return self._node("Gather", f"table_{each.name}", each.name, axis=0)
        return self._node("Mul", self._node("Unsqueeze", each.name, "one_axis"), f"table_{each.name}")

    def _sum(self, names: Sequence[str]) -> str:
        return self._node("Sum", *names)

    def _node(self, kind: str, *inputs: str, output: str = "", **attributes: int) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def _model(self) -> bytes:
        constants = {f"table_{name}": table for name, table in self.tables.items()}
        constants |= {"one": np.float32([1.0]), "zero": np.float32([0.0])}
        constants |= {"one_axis": np.int64([1]), "two_axis": np.int64([2])}
        if self.projection is not None:
            constants["projection"] = self.projection
        used = {name for node in self.nodes for name in node.input}
        graph = helper.make_graph(
            self.nodes,
            self.spec.encoder,
            [_value(tensor) for tensor in self.spec.inputs],
            [_value(self.spec.output)],
            [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.spec.opset)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.normal(scale=0.5, size=shape).astype(np.float32)


def _value(tensor: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _ONNX[tensor.dtype], list(tensor.shape))
