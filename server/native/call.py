"""One call that waits, and how it ends: the only place that speaks pygrpc-native's call ids and status numbers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import grpc
import msgspec

from server.errors import Refusal
from server.request_id import Metadata

if TYPE_CHECKING:
    from pygrpc_native._native import CallDetails  # only its stubs have it

_NEVER_NS = 2**63


class Front(Protocol):
    """The part of `pygrpc_native.NativeGrpcFront` that ends calls. Both give False if the caller has gone."""

    def respond(self, call_id: int, payload: bytes) -> bool:
        """Send the reply."""

    def fail(
        self, call_id: int, code: int, message: str, trailing_metadata: Sequence[tuple[str, str | bytes]] | None = None
    ) -> bool:
        """Send a status that is not OK."""


class Call(msgspec.Struct, frozen=True):
    """A `server.desk.Call` that came by `front`."""

    front: Front
    call_id: int
    raw: bytes
    deadline_ns: int
    taken_ns: int = 0
    metadata: Metadata = None

    def invocation_metadata(self) -> Metadata:
        """See `server.observe.Origin`."""
        return self.metadata

    def reply(self, message: bytes) -> None:
        """End it with OK."""
        self.front.respond(self.call_id, message)

    def refuse(self, refusal: Refusal) -> None:
        """End it without a reply."""
        self.front.fail(self.call_id, refusal.code.value[0], refusal.text, refusal.trailers)


def deadline_of(details: "CallDetails | None", now_ns: int) -> int:
    """Give the deadline of a call received at `now_ns`, nanoseconds on the same clock; far away if it has none."""
    remaining_s = details[2] if details is not None else None
    return _NEVER_NS if remaining_s is None else now_ns + int(remaining_s * 1e9)


def too_large(found: int, limit: int) -> Refusal:
    """Refuse a message of `found` bytes, in grpcio's words."""
    text = f"SERVER: Received message larger than max ({found} vs. {limit})"
    return Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
