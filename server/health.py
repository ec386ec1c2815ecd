"""Standard gRPC health (`grpc.health.v1`): the same status overall and for the service, checked or watched.

Written here because the asyncio servicer of grpcio-health-checking 1.75.0 forgets all watchers of a service when one
of them leaves; the others are then never told of a drain.
"""

import asyncio
from typing import TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

Context: TypeAlias = "grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]"

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """Answers for "" and for `service`. Lives on one event loop."""

    def __init__(self, service: str, *, serving: bool) -> None:
        self._known = ("", service)
        self._status = _SERVING if serving else _NOT_SERVING
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()

    def say_not_serving(self) -> None:
        """Answer NOT_SERVING from now on and tell everyone who watches."""
        self._status = _NOT_SERVING
        self._changed.set()

    def end_watches(self) -> None:
        """End the watches, each after it was told what there is to tell: they are no work that a drain waits for."""
        self._changed.set()
        self._ended.set()

    async def Check(  # noqa: N802 - the name in the proto
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """Give the status now; NOT_FOUND for another service."""
        if request.service not in self._known:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return health_pb2.HealthCheckResponse(status=self._status)

    async def Watch(  # noqa: N802 - as above
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Give the status now and the change, if it comes; the call lasts until the client or the server ends it."""
        known = request.service in self._known
        before = self._status if known else _SERVICE_UNKNOWN
        await context.write(health_pb2.HealthCheckResponse(status=before))
        await self._changed.wait()
        if known and before != self._status:
            await context.write(health_pb2.HealthCheckResponse(status=self._status))
        # the protocol wants the call to stay open
        await self._ended.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "this process ends")
