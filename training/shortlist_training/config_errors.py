"""What msgspec's message of a wrong word leaves out: the words that there are."""

import re
from typing import Any

from msgspec import inspect

_WRONG_WORD = re.compile(r"^Invalid enum value .* at `\$\.(?P<path>.*)`$")
_STEP = re.compile(r"[^.\[\]]+|\[")


def with_words(message: str, kind: type) -> str:
    """Add to a decoding error of `kind` which words are allowed where it found another; other messages stay."""
    found = _WRONG_WORD.match(message)
    if found is None:
        return message
    nodes = [inspect.type_info(kind)]
    for step in _STEP.findall(re.sub(r"\[[^\]]*\]", "[", found["path"])):
        nodes = [below for node in nodes for below in _below(node, step)]
    words = [word for node in nodes if isinstance(node, inspect.LiteralType) for word in node.values]
    return f"{message}; expected {', '.join(map(repr, words))}" if words else message


def _below(node: Any, step: str) -> list[Any]:  # noqa: ANN401 - any of msgspec's types of types
    """The types that lie at a field, or in the items where `step` is "[", of one of a type's alternatives."""
    if isinstance(node, inspect.StructType):
        return [each for field in node.fields if field.encode_name == step for each in _alternatives(field.type)]
    if step == "[" and isinstance(node, inspect.DictType):
        return _alternatives(node.value_type)
    if step == "[" and isinstance(node, inspect.CollectionType):
        return _alternatives(node.item_type)
    if step == "[" and isinstance(node, inspect.VarTupleType):
        return _alternatives(node.item_type)
    return []


def _alternatives(node: Any) -> list[Any]:  # noqa: ANN401 - as above
    return list(node.types) if isinstance(node, inspect.UnionType) else [node]
