"""The small services beside the calls: health and reflection, by grpcio on a socket that the front forwards to.

    client → front ── /retrieval.v1.Retrieval/… → CallLoop
                └──── any other path ──────────→ this, on an abstract unix socket

A method that nobody has gets its UNIMPLEMENTED here.
"""

import secrets

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server.health import Health
from server.metrics import SERVICE
from server.settings import Settings

_HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class SideServer:
    """Lives on the process's event loop, where health is announced."""

    def __init__(self, settings: Settings, *, serving: bool) -> None:
        self._health = Health(SERVICE, serving=serving)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_receive_bytes),
                ("grpc.max_concurrent_streams", settings.max_concurrent_rpcs),
            ],
            maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, _HEALTH_SERVICE, reflection.SERVICE_NAME), self._server)

    async def start(self) -> str:
        """Answer; gives the socket's path in the form that connect(2) takes.

        An abstract socket needs no folder to write to and leaves no file behind, however the process ends.
        """
        name = f"shortlist-{secrets.token_hex(16)}"
        self._server.add_insecure_port(f"unix-abstract:{name}")
        await self._server.start()
        return f"\0{name}"

    def say_not_serving(self) -> None:
        """See `Health.say_not_serving`."""
        self._health.say_not_serving()

    async def stop(self, grace_s: float) -> None:
        """End health watches, and give what else is in flight `grace_s` seconds."""
        self._health.end_watches()
        await self._server.stop(grace_s)
