"""Milvus over its own gRPC, asynchronously: pymilvus' generated classes, a request prepared once, pooled channels."""

import itertools
from collections.abc import Mapping
from typing import Any

import grpc.aio
import numpy as np
from numpy.typing import NDArray
from pymilvus.client.prepare import Prepare
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from loadtest.peers.front import Found
from loadtest.peers.job import Job


class MilvusStore:
    """One collection per variant."""

    def __init__(self, channels: "list[grpc.aio.Channel]", collection: str, parameters: Mapping[str, Any]) -> None:
        self._calls = itertools.cycle([milvus_pb2_grpc.MilvusServiceStub(channel).Search for channel in channels])
        self._collection = collection
        self._parameters = parameters
        self._prepared: dict[int, milvus_pb2.SearchRequest] = {}

    async def search(self, user: NDArray[np.float32], k: int) -> Found:
        """See `loadtest.peers.front.Store`."""
        if k not in self._prepared:
            self._prepared[k] = self._prepare(user, k)
        request = milvus_pb2.SearchRequest()
        request.CopyFrom(self._prepared[k])
        request.placeholder_group = _placeholder(user)
        reply = await next(self._calls)(request)
        if reply.status.code:
            raise RuntimeError(reply.status.reason)
        ids = np.array(reply.results.ids.int_id.data, dtype=np.uint64)
        return ids, np.array(reply.results.scores, dtype=np.float32)

    def _prepare(self, user: NDArray[np.float32], k: int) -> milvus_pb2.SearchRequest:
        return Prepare.search_requests_with_expr(
            self._collection, "v", {"metric_type": "IP", "params": dict(self._parameters)}, k, data=[user.tolist()]
        )


def _placeholder(user: NDArray[np.float32]) -> bytes:
    value = common_pb2.PlaceholderValue(
        tag="$0", type=common_pb2.PlaceholderType.FloatVector, values=[user.astype("<f4").tobytes()]
    )
    serialised: bytes = common_pb2.PlaceholderGroup(placeholders=[value]).SerializeToString()
    return serialised


async def connect(job: Job, options: Mapping[str, Any]) -> MilvusStore:
    """Open channels of their own connections to `options["server"]`."""
    del job
    separate = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(options["server"], options=separate) for _ in range(options["connections"])]
    return MilvusStore(channels, options["collection"], options["parameters"])
