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

from models.errors import FeatureKindError
from server.log import fields
from server.refusals import (
    NoPricesError,
    RefusedInBatchError,
    SourceNotServedError,
    UnknownCountryError,
    UnknownItemError,
    UnknownProfileError,
)
from server.request_id import REQUEST_ID_KEY
from server.violations import InvalidRequestError, Violation, listed, quoted

_LOG = logging.getLogger(__name__)
_DETAILS_KEY = "grpc-status-details-bin"


class DeadlinePassedError(Exception):
    """Nobody's fault: the caller's deadline had passed before the work began, so it was not begun."""


class NotServingError(Exception):
    """Nobody's fault: this process answers calls before a bundle is served."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the caller gets instead of a reply."""

    code: grpc.StatusCode
    text: str
    trailers: tuple[tuple[str, str | bytes], ...] = ()


# what no handler sees, in grpcio's words
TOO_MANY = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")
NO_METHOD = Refusal(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


def translate(error: Exception, request_id: Callable[[], str] = str) -> Refusal:
    """Turn an exception of a handler into the status for its caller.

    A bug is logged under `request_id`, which its caller gets, too.
    """
    prefix = ""
    if isinstance(error, RefusedInBatchError):
        prefix, error = f"requests[{error.position}].", error.reason
    explain = _TABLE.get(type(error))
    if explain is not None:
        return explain(error, prefix)
    named = request_id()
    _LOG.error("a handler failed; its caller got INTERNAL", exc_info=error, extra=fields(request_id=named))
    return Refusal(grpc.StatusCode.INTERNAL, "internal error", ((REQUEST_ID_KEY, named),) if named else ())


def _invalid_request(error: InvalidRequestError, _: str) -> Refusal:
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


def _invalid_field(field: str, description: str) -> Refusal:
    return _invalid_request(InvalidRequestError([Violation(field, description)]), "")


def _feature_kind(error: FeatureKindError, prefix: str) -> Refusal:
    return _invalid_field(f"{prefix}features[{quoted(error.name)}]", f"expected {error.expected}, as in training")


def _unknown_profile(error: UnknownProfileError, prefix: str) -> Refusal:
    return _invalid_field(f"{prefix}profile", f"{error}; the settings have {listed(error.known)}")


def _no_prices(error: NoPricesError, prefix: str) -> Refusal:
    return _invalid_field(f"{prefix}filters.price", str(error))


def _unknown_country(error: UnknownCountryError, prefix: str) -> Refusal:
    text = f"{error}; the bundle has {listed(error.known)}"
    return Refusal(grpc.StatusCode.NOT_FOUND, f"{prefix}country: {text}" if prefix else text)


def _unknown_item(error: UnknownItemError, _: str) -> Refusal:
    return Refusal(grpc.StatusCode.NOT_FOUND, str(error))


def _source_not_served(error: SourceNotServedError, _: str) -> Refusal:
    others = f"; it has {listed(error.served)}" if error.served else ""
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, f"{error}{others}")


def _deadline_passed(_: DeadlinePassedError, _prefix: str) -> Refusal:
    return Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the call was begun")


def _not_serving(_: NotServingError, _prefix: str) -> Refusal:
    return Refusal(grpc.StatusCode.UNAVAILABLE, "no bundle is being served yet")


# the second argument is the path of the refused request in its batch, with a dot, or empty
_TABLE: Mapping[type[Exception], Callable[[Any, str], Refusal]] = {
    InvalidRequestError: _invalid_request,
    FeatureKindError: _feature_kind,
    UnknownProfileError: _unknown_profile,
    NoPricesError: _no_prices,
    UnknownCountryError: _unknown_country,
    UnknownItemError: _unknown_item,
    SourceNotServedError: _source_not_served,
    DeadlinePassedError: _deadline_passed,
    NotServingError: _not_serving,
}
