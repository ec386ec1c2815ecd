"""The inspector's connection to the server: the public gRPC API, as any client has it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub
from server.inspector import problems

_INFO_AGE_S = 1.0
_TIMEOUT_S = 10.0
_MOST_AT_ONCE = 2
_MOST_BYTES = 64 * 1024 * 1024
_SERVICE_CONFIG = """{"methodConfig": [{
    "name": [{"service": "retrieval.v1.Retrieval"}],
    "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.02s", "maxBackoff": "0.2s", "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]}}]}"""
_OPTIONS = [
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.max_receive_message_length", _MOST_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class Client:
    """Asks the server at `address`. Every method raises the `Problem` that the server names."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = RetrievalStub(self._channel)  # type: ignore[no-untyped-call] # generated
        self._info: pb.GetServingInfoResponse | None = None
        self._asked_s = 0.0
        self._asking = asyncio.Lock()
        # people's questions, however many browsers are open, never take a worker's places from callers
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    async def info(self) -> pb.GetServingInfoResponse:
        """What is served, at most a second old."""
        async with self._asking:
            if self._info is None or time.monotonic() - self._asked_s > _INFO_AGE_S:
                self._info = None
                self._info = await self._call(self._stub.GetServingInfo, pb.GetServingInfoRequest())
                self._asked_s = time.monotonic()
            return self._info

    async def retrieve(self, request: pb.RetrieveRequest) -> pb.RetrieveResponse:
        """One answer."""
        async with self._places:
            response: pb.RetrieveResponse = await self._call(self._stub.Retrieve, request)
        return response

    async def retrieve_batch(self, requests: Sequence[pb.RetrieveRequest]) -> Sequence[pb.RetrieveResponse]:
        """Several answers in one call."""
        async with self._places:
            batch = pb.RetrieveBatchRequest(requests=requests)
            response: pb.RetrieveBatchResponse = await self._call(self._stub.RetrieveBatch, batch)
        return response.responses

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    async def _call(self, method: Callable[..., Any], request: Message) -> Any:  # noqa: ANN401 - generated stubs
        try:
            return await method(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise problems.of_call(error) from error


def reachable(address: str) -> str:
    """Where a client on this machine finds a server that listens on `address`."""
    host, _, port = address.rpartition(":")
    return {"0.0.0.0": f"127.0.0.1:{port}", "[::]": f"[::1]:{port}"}.get(host, address)  # noqa: S104 - what was bound
