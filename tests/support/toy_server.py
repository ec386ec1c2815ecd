"""A server process with either transport and a service that does what its request says; no bundle, no index.

It has the worker's error table, metrics, signals and drain. The country of a Retrieve request says what happens:

    XX → unknown country   ER → a bug   NO → a reply that is no bytes   WA → wait for the gate   other → k candidates

`python toy_server.py PLAN` prints "ready" once it answers and ends with SIGTERM or SIGUSR2.
"""

import asyncio
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.board import Board
from server.drain import EndSignals, drain
from server.log import set_up_logging
from server.loop import run_and_exit
from server.observe import Observer
from server.plan import decode_plan
from server.refusals import UnknownCountryError
from server.settings import Settings
from server.transport import Kind, Many, Served, open_transport
from server.violations import InvalidRequestError, Violation
from server.worker_metrics import WorkerMetrics


class Plan(msgspec.Struct, frozen=True):
    """What the process is told: `board` is the inherited descriptor of the metrics, `gate` a FIFO."""

    transport: Kind
    settings: Settings
    address: str
    name: str
    board: int
    gate: Path


class ToyRetrieve:
    """`Retrieve` as its request wants it. A reply's `unknown_items` says how many calls were answered together."""

    def __init__(self, name: str, gate: Path) -> None:
        self._name = name
        self._gate = gate

    def decode(self, raw: bytes) -> pb.RetrieveRequest:
        """Refuse k = 0, with text that needs escaping."""
        request = pb.RetrieveRequest.FromString(raw)
        if not request.k:
            raise InvalidRequestError([Violation("k", "expected 1 or more, found 0: 100 % déjà vu\n")])
        return request

    def call(self, request: pb.RetrieveRequest) -> pb.RetrieveResponse:
        """Answer one alone."""
        return self.call_many([request])[0]

    def group(self, request: pb.RetrieveRequest) -> str:
        """One country at a time."""
        return request.country

    def call_many(self, requests: Sequence[pb.RetrieveRequest]) -> Sequence[pb.RetrieveResponse]:
        """Answer requests of one country."""
        country = requests[0].country
        if country == "WA":
            self._gate.read_bytes()
        if country == "XX":
            raise UnknownCountryError(country, ["DE", "FR"])
        if country == "ER":
            message = "secret"
            raise RuntimeError(message)
        return [self._reply(request, len(requests)) for request in requests]

    def encode(self, request: pb.RetrieveRequest, answer: pb.RetrieveResponse) -> bytes:
        """Serialise."""
        return cast("bytes", "no bytes") if request.country == "NO" else answer.SerializeToString()

    def _reply(self, request: pb.RetrieveRequest, together: int) -> pb.RetrieveResponse:
        candidates = [pb.Candidate(item_id=number, score=-number) for number in range(request.k)]
        return pb.RetrieveResponse(bundle_version=self._name, candidates=candidates, unknown_items=together)


class ToyInfo:
    """`GetServingInfo`: an empty reply."""

    def decode(self, raw: bytes) -> None:
        """Accept anything."""

    def call(self, request: None) -> None:
        """Do nothing."""

    def encode(self, request: None, answer: None) -> bytes:
        """Say nothing."""
        del request, answer
        return b""


def _observe(metrics: WorkerMetrics, request: pb.RetrieveRequest, answer: pb.RetrieveResponse, *ns: int) -> None:
    del request, answer
    metrics.stages(ns[0], ns[1])


async def live(plan: Plan) -> int:
    """Answer until told to end."""
    ends = EndSignals()
    ends.install()
    retrieve = ToyRetrieve(plan.name, plan.gate)
    served = (
        Served("Retrieve", retrieve, _observe, Many(retrieve.group, retrieve.call_many)),
        Served("GetServingInfo", ToyInfo()),
    )
    observer = Observer(WorkerMetrics(Board(plan.board, 1).slot(0)))
    transport = open_transport(plan.transport, plan.settings, served, observer)
    await transport.start(plan.address, serving=True)
    sys.stdout.write(f"ready after {time.process_time():.2f} s\n")
    sys.stdout.flush()
    publishing = asyncio.create_task(observer.run())
    await drain(transport, plan.settings, await ends.wait())
    publishing.cancel()
    observer.publish()
    return 0


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    told = decode_plan(sys.argv[1], Plan)
    set_up_logging(told.name, told.settings.log_level, told.settings.log_format)
    run_and_exit(live(told))
