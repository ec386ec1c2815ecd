"""What can go wrong with a call, by whose fault it is; `of_rpc_error` is the only place that reads gRPC's statuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from shortlist.client.wire import BadRequest, Status

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One field of a request that the server refuses: its path, as `history[3].item_id`, and why."""

    field: str
    why: str


class ShortlistError(Exception):
    """A call that has no answer. `code` is gRPC's status, `details` the server's words."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


class InvalidRequestError(ShortlistError):
    """The caller's fault: the request is wrong. `fields` names each field that is."""

    def __init__(self, code: grpc.StatusCode, details: str, fields: Sequence[FieldFault] = ()) -> None:
        super().__init__(code, details)
        self.fields = tuple(fields)


class NotFoundError(ShortlistError):
    """The bundle does not have the country, or the catalogue not the item of `similar_items`."""


class NotServedError(ShortlistError):
    """The bundle or the server does not have what was asked for: a source, or the method."""


class OverloadedError(ShortlistError):
    """The server has too many calls already, or the message is too large. Never sent again by itself."""


class DeadlineError(ShortlistError):
    """No answer within the call's time. The server may have worked for nothing: lower the load or raise the time."""


class UnavailableError(ShortlistError):
    """No server answers, also not after the retries: none runs there, none is warm yet, or the network is gone."""


class ServerFaultError(ShortlistError):
    """The server's fault; its log has the traceback."""


_BY_CODE: dict[grpc.StatusCode, type[ShortlistError]] = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: NotServedError,
    grpc.StatusCode.UNIMPLEMENTED: NotServedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    # a server that goes away may cancel what it had not begun (grpc/grpc#41785)
    grpc.StatusCode.CANCELLED: UnavailableError,
}


def of_rpc_error(error: grpc.RpcError) -> ShortlistError:
    """Turn gRPC's error of a call into one of ours."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidRequestError(code, details, _faults(error))
    return _BY_CODE.get(code, ServerFaultError)(code, details)


def _faults(error: grpc.RpcError) -> list[FieldFault]:
    """Read the `google.rpc.BadRequest` details; none where the server, or something before it, sent none."""
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == _DETAILS_KEY:
            try:
                return [
                    FieldFault(violation.field, violation.description)
                    for detail in Status.FromString(value).details
                    if detail.type_url.endswith("/google.rpc.BadRequest")
                    for violation in BadRequest.FromString(detail.value).field_violations
                ]
            except DecodeError:
                return []
    return []
