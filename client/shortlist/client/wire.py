"""The small messages beside Shortlist's own: health checks and error details.

Their packages (grpcio-health-checking, googleapis-common-protos) are not needed for three messages. They live in a
pool of their own, so that a program that has those packages too never sees a message defined twice.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_OPTIONAL, _REPEATED = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
_INT32, _STRING = FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_STRING
_BYTES, _MESSAGE = FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.TYPE_MESSAGE

# an enum travels as an int32; Any is written out, since the real one lives in the default pool
_FIELDS: dict[str, list[tuple[str, int, int, int, str]]] = {
    "Any": [("type_url", 1, _STRING, _OPTIONAL, ""), ("value", 2, _BYTES, _OPTIONAL, "")],
    "Status": [
        ("code", 1, _INT32, _OPTIONAL, ""),
        ("message", 2, _STRING, _OPTIONAL, ""),
        ("details", 3, _MESSAGE, _REPEATED, ".shortlist.client.Any"),
    ],
    "FieldViolation": [("field", 1, _STRING, _OPTIONAL, ""), ("description", 2, _STRING, _OPTIONAL, "")],
    "BadRequest": [("field_violations", 1, _MESSAGE, _REPEATED, ".shortlist.client.FieldViolation")],
    "HealthCheckRequest": [("service", 1, _STRING, _OPTIONAL, "")],
    "HealthCheckResponse": [("status", 1, _INT32, _OPTIONAL, "")],
}


def _classes() -> dict[str, Any]:
    file = FileDescriptorProto(name="shortlist/client/wire.proto", package="shortlist.client", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label, type_name in fields:
            message.field.add(name=field, number=number, type=kind, label=label, type_name=type_name or None)
    pool = DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    found: Any = pool.FindMessageTypeByName
    return {name: GetMessageClass(found(f"shortlist.client.{name}")) for name in _FIELDS}


_CLASSES = _classes()
Status: Any = _CLASSES["Status"]
"""`google.rpc.Status`."""
BadRequest: Any = _CLASSES["BadRequest"]
"""`google.rpc.BadRequest`."""
HealthCheckRequest: Any = _CLASSES["HealthCheckRequest"]
"""`grpc.health.v1.HealthCheckRequest`."""
HealthCheckResponse: Any = _CLASSES["HealthCheckResponse"]
"""`grpc.health.v1.HealthCheckResponse`."""

SERVING = 1
"""`grpc.health.v1.HealthCheckResponse.SERVING`."""
