"""The client for asyncio: the same calls, awaited; one per event loop."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, Unpack

import grpc
import grpc.aio
from google.protobuf.message import Message

from protos.retrieval.v1 import retrieval_pb2 as pb
from shortlist.client.answer import Answer, answer_of
from shortlist.client.calls import (
    HEALTH_EVERY_S,
    HEALTH_TIMEOUT_S,
    Tries,
    batch_answers,
    batch_request,
    does_not_serve,
    health_request,
    serves,
    similar_request,
    word_of,
)
from shortlist.client.channel import DEFAULT_CONNECTIONS, DEFAULT_TIMEOUT_S, HEALTH_CHECK, METHOD, METHODS, Settings
from shortlist.client.errors import of_rpc_error
from shortlist.client.request import Filters, History, RetrieveOptions, retrieve_request
from shortlist.client.sync import Options


class AsyncClient:
    """`Client` for asyncio. Make it inside the running loop."""

    def __init__(
        self, target: str, *, connections: int = DEFAULT_CONNECTIONS, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        self._settings = Settings(target, connections, timeout_s)
        options = self._settings.options()
        self._channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(connections)]
        self._turns = itertools.cycle(range(connections))
        self._methods: dict[str, list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]]] = {
            name: [channel.unary_unary(METHOD + name) for channel in self._channels] for name in METHODS
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(channel.close() for channel in self._channels))

    async def retrieve(
        self,
        country: str,
        history: History = History(),  # noqa: B008 - immutable
        k: int = 100,
        *,
        timeout_s: float | None = None,
        **options: Unpack[Options],
    ) -> Answer:
        """See `Client.retrieve`."""
        request = retrieve_request(country, history, k, RetrieveOptions(**options))
        return await self.retrieve_message(request, timeout_s=timeout_s)

    async def retrieve_message(self, request: pb.RetrieveRequest, *, timeout_s: float | None = None) -> Answer:
        """See `Client.retrieve_message`."""
        return answer_of(await self._call("Retrieve", request, timeout_s))

    async def retrieve_batch(
        self, requests: Sequence[pb.RetrieveRequest], *, timeout_s: float | None = None
    ) -> list[Answer]:
        """See `Client.retrieve_batch`."""
        return batch_answers(await self._call("RetrieveBatch", batch_request(requests), timeout_s))

    async def similar_items(
        self,
        country: str,
        item: int | str,
        k: int = 100,
        *,
        source: str = "",
        filters: Filters | None = None,
        timeout_s: float | None = None,
    ) -> pb.SimilarItemsResponse:
        """See `Client.similar_items`."""
        request = similar_request(country, item, k, source, filters)
        return pb.SimilarItemsResponse.FromString(await self._call("SimilarItems", request, timeout_s))

    async def serving_info(self, *, timeout_s: float | None = None) -> pb.GetServingInfoResponse:
        """See `Client.serving_info`."""
        raw = await self._call("GetServingInfo", pb.GetServingInfoRequest(), timeout_s)
        return pb.GetServingInfoResponse.FromString(raw)

    async def wait_until_serving(self, within_s: float = 30.0) -> None:
        """See `Client.wait_until_serving`."""
        deadline = time.monotonic() + within_s
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channels[0].unary_unary(HEALTH_CHECK)
        while True:
            try:
                if serves(await check(health_request(), timeout=HEALTH_TIMEOUT_S)):
                    return
                said = "NOT_SERVING"
            except grpc.aio.AioRpcError as error:
                said = word_of(error)
            if time.monotonic() >= deadline:
                raise does_not_serve(self._settings.target, within_s, said)
            await asyncio.sleep(HEALTH_EVERY_S)

    async def _call(self, method: str, request: Message, timeout_s: float | None) -> bytes:
        tries = Tries(self._settings, timeout_s)
        calls, raw = self._methods[method], request.SerializeToString()
        while True:
            try:
                reply: bytes = await calls[next(self._turns)](raw, timeout=tries.left_s())
            except grpc.aio.AioRpcError as error:
                if not tries.again(error.code()):
                    raise of_rpc_error(error) from error
            else:
                return reply
