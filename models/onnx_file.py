"""Reads what an ONNX file of a small graph says: its nodes, and its constants as arrays.

The package `onnx` is large, and what serves needs a dozen fields of five messages. Field numbers are those of
onnx.proto. Whatever is not read here makes a graph that `models.numpy_graph` does not know, never a wrong one.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.errors import EncoderSpecError

Fields = Mapping[int, Sequence[Any]]

_GRAPH = 7
_NODE, _INITIALISER = 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_F, _ATTRIBUTE_I, _ATTRIBUTE_TYPE = 1, 2, 3, 20
_FLOAT, _INT = 1, 2
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_DTYPES = {1: "<f4", 7: "<i8"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGN = 1 << 63


class Node(msgspec.Struct, frozen=True):
    """One operation. attributes: those that are one number; one of another type is None."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, float | int | None]


class OnnxFile(msgspec.Struct, frozen=True):
    """Nodes in the order in which they run, and constants by name."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]


def read_onnx(raw: bytes) -> OnnxFile:
    """Read a serialised ModelProto; `EncoderSpecError` where it is none, or has a constant of a kind not read here."""
    try:
        graph = _fields(_fields(raw)[_GRAPH][0])
        nodes = tuple(_node(_fields(each)) for each in graph.get(_NODE, ()))
        constants = dict(_tensor(_fields(each)) for each in graph.get(_INITIALISER, ()))
    except (ArithmeticError, LookupError, TypeError, ValueError, struct.error) as error:
        message = f"not an ONNX file that can be read here: {type(error).__name__}: {error}"
        raise EncoderSpecError(message) from error
    return OnnxFile(nodes, constants)


def _node(fields: Fields) -> Node:
    domain = _text(fields, _NODE_DOMAIN)
    return Node(
        f"{domain}.{_text(fields, _NODE_OP)}" if domain else _text(fields, _NODE_OP),
        tuple(bytes(each).decode() for each in fields.get(_NODE_INPUT, ())),
        tuple(bytes(each).decode() for each in fields.get(_NODE_OUTPUT, ())),
        dict(_attribute(_fields(each)) for each in fields.get(_NODE_ATTRIBUTE, ())),
    )


def _attribute(fields: Fields) -> tuple[str, float | int | None]:
    name = _text(fields, _ATTRIBUTE_NAME)
    match fields[_ATTRIBUTE_TYPE][-1]:
        case 1:
            return name, float(struct.unpack("<f", fields[_ATTRIBUTE_F][-1])[0]) if _ATTRIBUTE_F in fields else 0.0
        case 2:
            return name, _signed(fields[_ATTRIBUTE_I][-1]) if _ATTRIBUTE_I in fields else 0
        case _:
            return name, None


def _tensor(fields: Fields) -> tuple[str, NDArray[Any]]:
    shape = [size for value in fields.get(_TENSOR_DIMS, ()) for size in _sizes(value)]
    # a constant whose values are elsewhere, in another field or file, has none here and does not fit its shape
    values = np.frombuffer(fields.get(_TENSOR_RAW, (b"",))[-1], dtype=_DTYPES[fields[_TENSOR_TYPE][-1]])
    # a copy: in the file it need not lie where arithmetic is fast
    return _text(fields, _TENSOR_NAME), values.reshape(shape).copy()


def _sizes(value: int | memoryview) -> Sequence[int]:
    """A repeated field is a value at a time, or packed."""
    if isinstance(value, int):
        return (_signed(value),)
    sizes, at = [], 0
    while at < len(value):
        size, at = _varint(value, at)
        sizes.append(_signed(size))
    return sizes


def _text(fields: Fields, number: int) -> str:
    return bytes(fields.get(number, (b"",))[-1]).decode()


def _signed(value: int) -> int:
    return value - 2 * _SIGN if value >= _SIGN else value


def _fields(raw: bytes | memoryview) -> dict[int, list[Any]]:
    """All fields of a message by number: varints as int, others as their bytes."""
    found: dict[int, list[Any]] = {}
    for number, value in _walk(memoryview(raw)):
        found.setdefault(number, []).append(value)
    return found


def _walk(raw: memoryview) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(raw, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(raw, at)
        elif kind in {_FIXED32, _FIXED64}:
            size = 4 if kind == _FIXED32 else 8
        else:
            message = f"wire type {kind} at byte {at}"
            raise ValueError(message)
        if at + size > len(raw):
            message = f"a field of {size} bytes at byte {at} of {len(raw)}"
            raise ValueError(message)
        yield key >> 3, raw[at : at + size]
        at += size


def _varint(raw: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004 - the bit that says that more follow
            return value, at
        shift += 7
