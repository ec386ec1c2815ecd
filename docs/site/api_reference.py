"""The API reference: the proto's messages and methods as a page, with its own comments as the words."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc

_METHOD, _MESSAGE, _ENUM = 6, 4, 5  # field numbers of FileDescriptorProto, of which source locations consist
_VALUE, _FIELD, _RPC = 2, 2, 2
_TYPES = {number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()}


def api_reference(root: Path, proto: str) -> str:
    """Render `proto`, a path below `root`, as Markdown."""
    file = _parsed(root, proto)
    comments = {tuple(place.path): place.leading_comments.strip() for place in file.source_code_info.location}
    lines = [
        "# API",
        "",
        f"Made from `{proto}`, package `{file.package}`: the file itself is the contract.",
        "Beside it the server has `grpc.health.v1` and reflection; errors name fields in `google.rpc.BadRequest`.",
        "",
    ]
    for number, service in enumerate(file.service):
        lines += [f"## Service {service.name}", "", comments.get((_METHOD, number), ""), ""]
        for place, method in enumerate(service.method):
            call = f"{_short(method.input_type)} → {_short(method.output_type)}"
            lines += [f"### {method.name}", "", call, "", comments.get((_METHOD, number, _RPC, place), ""), ""]
    lines += ["## Messages", ""]
    for number, message in enumerate(file.message_type):
        lines += _message(message, (_MESSAGE, number), comments)
    lines += ["## Enums", ""]
    for number, enum in enumerate(file.enum_type):
        lines += _enum(enum, (_ENUM, number), comments)
    return "\n".join(lines)


def _parsed(root: Path, proto: str) -> FileDescriptorProto:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        arguments = ["protoc", f"-I{root}", "--include_source_info", f"--descriptor_set_out={out}", str(root / proto)]
        if protoc.main(arguments):
            message = f"{proto} cannot be parsed"
            raise RuntimeError(message)
        return FileDescriptorSet.FromString(out.read_bytes()).file[0]


def _message(message: DescriptorProto, path: tuple[int, ...], comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    yield from (f"### {message.name}", "", comments.get(path, ""), "")
    if not message.field:
        yield from ("No fields.", "")
        return
    yield from ("| field | number | type | |", "|---|---:|---|---|")
    maps = {each.name: each for each in message.nested_type if each.options.map_entry}
    for place, field in enumerate(message.field):
        words = _cell(comments.get((*path, _FIELD, place), ""))
        yield f"| `{field.name}` | {field.number} | {_type(field, maps)} | {words} |"
    yield ""


def _type(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = entry.field
        return f"map of {_type(key, maps)} to {_type(value, maps)}"
    name = _short(field.type_name) if field.type_name else _TYPES[field.type]
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    in_oneof = field.HasField("oneof_index")
    if field.proto3_optional:
        return f"optional {name}"
    return f"one of: {name}" if in_oneof else name


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    yield from (f"### {enum.name}", "", comments.get(path, ""), "", "| value | number | |", "|---|---:|---|")
    for place, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {_cell(comments.get((*path, _VALUE, place), ''))} |"
    yield ""


def _short(name: str) -> str:
    """A message's or enum's name as a link to its heading."""
    last = name.rpartition(".")[2]
    return f"[{last}](#{last.lower()})"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
