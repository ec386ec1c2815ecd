"""Runs the graph of a small encoder in numpy: for one user, onnxruntime costs more than the encoder's arithmetic.

A graph becomes a list of steps, each a closure that reads and writes a list of values. It knows the operations that
towers are made of (a mean, embeddings, layers, ReLU); a graph with any other is not for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import EncoderSpecError
from models.onnx_file import Node, OnnxFile

Values = list[Any]
Step = Callable[[Values], None]
Operation = Callable[..., NDArray[Any]]


class NumpyGraph:
    """One graph, ready to run. Not for several threads at a time."""

    def __init__(self, file: OnnxFile, inputs: Sequence[str], output: str) -> None:
        """Prepare every step; `EncoderSpecError` names what numpy is not to run."""
        self._slots = {name: slot for slot, name in enumerate([*inputs, *file.constants])}
        self._inputs = tuple(inputs)
        self._constants = file.constants
        self._rest: Values = list(file.constants.values())
        self._steps = [self._step(node) for node in file.nodes]
        self._rest += [None] * (len(self._slots) - len(inputs) - len(file.constants))
        if output not in self._slots:
            message = f"no node gives {output}"
            raise EncoderSpecError(message)
        self._output = self._slots[output]

    # as in onnxruntime, it is the output that has to be finite, and its reader looks. The processor's flags say less:
    # OpenBLAS lets what lies on the stack raise them (five columns, AVX-512), and numpy warns.
    # `with` costs twice a decorator's 0.5 µs
    @np.errstate(all="ignore")
    def run(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Compute the output; raises what numpy raises where shapes or ids do not fit, and for no value."""
        values: Values = [inputs[name] for name in self._inputs]
        values += self._rest
        for step in self._steps:
            step(values)
        return values[self._output]  # type: ignore[no-any-return]

    def _step(self, node: Node) -> Step:
        make = _OPERATIONS.get(node.op)
        if make is None or len(node.outputs) != 1 or not all(name in self._slots for name in node.inputs):
            message = f"{node.op} of {len(node.inputs)} inputs is not run in numpy"
            raise EncoderSpecError(message)
        try:
            taken, operation = make(node, self._constants)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            message = f"{node.op} with unfitting constants is not run in numpy: {error}"
            raise EncoderSpecError(message) from error
        slot = self._slots.setdefault(node.outputs[0], len(self._slots))
        return _stepping(operation, [self._slots[name] for name in taken], slot)


def _stepping(operation: Operation, slots: Sequence[int], output: int) -> Step:
    match slots:
        case [only]:

            def step(values: Values) -> None:
                values[output] = operation(values[only])
        case [first, second]:

            def step(values: Values) -> None:
                values[output] = operation(values[first], values[second])
        case _:

            def step(values: Values) -> None:
                values[output] = operation(*[values[slot] for slot in slots])

    return step


Constants = Mapping[str, NDArray[Any]]
Made = tuple[Sequence[str], Operation]
"""The inputs that vary from call to call, or may as well, and what to do with them."""


def _plain(operation: Operation, arguments: int) -> Callable[[Node, Constants], Made]:
    def make(node: Node, _: Constants) -> Made:
        _expect(node, len(node.inputs) == arguments)
        return node.inputs, operation

    return make


def _expect(node: Node, known: bool, **attributes: float) -> None:  # noqa: FBT001 - what is expected, said in place
    """Refuse a form of an operation that is not run here: other attributes than these, or a fact that is not so."""
    if not known or any(node.attributes.get(name, value) != value for name, value in attributes.items()):
        message = f"{node.op} with {dict(node.attributes)} is not run in numpy"
        raise EncoderSpecError(message)


def _fixed(node: Node, place: int, constants: Constants) -> NDArray[Any]:
    """An input that has to be a constant."""
    _expect(node, place < len(node.inputs) and node.inputs[place] in constants)
    return constants[node.inputs[place]]


def _gemm(node: Node, constants: Constants) -> Made:
    _expect(node, len(node.inputs) in {2, 3}, alpha=1.0, beta=1.0, transA=0)
    weights = _fixed(node, 1, constants)
    weights = weights.T if node.attributes.get("transB") else weights
    if len(node.inputs) == 2:  # noqa: PLR2004 - without a bias
        return node.inputs[:1], lambda value: value @ weights
    bias = _fixed(node, 2, constants)

    def layer(value: NDArray[Any]) -> NDArray[Any]:
        product: NDArray[Any] = value @ weights
        product += bias
        return product

    return node.inputs[:1], layer


def _relu(node: Node, _: Constants) -> Made:
    zero = np.float32(0.0)
    return node.inputs, lambda value: np.maximum(value, zero)


def _leaky_relu(node: Node, _: Constants) -> Made:
    slope = node.attributes.get("alpha", 0.01) or 0.0
    _expect(node, 0.0 <= slope <= 1.0)
    alpha = np.float32(slope)
    return node.inputs, lambda value: np.maximum(value, value * alpha)


def _concat(node: Node, _: Constants) -> Made:
    axis = int(node.attributes.get("axis") or 0)
    return node.inputs, lambda *values: np.concatenate(values, axis=axis)


def _gather(node: Node, _: Constants) -> Made:
    _expect(node, len(node.inputs) == 2, axis=0)  # noqa: PLR2004 - a table and places
    return node.inputs, lambda table, places: table.take(places, axis=0)


def _reduce_sum(node: Node, constants: Constants) -> Made:
    axes = tuple(_fixed(node, 1, constants).tolist())
    _expect(node, len(axes) == 1)
    (axis,), keep = axes, bool(node.attributes.get("keepdims", 1))
    if keep:
        return node.inputs[:1], lambda value: np.add.reduce(value, axis=axis, keepdims=True)
    return node.inputs[:1], lambda value: np.add.reduce(value, axis=axis)


def _sum(node: Node, _: Constants) -> Made:
    def add_up(first: NDArray[Any], *others: NDArray[Any]) -> NDArray[Any]:
        for other in others:
            first = first + other
        return first

    return node.inputs, add_up


def _unsqueeze(node: Node, constants: Constants) -> Made:
    axes = _fixed(node, 1, constants).tolist()
    _expect(node, len(axes) == 1 and axes[0] >= -1)
    place = (..., None) if axes[0] < 0 else (*[slice(None)] * axes[0], None)
    return node.inputs[:1], lambda value: value[place]


def _squeeze(node: Node, constants: Constants) -> Made:
    axes = tuple(_fixed(node, 1, constants).reshape(-1).tolist())
    return node.inputs[:1], lambda value: value.squeeze(axes)


def _clip(node: Node, constants: Constants) -> Made:
    _expect(node, len(node.inputs) == 2)  # noqa: PLR2004 - a value and the least it may be
    least = _fixed(node, 1, constants)
    return node.inputs[:1], lambda value: np.maximum(value, least)


def _shape(node: Node, _: Constants) -> Made:
    _expect(node, "end" not in node.attributes, start=0)
    return node.inputs, lambda value: value.shape


def _expand(node: Node, constants: Constants) -> Made:
    value = _fixed(node, 0, constants)
    _expect(node, value.size == 1)
    only = value.reshape(-1)[0]
    return node.inputs[1:], lambda shape: np.full(shape, only)


def _slice(node: Node, constants: Constants) -> Made:
    _expect(node, len(node.inputs) in {4, 5})
    begin, end, axis, *step = (_fixed(node, place, constants).tolist() for place in range(1, len(node.inputs)))
    _expect(node, len(axis) == 1 and axis[0] >= 0 and step in ([], [[1]]))
    place = (*[slice(None)] * axis[0], slice(begin[0], end[0]))
    return node.inputs[:1], lambda value: value[place]


def _reshape(node: Node, constants: Constants) -> Made:
    shape = _fixed(node, 1, constants).tolist()
    # 0 stands for a size of the value
    _expect(node, 0 not in shape)
    return node.inputs[:1], lambda value: value.reshape(shape)


_OPERATIONS: Mapping[str, Callable[[Node, Constants], Made]] = {
    "Add": _plain(np.add, 2),
    "Clip": _clip,
    "Concat": _concat,
    "Div": _plain(np.divide, 2),
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "LeakyRelu": _leaky_relu,
    "MatMul": _plain(np.matmul, 2),
    "Max": _plain(np.maximum, 2),
    "Mul": _plain(np.multiply, 2),
    "ReduceSum": _reduce_sum,
    "Relu": _relu,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sum": _sum,
    "Unsqueeze": _unsqueeze,
}
