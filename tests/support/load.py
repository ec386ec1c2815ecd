"""Clients that call a server without a break, each on its own connection, and remember how every call ended."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from running_server import RunningServer, eventually, request

from protos.retrieval.v1 import retrieval_pb2 as pb

# The client's part in a hand-over: a call that meets a closing connection was not begun, and is sent again. gRPC says
# UNAVAILABLE or, when the call met the closing server itself, CANCELLED (grpc/grpc#41785).
RETRY = """{"methodConfig": [{"name": [{"service": "retrieval.v1.Retrieval"}], "retryPolicy": {
"maxAttempts": 5,
"initialBackoff": "0.05s", "maxBackoff": "0.5s", "backoffMultiplier": 2,
"retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]}}]}"""


@dataclass
class Client:
    """What one connection saw, in order: "OK" or the name of a status code, and the bundle versions."""

    outcomes: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)


@contextmanager
def load(server: RunningServer, clients: int = 8, *, retry: bool = False) -> Iterator[list[Client]]:
    """Keep `clients` connections busy inside the block; it begins when every one has had an answer."""
    stop = threading.Event()
    seen = [Client() for _ in range(clients)]
    address = server.address
    threads = [
        threading.Thread(target=_hammer, args=(address, client, stop), kwargs={"retry": retry}) for client in seen
    ]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: all("OK" in client.outcomes for client in seen))
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _hammer(address: str, client: Client, stop: threading.Event, *, retry: bool) -> None:
    options: list[tuple[str, object]] = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
    ]
    if retry:
        options.append(("grpc.service_config", RETRY))
    raw = request().SerializeToString()
    with grpc.insecure_channel(address, options=options) as channel:
        call = channel.unary_unary("/retrieval.v1.Retrieval/Retrieve")
        while not stop.wait(0.002):
            try:
                reply = pb.RetrieveResponse.FromString(call(raw, timeout=10))
                client.versions.append(reply.bundle_version)
                client.outcomes.append("OK")
            except grpc.RpcError as error:
                client.outcomes.append(error.code().name)


def outcomes(clients: list[Client]) -> set[str]:
    """All the different ways calls ended."""
    return {outcome for client in clients for outcome in client.outcomes}
