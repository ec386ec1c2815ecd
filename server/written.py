"""The few forms in which protobuf writes a field; zeros and empty texts are not written, as proto3 wants it.

For what every reply has: the generated classes cost more to fill than to serialise.
"""

from functools import lru_cache

_MORE = 0x80
_ONE_BYTE, _TWO_BYTES = 1 << 7, 1 << 14


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    if value < _ONE_BYTE:
        return bytes((value,))
    if value < _TWO_BYTES:
        return bytes((value & 0x7F | _MORE, value >> 7))
    return bytes((value & 0x7F | _MORE,)) + varint(value >> 7)


@lru_cache(maxsize=1 << 14)
def number(tag: int, value: int) -> bytes:
    """Write an unsigned number or an enum's; tags of one byte."""
    return bytes((tag,)) + varint(value) if value else b""


@lru_cache(maxsize=1024)
def text(tag: int, value: str) -> bytes:
    """Write a text of ours, not of a caller: bundles, countries, profiles and sources have few names."""
    return message(tag, value.encode()) if value else b""


def message(tag: int, content: bytes) -> bytes:
    """Write a message, or a text's bytes, empty or not."""
    return bytes((tag,)) + varint(len(content)) + content
