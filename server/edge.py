"""Where bytes come in and go out: the gRPC server, and what surrounds the three steps of each RPC.

    bytes → started + deadline → decode → call → encode → counted → bytes
                                    └── any exception → errors.translate → counted → abort

Handlers take raw bytes and there are no interceptors: grpc.aio awaits each of them for every call.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn, TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server.errors import DeadlinePassedError, NotServingError, Refusal, translate
from server.health import Health
from server.metrics import METHODS, SERVICE
from server.observe import Observer, Record
from server.process import stop_listening
from server.service import AnswerT, RequestT, Rpc
from server.settings import Settings

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]
_HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

# Clients may ping an idle connection every 10 s; the default of 5 minutes would end it with "too_many_pings".
_MIN_PING_INTERVAL_MS = 10_000
_CONNECTION_AGE_GRACE_MS = 30_000


def retrieval_handler(
    name: str,
    rpc: Rpc[RequestT, AnswerT],
    observer: Observer,
    record: Record[RequestT, AnswerT] | None = None,
) -> Handler:
    """Wrap the steps of `rpc` into a handler that counts, times and translates; `record` counts its answers."""
    method = METHODS.index(name)
    now = time.perf_counter_ns

    async def handle(raw: bytes, context: Context) -> bytes:
        started = now()
        observer.metrics.call_started(method)
        try:
            remaining_s = context.time_remaining()
            if remaining_s is not None and remaining_s <= 0:
                raise DeadlinePassedError  # noqa: TRY301 - all refusals take one way out
            request = rpc.decode(raw)
            decoded = now()
            answer = rpc.call(request)
            called = now()
            reply = rpc.encode(request, answer)
        except Exception as error:  # each has its place in the table of server.errors
            await _abort(context, observer.refused(method, context, error, started))
        ended = now()
        if observer.answered(
            record, method, context, request, answer, started, decoded - started, ended - called, ended
        ):
            # runs when this handler has returned, so the reply goes first
            asyncio.get_running_loop().call_soon(observer.settle)
        return reply

    return handle


def not_serving_handlers() -> Mapping[str, Handler]:
    """Answer every RPC with UNAVAILABLE, before a bundle is served."""

    async def handle(raw: bytes, context: Context) -> bytes:
        del raw
        await _abort(context, translate(NotServingError()))

    return dict.fromkeys(METHODS, handle)


class Edge:
    """A gRPC server with the retrieval service, standard health and reflection. One per process, after the fork."""

    def __init__(self, settings: Settings, handlers: Mapping[str, Handler]) -> None:
        self._settings = settings
        self._handlers = handlers

    async def start(self, address: str, *, serving: bool) -> None:
        """Bind `address` beside the other processes and answer; RuntimeError if it cannot be bound."""
        self._health = Health(SERVICE, serving=serving)
        self._server = grpc.aio.server(
            options=_channel_options(self._settings), maximum_concurrent_rpcs=self._settings.max_concurrent_rpcs
        )
        self._server.add_generic_rpc_handlers((_generic_handler(self._handlers),))
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


async def _abort(context: Context, refusal: Refusal) -> NoReturn:
    await context.abort(refusal.code, refusal.text, refusal.trailers)


def _generic_handler(handlers: Mapping[str, Handler]) -> grpc.GenericRpcHandler:
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(handler) for name, handler in handlers.items()
    }
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _channel_options(settings: Settings) -> Sequence[tuple[str, int]]:
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
