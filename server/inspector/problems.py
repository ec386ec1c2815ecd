"""What the inspector answers instead of what was asked: one JSON object, whoever is at fault."""

from collections.abc import Sequence

import grpc
import grpc.aio
import msgspec
from google.rpc import error_details_pb2
from grpc_status import rpc_status

_STATUS_OF = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_BAD_GATEWAY = 502


class Fault(msgspec.Struct, frozen=True):
    """One field of a request, and what is wrong with it."""

    field: str
    description: str


class Problem(Exception):
    """Ends a request. `code` is a word for programs; `message` says what was expected and found, for people."""

    def __init__(self, status: int, code: str, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.faults = tuple(faults)


def bad_request(message: str) -> Problem:
    """The caller's fault."""
    return Problem(400, "BAD_REQUEST", message)


def not_found(message: str) -> Problem:
    """There is no such thing."""
    return Problem(404, "NOT_FOUND", message)


def of_call(error: grpc.aio.AioRpcError) -> Problem:
    """Say what the server said, with the fields that it names."""
    code = error.code()
    return Problem(_STATUS_OF.get(code, _BAD_GATEWAY), code.name, error.details() or code.name, _faults(error))


def _faults(error: grpc.aio.AioRpcError) -> list[Fault]:
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type] # has the methods of grpc.Call that it takes
    except ValueError:  # trailers that do not belong to the status
        return []
    faults: list[Fault] = []
    for detail in status.details if status else ():
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            faults += [Fault(one.field, one.description) for one in bad.field_violations]
    return faults
