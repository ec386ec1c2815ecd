"""Bytes → a protobuf message of which nothing was lost, or `InvalidRequestError` with the field that is wrong."""

from typing import TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.violations import InvalidRequestError, Violation
from server.wire import find_faults

_MessageT = TypeVar(
    "_MessageT", pb.RetrieveRequest, pb.RetrieveBatchRequest, pb.SimilarItemsRequest, pb.GetServingInfoRequest
)


def parse(raw: bytes, kind: type[_MessageT], max_fields: int) -> _MessageT:
    """Parse `raw`; `max_fields` is how many wire fields may be looked at to explain what is wrong with it."""
    descriptor = cast("Descriptor", kind.DESCRIPTOR)
    try:
        message = kind.FromString(raw)
    except DecodeError:
        faults = find_faults(raw, descriptor, max_fields)
        unexplained = Violation(descriptor.name, "the bytes are not a message of this type")
        raise InvalidRequestError(faults or [unexplained]) from None
    size = message.ByteSize()
    # a known number with a wrong wire type is kept as an unknown field; numbers cut to 32 bits, a field that stands
    # twice and a second member of a oneof make the message another size than its bytes
    message.DiscardUnknownFields()  # type: ignore[attr-defined] # missing in types-protobuf
    if size != len(raw) or message.ByteSize() != size:
        faults = find_faults(raw, descriptor, max_fields)
        if faults:
            raise InvalidRequestError(faults)
    return message
