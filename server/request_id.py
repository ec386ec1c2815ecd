"""The name of a call in the log: the caller's `x-request-id`, or one of ours where it is needed and there is none."""

import secrets
from collections.abc import Sequence
from typing import TypeAlias

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]] | None
"""Keys in lower case, in the order they were sent; a key may be there more than once."""

REQUEST_ID_KEY = "x-request-id"
_LONGEST = 128


def request_id_of(metadata: Metadata) -> str:
    """Give the caller's id, cut to 128 characters, or a new one of 16 hexadecimal digits."""
    return value_of(metadata, REQUEST_ID_KEY)[:_LONGEST] or secrets.token_hex(8)


def value_of(metadata: Metadata, key: str) -> str:
    """Give the first value of `key`; empty if there is none."""
    for name, value in metadata or ():
        if name == key:
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return ""
