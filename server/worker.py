"""The process that answers calls: forked from a generation, it shares the loaded bundle copy-on-write.

    open the encoder → warm up → bind → ready → … → drain

gRPC and ONNX Runtime objects do not survive a fork (doc/fork_support.md of grpc), so they are made here, and the
generation imports this module only in the forked process. The port is bound when the first call would be fast.
"""

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from index_store.bundle import Bundle, Country
from index_store.errors import BundleError
from index_store.golden import replay_golden
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.convert import Limits
from server.drain import EndSignals, drain
from server.edge import Edge, observe_answer, retrieval_handler
from server.exit_codes import BUNDLE_REFUSED, OK, WORKER_BOOT
from server.log import set_up_logging
from server.loop import run_and_exit
from server.metrics import WorkerMetrics
from server.process import die_with_parent
from server.reports import Failed, Ready, Refused, Report
from server.retrieval import Retriever
from server.service import GetServingInfo, Retrieve
from server.settings import Settings

_LOG = logging.getLogger(__name__)
_WARM_UP_ROUNDS = 5
_WARM_UP_K = 100
_WARM_UP_HISTORY = 20


@dataclass(frozen=True)
class Worker:
    """Worker `index` of the generation with pid `parent`, which `report` reaches."""

    bundle: Bundle
    settings: Settings
    address: str
    index: int
    parent: int
    metrics: WorkerMetrics
    report: Callable[[Report], None]

    def run(self) -> None:
        """Live until told to end; does not return."""
        set_up_logging(f"worker-{self.index}", self.settings.log_level, self.settings.log_format)
        run_and_exit(self._live())

    async def _live(self) -> int:
        ends = EndSignals()
        ends.install()
        die_with_parent(self.parent)
        try:
            edge = await self._start()
        except BundleError as error:
            self.report(Refused(str(error)))
            return BUNDLE_REFUSED
        except Exception as error:  # whatever it is, the generation must hear of it
            _LOG.exception("cannot start")
            self.report(Failed(f"worker {self.index} cannot start: {error}"))
            return WORKER_BOOT
        self.report(Ready(self.bundle.name, self.bundle.version, self.bundle.format_version, self.bundle.load_ms))
        end = await ends.wait()
        await drain(edge, self.settings, end)
        return OK

    async def _start(self) -> Edge:
        """Open, prove, warm, bind. A bundle whose golden requests get other answers is refused here."""
        encoder = self.bundle.open_led()
        replay_golden(self.bundle, encoder)
        limits = Limits(self.settings.max_k, self.settings.max_history)
        retrieve = Retrieve(Retriever(self.bundle, encoder), self.bundle.version, limits)
        for country in self.bundle.countries.values():
            _warm_up(retrieve, country, limits)
        info = GetServingInfo(self.bundle, round(time.time() * 1000), limits)
        # what exists now lives as long as the process: never scan it again (ray-project/ray#64742)
        gc.collect()
        gc.freeze()
        handlers = {
            "Retrieve": retrieval_handler("Retrieve", retrieve, self.metrics, observe_answer),
            "GetServingInfo": retrieval_handler("GetServingInfo", info, self.metrics),
        }
        edge = Edge(self.settings, handlers)
        await edge.start(self.address, serving=True)
        return edge


def _warm_up(retrieve: Retrieve, country: Country, limits: Limits) -> None:
    """Answer a typical request a few times, bytes to bytes, so that callers do not pay for first times."""
    item_ids = country.catalog.item_ids[: min(_WARM_UP_HISTORY, limits.max_history)]
    raw = pb.RetrieveRequest(
        country=country.code,
        k=min(_WARM_UP_K, limits.max_k),
        exclude_history=True,
        history=[pb.Interaction(item_id=int(item_id)) for item_id in item_ids],
    ).SerializeToString()
    for _ in range(_WARM_UP_ROUNDS):
        query = retrieve.decode(raw)
        retrieve.encode(query, retrieve.call(query))
