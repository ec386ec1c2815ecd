"""The small services beside the calls: health and reflection, asyncio servicers on the process's event loop.

    CallLoop ── any path that a servicer has → SideCall → servicer

A servicer is given messages and a context as by grpc.aio, of which there is here what these two need.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from server.errors import TOO_MANY, Refusal
from server.grpcio.core import (
    Completed,
    Completion,
    CoreCall,
    cancelled,
    message_of,
    receive,
    receive_end,
    send_end,
    send_message,
    turn_away,
)
from server.health import Health
from server.metrics import SERVICE

Handlers = Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]
_LOG = logging.getLogger(__name__)
_HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_BUG = Refusal(grpc.StatusCode.INTERNAL, "internal error")
_NO_MESSAGE = Refusal(grpc.StatusCode.INTERNAL, "no message")


class SideCalls:
    """Lives on the process's event loop, where health is announced; `has` and `begin` are for the loop of calls."""

    def __init__(self, max_calls: int, *, serving: bool) -> None:
        self._max_calls = max_calls
        self._health = Health(SERVICE, serving=serving)
        self._loop = asyncio.get_running_loop()
        self._handlers: dict[bytes, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self)  # type: ignore[arg-type] # as much as it uses
        names = (SERVICE, _HEALTH_SERVICE, reflection.SERVICE_NAME)
        reflector = reflection.aio.ReflectionServicer(names)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflector, self)  # type: ignore[no-untyped-call] # generated

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Do nothing: the same are given by name. Called by generated code, as the next."""

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        """Take a service's methods."""
        self._handlers.update({f"/{service}/{name}".encode(): handler for name, handler in handlers.items()})

    def has(self, path: bytes) -> bool:
        """Whether a call of `path` can begin."""
        return path in self._handlers

    def begin(self, path: bytes, call: CoreCall) -> None:
        """Answer a call of one of the methods."""
        self._loop.call_soon_threadsafe(self._begin, SideCall(call, self._loop), self._handlers[path])

    def say_not_serving(self) -> None:
        """See `Health.say_not_serving`."""
        self._health.say_not_serving()

    def end_watches(self) -> None:
        """See `Health.end_watches`."""
        self._health.end_watches()

    def _begin(self, call: "SideCall", handler: Any) -> None:  # noqa: ANN401 - of any messages
        if len(self._tasks) >= self._max_calls:
            call.turn_away()
            return
        task = self._loop.create_task(call.answer(handler))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _AbortedError(Exception):
    """The servicer has ended its call."""


class SideCall:
    """One call, and the context that its servicer is given."""

    def __init__(self, call: CoreCall, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._loop = loop
        self._silent = True
        self._write_as: Any = None

    def turn_away(self) -> None:
        """End it unseen."""
        turn_away(self._call, TOO_MANY)

    async def answer(self, handler: Any) -> None:  # noqa: ANN401 - of any messages
        """Run the servicer's method to its end, or to the caller's."""
        self._write_as = handler.response_serializer
        task = asyncio.current_task()
        receive_end(self._call, self._on_loop(partial(_end_task, task)))
        try:
            await self._run(handler)
        except _AbortedError:
            return
        except Exception:  # it must not look as if the server had gone
            _LOG.exception("health or reflection failed")
            self.end(_BUG)
        else:
            self.end()

    async def _run(self, handler: Any) -> None:  # noqa: ANN401 - as above
        if handler.request_streaming:
            async for reply in handler.stream_stream(self._requests(handler.request_deserializer), self):
                await self.write(reply)
            return
        raw = await self._read()
        if raw is None:
            await self.abort(_NO_MESSAGE.code, _NO_MESSAGE.text)
        request = handler.request_deserializer(raw)
        if handler.response_streaming:
            await handler.unary_stream(request, self)
        else:
            await self.write(await handler.unary_unary(request, self))

    async def write(self, message: object) -> None:
        """Send a reply."""
        raw, first, self._silent = self._write_as(message), self._silent, False
        await self._completed(partial(send_message, self._call, raw, first=first))

    async def abort(self, code: grpc.StatusCode, text: str) -> NoReturn:
        """End the call with a status."""
        self.end(Refusal(code, text))
        raise _AbortedError

    def end(self, refusal: Refusal | None = None) -> None:
        """End the call, with OK by default."""
        send_end(self._call, refusal, first=self._silent)

    async def _requests(self, read_as: Any) -> AsyncIterator[object]:  # noqa: ANN401 - as above
        while (raw := await self._read()) is not None:
            yield read_as(raw)

    async def _read(self) -> bytes | None:
        return message_of(await self._completed(partial(receive, self._call)))

    async def _completed(self, start: Any) -> Completion:  # noqa: ANN401 - takes a `Completed` more
        """Start an operation and wait until it is complete, which the loop of calls sees first."""
        future: asyncio.Future[Completion] = self._loop.create_future()
        start(self._on_loop(partial(_set_result, future)))
        return await future

    def _on_loop(self, do: Completed) -> Completed:
        return lambda event: self._loop.call_soon_threadsafe(do, event)


def _set_result(future: "asyncio.Future[Completion]", event: Completion) -> None:
    if not future.done():
        future.set_result(event)


def _end_task(task: "asyncio.Task[None] | None", event: Completion) -> None:
    if task is not None and cancelled(event):
        task.cancel()
