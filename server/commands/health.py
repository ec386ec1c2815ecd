"""`shortlist health`: ask a server's standard gRPC health once, for probes that can only run a command."""

from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server import exit_codes


class HealthError(Exception):
    """The server is not serving, or gave no answer; says what it was."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def health(address: str, service: str, timeout_s: float) -> str:
    """Return "SERVING"; `HealthError` for every other status of `service`, and when nothing answers in time."""
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types have no methods
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        except grpc.RpcError as error:
            raise _explain(error, address, service) from error
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        message = f"{status} at {address}: no bundle is warm yet, or the server is going away"
        raise HealthError(message, exit_codes.NOT_SERVING)
    return status


def _explain(error: grpc.RpcError, address: str, service: str) -> HealthError:
    if error.code() == grpc.StatusCode.NOT_FOUND:
        return HealthError(f"{address} knows no service {service!r}", exit_codes.NOT_SERVING)
    return HealthError(f"no answer from {address}: {error.code().name}: {error.details()}", exit_codes.NO_SERVER)
