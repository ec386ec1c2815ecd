"""`python -m loadtest.peers.front`: a gRPC server with our encoder, in front of someone else's vector store.

What a good team builds around a vector database: grpc.aio on uvloop, a process per core on one port, ONNX Runtime at
one thread, pooled connections and the store's binary protocol. Candidates are written as records, as Shortlist does, so
that the store is what costs.
"""

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import grpc.aio
import numpy as np
import uvloop
from numpy.typing import NDArray

from loadtest.peers.job import Job, Users
from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1 import retrieval_pb2_grpc as rpc

Found = tuple[NDArray[np.uint64], NDArray[np.float32]]
"""Item ids, best first, and their inner products."""

# `candidates` (field 1), each 14 bytes long: `item_id` (field 1, fixed64) and `score` (field 2, float)
_RECORD = np.dtype(
    {
        "names": ["field", "length", "id_tag", "item_id", "score_tag", "score"],
        "formats": ["u1", "u1", "u1", "<u8", "u1", "<f4"],
        "offsets": [0, 1, 2, 3, 11, 12],
        "itemsize": 16,
    }
)
_TAGS = {"field": 0x0A, "length": 14, "id_tag": 0x09, "score_tag": 0x15}


class Store(Protocol):
    """A vector database, connected."""

    async def search(self, user: NDArray[np.float32], k: int) -> Found:
        """Find the best k for a user vector (D,)."""
        ...


class Front(rpc.RetrievalServicer):
    """Encodes, asks the store, answers."""

    def __init__(self, users: Users, store: Store) -> None:
        self._users = users
        self._store = store

    async def Retrieve(self, request: pb.RetrieveRequest, context: object) -> bytes:  # noqa: ARG002, N802
        """See the proto; only history and k are looked at."""
        asked = np.array([each.item_id for each in request.history], dtype=np.uint64)
        ids, scores = await self._store.search(self._users.vector(asked), request.k)
        return encode_reply(ids, scores)


def encode_reply(ids: NDArray[np.uint64], scores: NDArray[np.float32]) -> bytes:
    """Write a RetrieveResponse that has nothing but candidates."""
    records = np.empty(len(ids), dtype=_RECORD)
    for name, tag in _TAGS.items():
        records[name] = tag
    records["item_id"], records["score"] = ids, scores
    return records.tobytes()


async def serve(address: str, servicer: rpc.RetrievalServicer, *, raw_replies: bool) -> None:
    """Bind with SO_REUSEPORT and answer until SIGTERM."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1), ("grpc.max_concurrent_streams", 256)])
    handler = grpc.unary_unary_rpc_method_handler(
        servicer.Retrieve,
        request_deserializer=pb.RetrieveRequest.FromString,
        response_serializer=None if raw_replies else pb.RetrieveResponse.SerializeToString,
    )
    generic = grpc.method_handlers_generic_handler("retrieval.v1.Retrieval", {"Retrieve": handler})
    server.add_generic_rpc_handlers((generic,))
    server.add_insecure_port(address)
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    gc.collect()
    gc.freeze()
    await ended.wait()
    await server.stop(1)


def in_processes(count: int, main: Callable[[], None]) -> None:
    """Run `main` in `count` forked processes until SIGTERM, and end with them."""
    children = []
    for _ in range(count):
        pid = os.fork()
        if not pid:
            main()
            # grpc.aio may hang in the interpreter's shutdown (grpc/grpc#40989)
            os._exit(0)
        children.append(pid)

    def stop(*_: object) -> None:
        for pid in children:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for pid in children:
        os.waitpid(pid, 0)


async def _serve_store(job: Job, kind: str, options: Mapping[str, Any], address: str) -> None:
    store = await importlib.import_module(f"loadtest.peers.stores.{kind}").connect(job, options)
    await serve(address, Front(Users(job), store), raw_replies=True)


def main() -> None:
    """Take JSON: job, store, options, address, processes."""
    asked = json.loads(sys.argv[1])
    job = Job(Path(asked["job"]))
    in_processes(
        asked["processes"],
        lambda: uvloop.run(_serve_store(job, asked["store"], asked["options"], asked["address"])),
    )


if __name__ == "__main__":
    main()
