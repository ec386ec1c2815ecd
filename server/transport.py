"""What carries the calls: the two transports behind one protocol, and the RPCs as both are given them.

    worker → [Served, …] → open_transport → GrpcioEdge (gRPC's C-core) or NativeEdge (HTTP/2 in Rust)

The choice changes what a call costs, not what it says: docs/transports.md has the few differences.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias

from server.observe import Observer, Record
from server.service import AnswerT, RequestT, Rpc
from server.settings import Settings

if TYPE_CHECKING:
    from server.usual import Usual

Kind: TypeAlias = Literal["grpcio", "native"]


class Transport(Protocol):
    """A gRPC server with the retrieval service, standard health and reflection. One per process, after the fork."""

    async def start(self, address: str, *, serving: bool) -> None:
        """Bind `address` beside the other processes and answer; RuntimeError if it cannot be bound."""

    def announce_end(self) -> None:
        """Say NOT_SERVING from now on, to checks and to watches, while calls are still answered."""

    def stop_listening(self) -> None:
        """Leave new connections to the other processes on the port; those that exist go on."""

    async def stop(self, grace_s: float) -> None:
        """Accept nothing new, tell clients to connect again, and give calls in flight `grace_s` seconds."""


@dataclass(frozen=True, slots=True)
class Many(Generic[RequestT, AnswerT]):
    """How calls that wait together share work.

    Requests for which `group` gives the same can be answered together. `call` answers such requests, in order; if it
    raises, each is called alone instead, to find whose fault it is.
    """

    group: Callable[[RequestT], Hashable]
    call: Callable[[Sequence[RequestT]], Sequence[AnswerT]]


@dataclass(frozen=True, slots=True)
class Served(Generic[RequestT, AnswerT]):
    """One RPC as a transport is given it: its name in `metrics.METHODS`, its steps, what counts its answers.

    `many` is None where calls share no work; they are then answered one by one. `usual`: what compiled code answers.
    """

    name: str
    rpc: Rpc[RequestT, AnswerT]
    record: Record[RequestT, AnswerT] | None = None
    many: Many[RequestT, AnswerT] | None = None
    usual: "Usual | None" = None


def choose(setting: str) -> Kind:
    """Say which transport `setting` means: "auto" is native where its package is installed."""
    if setting == "auto":
        return "native" if find_spec("pygrpc_native") else "grpcio"
    return "native" if setting == "native" else "grpcio"


def open_transport(kind: Kind, settings: Settings, served: Sequence[Served[Any, Any]], observer: Observer) -> Transport:
    """Make the transport that serves `served`; it does nothing before `start`."""
    if kind == "native":
        from server.native.edge import NativeEdge  # noqa: PLC0415 - its package is optional

        return NativeEdge(settings, served, observer)
    from server.grpcio.edge import GrpcioEdge  # noqa: PLC0415 - it needs what stands above

    return GrpcioEdge(settings, served, observer)
