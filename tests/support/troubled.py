"""One healthy server and five with real faults, under load, for Prometheus to look at.

healthy   every source, every method called, and one reload refused in the end
troubled  an old bundle with worse graphs than it says and without a source of the profile; more callers than it takes,
          items that it does not know, and its worker stopped again and again, as a CPU quota would stop it
crashing  its workers are killed
slow      its worker runs for a moment at a time, as under a small CPU quota, and is asked for reasons, the longest work
unjudged  its judge is stopped once it has judged something
lost      its first bundle never becomes ready; then its master is killed
"""

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import psutil
from full_requests import asked, history_of
from running_server import RunningServer, eventually

from index_store.content import BundleContent
from index_store.location import CURRENT_NAME
from index_store.publish import publish
from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub
from tiny_bundle import POLICY, tiny_content
from tiny_sources import full_content
from worsened import publish_worsened

EAGER = {"recall_samples_per_s": 1000.0, "recall_cpu_share": 1.0}
LACKING = '[profiles.default]\nsources = [{ name = "led", quota = 20 }, { name = "pdn" }]\n'
LONG_AGO_MS = 1_700_000_000_000
STOPPED_S, RUNNING_S = 0.12, 0.02
# so short a run that no call ends in the one in which it began: how quick the machine is does not matter
QUOTA = {"stopped_s": 0.03, "running_s": 0.001}
Step = Callable[[], None]


@dataclass(frozen=True)
class Shop:
    """The servers."""

    healthy: RunningServer
    troubled: RunningServer
    crashing: RunningServer
    slow: RunningServer
    unjudged: RunningServer
    lost: RunningServer

    def jobs(self) -> dict[str, list[str]]:
        """What Prometheus scrapes: the healthy one alone, and beside the others in the job where the faults are."""

        def targets(*servers: RunningServer) -> list[str]:
            return [server.metrics_url.split("/")[2] for server in servers]

        others = targets(self.healthy, self.troubled, self.crashing, self.lost)
        # its own job: beside the quick answers of others, how many are slow would depend on the machine
        alone = {"shortlist-slow": targets(self.slow), "shortlist-unjudged": targets(self.unjudged)}
        return {"shortlist": others[:1], "shortlist-troubled": others, **alone}


@contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    """Start all six and keep them under load inside the block."""
    content, lacking = full_content(1), tiny_content(1)
    publish(content, root=folder / "full", name="tiny", version="v1", policy=POLICY)
    publish(lacking, root=folder / "good", name="tiny", version="v1", policy=POLICY)
    publish_worsened(folder / "worse", lacking, created_ms=LONG_AGO_MS)
    (folder / "lacking.toml").write_text(LACKING)
    with ExitStack() as stack:

        def start(name: str, root: str, **settings: object) -> RunningServer:
            options = {"bundle_root": folder / root, "bundle_name": "tiny", "workers": 1, **settings}
            return stack.enter_context(RunningServer(folder / f"{name}.log", **options))

        lost = start("lost", "good")
        (generation,) = eventually(lost.generations)
        generation.suspend()
        stack.callback(_end, generation)
        healthy = start("healthy", "full", **EAGER)
        lacks = {"config": folder / "lacking.toml", "max_concurrent_rpcs": 2}
        troubled = start("troubled", "worse", **lacks, **EAGER)
        crashing = start("crashing", "good", workers=4)
        slow = start("slow", "full")
        unjudged = start("unjudged", "good", **EAGER)
        servers = Shop(*(each.wait_until_serving() for each in (healthy, troubled, crashing, slow, unjudged)), lost)
        stack.enter_context(_load(servers, content, lacking))
        yield servers


def refuse_a_reload(server: RunningServer, folder: Path) -> None:
    """Point the healthy one at a version that is not there: it is refused, and the old one goes on."""
    (folder / "full" / "tiny" / CURRENT_NAME).write_text("v9\n")
    server.signal(signal.SIGHUP)


def kill_workers(server: RunningServer) -> None:
    """Kill all of its workers at once, as the kernel does where memory runs out."""
    for worker in eventually(lambda: workers if len(workers := server.workers()) == 4 else []):
        worker.kill()


def stop_judging(server: RunningServer) -> None:
    """Let its judge get no processor any more: it runs only when nobody else wants one."""
    for judge in eventually(server.judges):
        judge.suspend()


def kill_master(server: RunningServer) -> None:
    """The whole container is gone; what it left is ended by the one who started it."""
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()


def _end(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


@contextmanager
def _load(servers: Shop, content: BundleContent, lacking: BundleContent) -> Iterator[None]:
    (worker,), (rationed,) = servers.troubled.workers(), servers.slow.workers()
    ended = threading.Event()
    crowd = [partial(_known, stub, lacking) for stub in _stubs(servers.troubled, 6)]
    steps: list[tuple[Step, float]] = [
        (_visits(next(_stubs(servers.healthy, 1)), content), 0.03),
        (_strangers(next(_stubs(servers.troubled, 1))), 0.02),
        (lambda: _stop_for_a_moment(worker, ended, STOPPED_S), RUNNING_S),
        (_reasons(next(_stubs(servers.slow, 1)), content), 0.02),
        (lambda: _stop_for_a_moment(rationed, ended, QUOTA["stopped_s"]), QUOTA["running_s"]),
        (partial(_known, next(_stubs(servers.unjudged, 1)), lacking), 0.05),
        *((step, 0.02) for step in crowd),
    ]
    threads = [threading.Thread(target=_repeat, args=(step, pause_s, ended)) for step, pause_s in steps]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _repeat(step: Step, pause_s: float, ended: threading.Event) -> None:
    while not ended.wait(pause_s):
        try:
            step()
        except grpc.RpcError:  # some of these calls are made to fail
            continue


def _stubs(server: RunningServer, count: int) -> Iterator[RetrievalStub]:
    for _ in range(count):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 100)]
        yield RetrievalStub(grpc.insecure_channel(server.address, options=options))


def _visits(stub: RetrievalStub, content: BundleContent) -> Step:
    """Everything that can be asked of the healthy one, in turns."""
    country = content.countries["FR"]
    american = history_of(content.countries["US"], 4, 8, 16, 32)
    requests = [
        asked(country),
        asked(country, profile="default", explain=True),
        asked(
            country,
            country="US",
            history=[pb.Interaction(item_id=1), *american],
        ),
        asked(country, country="DE", history=[]),
        asked(country, filters=pb.Filters(excluded_item_ids=[1, 2])),
        asked(country, history=[pb.Interaction(item_id=int(item)) for item in country.item_ids[:9]]),
    ]
    item = pb.ItemRef(item_id=int(country.item_ids[5]))
    calls: Sequence[Step] = [
        *(partial(stub.Retrieve, request, timeout=5) for request in requests),
        lambda: stub.RetrieveBatch(pb.RetrieveBatchRequest(requests=requests), timeout=5),
        lambda: stub.SimilarItems(pb.SimilarItemsRequest(country="FR", item=item, k=5), timeout=5),
        lambda: stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=5),
    ]
    turns = itertools.cycle(calls)

    def next_one() -> None:
        next(turns)()

    return next_one


def _known(stub: RetrievalStub, content: BundleContent) -> None:
    items = content.countries["FR"].item_ids
    history = [pb.Interaction(item_id=int(item)) for item in items[:3]]
    stub.Retrieve(pb.RetrieveRequest(country="FR", k=20, history=history), timeout=5)


def _strangers(stub: RetrievalStub) -> Step:
    history = [pb.Interaction(item_id=1_000_000 + place) for place in range(60)]
    return lambda: stub.Retrieve(pb.RetrieveRequest(country="FR", k=20, history=history), timeout=5)


def _reasons(stub: RetrievalStub, content: BundleContent) -> Step:
    country = content.countries["FR"]
    history = [pb.Interaction(item_id=int(item), type=pb.INTERACTION_TYPE_VIEW) for item in country.item_ids[:50]]
    return lambda: stub.Retrieve(
        pb.RetrieveRequest(country="FR", k=100, history=history, explain=True, include_item_details=True), timeout=20
    )


def _stop_for_a_moment(worker: psutil.Process, ended: threading.Event, stopped_s: float) -> None:
    worker.suspend()
    ended.wait(stopped_s)
    worker.resume()
