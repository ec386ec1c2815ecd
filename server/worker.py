"""The process that answers calls: forked from a generation, it shares the loaded bundle copy-on-write.

    open the encoder → warm up → bind → ready → … → drain

gRPC and ONNX Runtime objects do not survive a fork (doc/fork_support.md of grpc), so they are made here, and the
generation imports this module only in the forked process. The port is bound when the first call would be fast.
"""

import asyncio
import gc
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from index_store.bundle import Bundle
from index_store.errors import BundleError
from index_store.golden import replay_golden
from models.encoder import OnnxEncoder
from server.drain import EndSignals, drain
from server.exit_codes import BUNDLE_REFUSED, OK, WORKER_BOOT
from server.limits import Limits
from server.log import set_up_logging
from server.loop import run_and_exit
from server.observe import Observer, Watcher, record_answer, record_batch, record_similar
from server.process import die_with_parent
from server.profiles import DEFAULT_PROFILE
from server.query import Query
from server.recall_sample import RecallSampler
from server.reports import Failed, Ready, Refused, Report
from server.retrieval import Retriever, built_in_profile
from server.service import GetServingInfo, Retrieve, RetrieveBatch, SimilarItems
from server.serving_info import encode_info, feature_kinds
from server.settings import Settings
from server.slow_log import SlowLog
from server.transport import Many, Served, Transport, choose, open_transport
from server.usual import Usual
from server.warm_up import warm_up
from server.worker_metrics import WorkerMetrics

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Worker:
    """Worker `index` of the generation with pid `parent`, which `report` reaches; its judge reads `samples`."""

    bundle: Bundle
    settings: Settings
    address: str
    index: int
    parent: int
    metrics: WorkerMetrics
    samples: socket.socket | None
    report: Callable[[Report], None]

    def run(self) -> None:
        """Live until told to end; does not return."""
        set_up_logging(f"worker-{self.index}", self.settings.log_level, self.settings.log_format)
        run_and_exit(self._live())

    async def _live(self) -> int:
        ends = EndSignals()
        ends.install()
        die_with_parent(self.parent)
        observer = Observer(self.metrics, self._watchers())
        try:
            edge = await self._start(observer)
        except BundleError as error:
            self.report(Refused(str(error)))
            return BUNDLE_REFUSED
        except Exception as error:  # whatever it is, the generation must hear of it
            _LOG.exception("cannot start")
            self.report(Failed(f"worker {self.index} cannot start: {error}"))
            return WORKER_BOOT
        self.report(Ready(self.bundle.name, self.bundle.version, self.bundle.format_version, self.bundle.load_ms))
        publishing = asyncio.create_task(observer.run())
        end = await ends.wait()
        await drain(edge, self.settings, end)
        publishing.cancel()
        observer.close()
        return OK

    def _watchers(self) -> Sequence[Watcher]:
        watchers: list[Watcher] = []
        settings = self.settings
        if settings.log_slow_ms:
            watchers.append(SlowLog(settings.log_slow_ms, self.metrics))
        if settings.tracing_endpoint:
            # of an optional extra, and not wanted without
            from server.tracing import Tracer  # noqa: PLC0415

            self_name = f"{socket.gethostname()}/worker-{self.index}"
            tracer = Tracer(
                settings.tracing_endpoint, settings.tracing_ratio, instance=self_name, version=self.bundle.version
            )
            watchers.append(tracer)
        if self.samples is not None:
            per_s = settings.recall_samples_per_s / settings.worker_count
            watchers.append(RecallSampler(self.samples, per_s, self.metrics))
        return watchers

    async def _start(self, observer: Observer) -> Transport:
        """Open, prove, warm, bind. A bundle whose golden requests get other answers is refused here."""
        encoders = self.bundle.open_encoders()
        replay_golden(self.bundle, encoders)
        served = self._served(encoders)
        # what exists now lives as long as the process: never scan it again (ray-project/ray#64742)
        gc.collect()
        gc.freeze()
        kind = choose(self.settings.transport)
        transport = open_transport(kind, self.settings, served, observer)
        await transport.start(self.address, serving=True)
        _LOG.debug("serving by the %s transport", kind)
        return transport

    def _served(self, encoders: Mapping[str, OnnxEncoder]) -> Sequence[Served[Any, Any]]:
        """Make the methods of the service, warm."""
        settings, bundle = self.settings, self.bundle
        limits = Limits(settings.max_k, settings.max_history, settings.max_excluded, settings.max_batch)
        profiles = {DEFAULT_PROFILE: built_in_profile(bundle.sources), **settings.profiles}
        retriever = Retriever(bundle, encoders, profiles, self._fallback_country())
        service = retriever, bundle.version, limits
        retrieve, batch, similar = Retrieve(*service), RetrieveBatch(*service), SimilarItems(*service)
        warm_up(bundle, profiles, limits, retrieve, similar)
        loaded_ms = round(time.time() * 1000)
        info = GetServingInfo(encode_info(bundle, feature_kinds(encoders), profiles, limits, loaded_ms), limits)
        return (
            Served("Retrieve", retrieve, record_answer, Many(_group, retriever.answer_batch), Usual(*service)),
            Served("RetrieveBatch", batch, record_batch),
            Served("SimilarItems", similar, record_similar),
            Served("GetServingInfo", info),
        )

    def _fallback_country(self) -> str | None:
        wanted = self.settings.fallback_country
        if wanted and wanted not in self.bundle.countries:
            _LOG.warning("the bundle does not have the fallback country %s: unknown countries get NOT_FOUND", wanted)
        return wanted or None


def _group(query: Query) -> tuple[str, str]:
    """Say which waiting queries share their passes over the sources."""
    return query.country, query.profile
