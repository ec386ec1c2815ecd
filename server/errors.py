"""The one place where exceptions become gRPC statuses. Nothing else knows both worlds.

What is not in the table is a bug of ours: the caller gets INTERNAL with a constant text, the log gets the traceback.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from server.retrieval import UnknownCountryError
from server.violations import InvalidRequestError

_LOG = logging.getLogger(__name__)
_DETAILS_KEY = "grpc-status-details-bin"
_MAX_COUNTRIES_NAMED = 10


class DeadlinePassedError(Exception):
    """Nobody's fault: the caller's deadline had passed before the work began, so it was not begun."""


class NotServingError(Exception):
    """Nobody's fault: this process answers calls before a bundle is served."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the caller gets instead of a reply."""

    code: grpc.StatusCode
    text: str
    trailers: tuple[tuple[str, bytes], ...] = ()


def translate(error: Exception) -> Refusal:
    """Turn an exception of a handler into the status for its caller."""
    explain = _TABLE.get(type(error))
    if explain is not None:
        return explain(error)
    _LOG.error("a handler failed; its caller got INTERNAL", exc_info=error)
    return Refusal(grpc.StatusCode.INTERNAL, "internal error")


def _invalid_request(error: InvalidRequestError) -> Refusal:
    text = f"invalid request: {error}"
    bad_request = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=fault.field, description=fault.description)
            for fault in error.violations
        ]
    )
    detail = any_pb2.Any()
    detail.Pack(bad_request)
    code = grpc.StatusCode.INVALID_ARGUMENT
    status = status_pb2.Status(code=code.value[0], message=text, details=[detail])
    # set by hand: grpc.aio's context has no abort_with_status
    return Refusal(code, text, ((_DETAILS_KEY, status.SerializeToString()),))


def _unknown_country(error: UnknownCountryError) -> Refusal:
    named = ", ".join(error.known[:_MAX_COUNTRIES_NAMED])
    more = len(error.known) - _MAX_COUNTRIES_NAMED
    tail = f" and {more} more" if more > 0 else ""
    return Refusal(grpc.StatusCode.NOT_FOUND, f"{error}; the bundle has {named}{tail}")


def _deadline_passed(_: DeadlinePassedError) -> Refusal:
    return Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the call was begun")


def _not_serving(_: NotServingError) -> Refusal:
    return Refusal(grpc.StatusCode.UNAVAILABLE, "no bundle is being served yet")


_TABLE: Mapping[type[Exception], Callable[[Any], Refusal]] = {
    InvalidRequestError: _invalid_request,
    UnknownCountryError: _unknown_country,
    DeadlinePassedError: _deadline_passed,
    NotServingError: _not_serving,
}
