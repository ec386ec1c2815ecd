"""What is wrong with a request, field by field, collected until the answer would get long.

Knows neither grpc nor protobuf messages: `server.wire` and `server.convert` fill it, `server.errors` translates it.
"""

from dataclasses import dataclass, field

MAX_VIOLATIONS = 20


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
