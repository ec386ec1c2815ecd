"""What is wrong with a request, field by field, collected until the answer would get long.

Knows neither grpc nor protobuf messages: `server.wire`, `server.decode` and `server.fields` fill it, `server.errors`
translates it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_VIOLATIONS = 20
_SHOWN_CHARACTERS = 40
_SHOWN_NAMES = 10


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault: the path of a field as in `history[3].item_id`, and what was expected and found there."""

    field: str
    description: str


class InvalidRequestError(Exception):
    """The caller's fault: raised after decoding, before any work, with every violation found (at most 20)."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.description}" for fault in violations[:3]))
        self.violations = tuple(violations)


@dataclass(slots=True)
class Violations:
    """Collects violations; further ones are dropped once `MAX_VIOLATIONS` are known."""

    found: list[Violation] = field(default_factory=list)

    def add(self, path: str, description: str) -> None:
        """Note a fault at `path`."""
        if len(self.found) < MAX_VIOLATIONS:
            self.found.append(Violation(path, description))

    @property
    def full(self) -> bool:
        """Whether looking for more is pointless."""
        return len(self.found) >= MAX_VIOLATIONS

    def raise_if_any(self) -> None:
        """Raise `InvalidRequestError` with what was found, or do nothing."""
        if self.found:
            raise InvalidRequestError(self.found)


def quoted(text: str) -> str:
    """Show a caller's text in an error: quoted, without control characters, never long."""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return repr(shown).replace("'", '"')


def listed(names: Sequence[str]) -> str:
    """List names in an error, the first ten of them."""
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
