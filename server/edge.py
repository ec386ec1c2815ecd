"""The lobby's gRPC server, by grpc.aio: health, reflection, and UNAVAILABLE for every call."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server.errors import NotServingError, translate
from server.health import Health
from server.metrics import METHODS, SERVICE
from server.process import stop_listening
from server.settings import Settings

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]
_HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

# Clients may ping an idle connection every 10 s; the default of 5 minutes would end it with "too_many_pings".
_MIN_PING_INTERVAL_MS = 10_000
_CONNECTION_AGE_GRACE_MS = 30_000


class Edge:
    """A `server.transport.Transport` before a bundle is served. One per process, after the fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def start(self, address: str, *, serving: bool) -> None:
        """Bind `address` beside the other processes and answer; RuntimeError if it cannot be bound."""
        self._health = Health(SERVICE, serving=serving)
        self._server = grpc.aio.server(
            options=channel_options(self._settings), maximum_concurrent_rpcs=self._settings.max_concurrent_rpcs
        )
        self._server.add_generic_rpc_handlers((_refusing(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, _HEALTH_SERVICE, reflection.SERVICE_NAME), self._server)
        self._address = address
        self._server.add_insecure_port(address)
        await self._server.start()

    def announce_end(self) -> None:
        """Say NOT_SERVING from now on, to checks and to watches, while calls are still answered."""
        self._health.say_not_serving()

    def stop_listening(self) -> None:
        """Leave new connections to the other processes on the port; those that exist go on."""
        stop_listening(self._address)

    async def stop(self, grace_s: float) -> None:
        """Accept nothing new, tell clients to connect again, and give calls in flight `grace_s` seconds.

        Health watches would last for ever, so they are ended instead of waited for.
        """
        self._health.end_watches()
        await self._server.stop(grace_s)


async def _refuse(raw: bytes, context: Context) -> bytes:
    del raw
    refusal = translate(NotServingError())
    await context.abort(refusal.code, refusal.text, refusal.trailers)


def _refusing() -> grpc.GenericRpcHandler:
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_refuse)
    return grpc.method_handlers_generic_handler(SERVICE, dict.fromkeys(METHODS, handler))


def channel_options(settings: Settings) -> Sequence[tuple[str, int]]:
    """Tell gRPC's core of the settings."""
    options = [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", settings.max_receive_bytes),
        ("grpc.max_concurrent_streams", settings.max_concurrent_rpcs),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    if settings.max_connection_age_s:
        options += [
            ("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1000)),
            ("grpc.max_connection_age_grace_ms", _CONNECTION_AGE_GRACE_MS),
        ]
    return options
