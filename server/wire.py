"""Finds the field that is wrong in bytes that are not the message they should be.

Walks the protobuf wire format by hand. It runs only when the parser refused the bytes, or when what it parsed is
shorter than what came: protobuf takes a known field number with the wrong wire type for an unknown field and drops it
without a word. Fields with unknown numbers are accepted, so that newer callers can talk to older servers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from server.violations import Violation, Violations

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
_WIRE_NAMES = {
    VARINT: "varint",
    FIXED64: "64-bit",
    LENGTH: "length-delimited",
    GROUP_START: "group",
    GROUP_END: "end of a group",
    FIXED32: "32-bit",
}
_WIRE_TYPES: Mapping[int, int] = {
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
    FieldDescriptor.TYPE_FIXED64: FIXED64,
    FieldDescriptor.TYPE_SFIXED64: FIXED64,
    FieldDescriptor.TYPE_FLOAT: FIXED32,
    FieldDescriptor.TYPE_FIXED32: FIXED32,
    FieldDescriptor.TYPE_SFIXED32: FIXED32,
    FieldDescriptor.TYPE_STRING: LENGTH,
    FieldDescriptor.TYPE_BYTES: LENGTH,
    FieldDescriptor.TYPE_MESSAGE: LENGTH,
}
_FIXED_BYTES: Mapping[int, int] = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT_BYTES = 10
_MORE = 0x80
_MAX_UINT32 = 2**32 - 1
_MAX_INT32 = 2**31 - 1
_MIN_NEGATIVE_INT32 = 2**64 - 2**31  # a negative number of 32 bits is sent as one of 64


@dataclass(frozen=True, slots=True)
class _Field:
    """What the schema says of one field number."""

    name: str
    wire_type: int
    repeated: bool
    text: bool
    uint32: bool
    enum: EnumDescriptor | None
    oneof: str | None
    message: Descriptor | None


class _BrokenError(Exception):
    """The bytes cannot be followed any further; the message says why."""


def find_faults(raw: bytes, descriptor: Descriptor, max_fields: int) -> list[Violation]:
    """List what is wrong with `raw` as a message of `descriptor`; empty if nothing is, whatever its encoding.

    Gives up after `max_fields` fields, which is a fault too: the walk takes about a microsecond per field, and a
    request full of two-byte fields must not hold up the others.
    """
    walk = _Walk(raw, max_fields)
    walk.message(descriptor, 0, len(raw), "")
    return walk.violations.found


class _Walk:
    """One pass over one request's bytes."""

    def __init__(self, raw: bytes, max_fields: int) -> None:
        self._raw = raw
        self._fields_left = max_fields
        self._max_fields = max_fields
        self.violations = Violations()

    def message(self, descriptor: Descriptor, start: int, end: int, prefix: str) -> None:
        """Check the message in `raw[start:end]`; `prefix` is its path with a trailing dot, or empty."""
        known = _schema(descriptor)
        counts: dict[int, int] = {}
        chosen: dict[str, str] = {}
        position = start
        while position < end and not self.violations.full:
            path = prefix.removesuffix(".") or descriptor.name
            try:
                number, wire_type, position = self._tag(position, end)
                field = known.get(number)
                if field is not None:
                    path = _path(prefix, field, counts, number)
                    self._check_oneof(field, path, chosen)
                position = self._value(field, wire_type, position, end, path)
            except _BrokenError as broken:
                self.violations.add(path, str(broken))
                return

    def _tag(self, position: int, end: int) -> tuple[int, int, int]:
        self._fields_left -= 1
        if self._fields_left < 0:
            message = f"expected at most {self._max_fields} fields in the request, found more"
            raise _BrokenError(message)
        tag, position = self._varint(position, end)
        number, wire_type = tag >> 3, tag & 7
        if number == 0 or tag > _MAX_UINT32:
            message = f"expected a field number from 1 to 536870911, found {number}"
            raise _BrokenError(message)
        if wire_type not in _WIRE_NAMES:
            message = f"expected a wire type from 0 to 5, found {wire_type} for field number {number}"
            raise _BrokenError(message)
        return number, wire_type, position

    def _value(self, field: _Field | None, wire_type: int, position: int, end: int, path: str) -> int:
        """Check one value and return the position after it."""
        if field is not None and wire_type == LENGTH and field.repeated and field.wire_type in _FIXED_BYTES:
            return self._packed(field, position, end, path)
        if field is not None and wire_type != field.wire_type:
            expected, found = _WIRE_NAMES[field.wire_type], _WIRE_NAMES[wire_type]
            self.violations.add(path, f"expected wire type {expected}, found {found}")
            field = None
        if wire_type == VARINT:
            value, position = self._varint(position, end)
            if field is not None:
                self._number(field, value, path)
            return position
        if wire_type in (FIXED64, FIXED32):
            return self._advance(position, _FIXED_BYTES[wire_type], end)
        if wire_type == LENGTH:
            length, position = self._varint(position, end)
            after = self._advance(position, length, end)
            if field is not None:
                self._content(field, position, after, path)
            return after
        if wire_type == GROUP_START:
            return self._skip_group(position, end)
        message = "found the end of a group that was not started"
        raise _BrokenError(message)

    def _packed(self, field: _Field, position: int, end: int, path: str) -> int:
        """Check numbers that lie end to end; a reader must also take them one by one."""
        length, position = self._varint(position, end)
        size = _FIXED_BYTES[field.wire_type]
        if length % size:
            self.violations.add(path, f"expected numbers of {size} bytes, found {length} bytes")
        return self._advance(position, length, end)

    def _number(self, field: _Field, value: int, path: str) -> None:
        """Refuse what protobuf would cut to 32 bits and take for another value."""
        if field.uint32 and value > _MAX_UINT32:
            self.violations.add(path, f"expected an unsigned 32-bit number, found {value}")
        if field.enum is not None and _MAX_INT32 < value < _MIN_NEGATIVE_INT32:
            last = max(field.enum.values_by_number)
            self.violations.add(path, f"expected a value of {field.enum.name}, 0 to {last}, found {value}")

    def _content(self, field: _Field, start: int, end: int, path: str) -> None:
        if field.message is not None:
            self.message(field.message, start, end, f"{path}.")
        elif field.text:
            try:
                self._raw[start:end].decode("utf-8")
            except UnicodeDecodeError as error:
                self.violations.add(path, f"expected UTF-8, found {error.reason} at byte {error.start}")

    def _check_oneof(self, field: _Field, path: str, chosen: dict[str, str]) -> None:
        """Refuse two members of a oneof: protobuf would let the last one win, and no correct sender writes both."""
        if field.oneof is None:
            return
        first = chosen.setdefault(field.oneof, field.name)
        if first != field.name:
            self.violations.add(path, f"expected one of {first} and {field.name}, found both")

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for index in range(_MAX_VARINT_BYTES):
            if position >= end:
                message = "expected the rest of a varint, found the end of the message"
                raise _BrokenError(message)
            byte = self._raw[position]
            position += 1
            value |= (byte & ~_MORE) << (7 * index)
            if not byte & _MORE:
                return value, position
        message = f"expected a varint of at most {_MAX_VARINT_BYTES} bytes, found a longer one"
        raise _BrokenError(message)

    def _advance(self, position: int, length: int, end: int) -> int:
        if length > end - position:
            message = f"expected {length} bytes, found {end - position} before the end of the message"
            raise _BrokenError(message)
        return position + length

    def _skip_group(self, position: int, end: int) -> int:
        depth = 1
        while depth:
            _, wire_type, position = self._tag(position, end)
            if wire_type == GROUP_START:
                depth += 1
            elif wire_type == GROUP_END:
                depth -= 1
            else:
                position = self._value(None, wire_type, position, end, "")
        return position


def _path(prefix: str, field: _Field, counts: dict[int, int], number: int) -> str:
    if not field.repeated:
        return f"{prefix}{field.name}"
    index = counts.get(number, 0)
    counts[number] = index + 1
    return f"{prefix}{field.name}[{index}]"


@cache
def _schema(descriptor: Descriptor) -> Mapping[int, _Field]:
    return {field.number: _field(field) for field in descriptor.fields}


def _field(field: FieldDescriptor) -> _Field:
    oneof = field.containing_oneof
    return _Field(
        name=field.name,
        wire_type=_WIRE_TYPES.get(field.type, VARINT),
        repeated=field.label == FieldDescriptor.LABEL_REPEATED,
        text=field.type == FieldDescriptor.TYPE_STRING,
        uint32=field.type == FieldDescriptor.TYPE_UINT32,
        enum=field.enum_type,
        oneof=oneof.name if oneof is not None else None,
        message=field.message_type,
    )
