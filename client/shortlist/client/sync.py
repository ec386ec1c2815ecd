"""The client for threads: one may be shared by all of a process, and must be made after any fork."""

import itertools
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypedDict, Unpack

import grpc
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


class Options(TypedDict, total=False):
    """The keywords of `retrieve`, as `request.RetrieveOptions` has them."""

    profile: str
    exclude_history: bool
    features: dict[str, float | str]
    seed_item: int | str | None
    timestamp_ms: int
    filters: Filters | None
    source_quotas: dict[str, int]
    include_item_details: bool
    explain: bool


def _unheeded(_: grpc.ChannelConnectivity) -> None:
    """Nobody needs to know."""


class Client:
    """Calls one Shortlist, over several connections in turn. See `channel.Settings` for the arguments."""

    def __init__(
        self, target: str, *, connections: int = DEFAULT_CONNECTIONS, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        self._settings = Settings(target, connections, timeout_s)
        options = self._settings.options()
        self._channels = [grpc.insecure_channel(target, options=options) for _ in range(connections)]
        for channel in self._channels:
            # gRPC's core works on a connection only while somebody waits for it: without a watcher, a lost connection
            # would be opened again in the moments that failing calls wait, which may be never
            channel.subscribe(_unheeded)
        self._turns = itertools.cycle(range(connections))  # next() is atomic
        self._methods: dict[str, list[grpc.UnaryUnaryMultiCallable[bytes, bytes]]] = {
            name: [channel.unary_unary(METHOD + name) for channel in self._channels] for name in METHODS
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; calls in flight end with `UnavailableError`."""
        for channel in self._channels:
            channel.close()

    def retrieve(
        self,
        country: str,
        history: History = History(),  # noqa: B008 - immutable
        k: int = 100,
        *,
        timeout_s: float | None = None,
        **options: Unpack[Options],
    ) -> Answer:
        """Retrieve k candidates for a user; raises a `ShortlistError`.

        options: the fields of `retrieval.v1.RetrieveRequest`, see `request.RetrieveOptions`.
        """
        request = retrieve_request(country, history, k, RetrieveOptions(**options))
        return self.retrieve_message(request, timeout_s=timeout_s)

    def retrieve_message(self, request: pb.RetrieveRequest, *, timeout_s: float | None = None) -> Answer:
        """Send a request that is a message already."""
        return answer_of(self._call("Retrieve", request, timeout_s))

    def retrieve_batch(self, requests: Sequence[pb.RetrieveRequest], *, timeout_s: float | None = None) -> list[Answer]:
        """Retrieve for several users in one call, in their order; made by `request.retrieve_request`."""
        return batch_answers(self._call("RetrieveBatch", batch_request(requests), timeout_s))

    def similar_items(
        self,
        country: str,
        item: int | str,
        k: int = 100,
        *,
        source: str = "",
        filters: Filters | None = None,
        timeout_s: float | None = None,
    ) -> pb.SimilarItemsResponse:
        """Find the items most like one."""
        request = similar_request(country, item, k, source, filters)
        return pb.SimilarItemsResponse.FromString(self._call("SimilarItems", request, timeout_s))

    def serving_info(self, *, timeout_s: float | None = None) -> pb.GetServingInfoResponse:
        """Say what is served."""
        return pb.GetServingInfoResponse.FromString(self._call("GetServingInfo", pb.GetServingInfoRequest(), timeout_s))

    def wait_until_serving(self, within_s: float = 30.0) -> None:
        """Wait until a bundle is warm; `UnavailableError` if that takes longer than `within_s` seconds."""
        deadline = time.monotonic() + within_s
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channels[0].unary_unary(HEALTH_CHECK)
        pause = threading.Event()
        while True:
            try:
                if serves(check(health_request(), timeout=HEALTH_TIMEOUT_S, wait_for_ready=True)):
                    return
                said = "NOT_SERVING"
            except grpc.RpcError as error:
                said = word_of(error)
            if time.monotonic() >= deadline:
                raise does_not_serve(self._settings.target, within_s, said)
            pause.wait(HEALTH_EVERY_S)

    def _call(self, method: str, request: Message, timeout_s: float | None) -> bytes:
        """Call on one connection, and on others while there is time, where the first has just lost its worker."""
        tries = Tries(self._settings, timeout_s)
        calls, raw = self._methods[method], request.SerializeToString()
        while True:
            try:
                reply: bytes = calls[next(self._turns)](raw, timeout=tries.left_s())
            except grpc.RpcError as error:
                if not tries.again(error.code()):
                    raise of_rpc_error(error) from error
            else:
                return reply
