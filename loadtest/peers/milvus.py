"""Milvus standalone behind our encoder."""

import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from loadtest.peers.environments import python_of, versions_in
from loadtest.peers.fronts import front
from loadtest.peers.peer import AskedByProto, Facts, Place, Serving, Variant, efforts
from loadtest.peers.processes import free_port, run, started, wait_for

_NAME = "milvus"
_PROBES = efforts(1, 512)
_EF = efforts(100, 13_000)
_CHOICES = [{"processes": 1}, {"processes": 2}]
_SMALL = 200_000


@dataclass(frozen=True)
class _Running:
    server: str
    pid: int


class MilvusPeer(AskedByProto):
    """The real Go and C++ server, with etcd, log and storage inside its one process."""

    facts = Facts(
        title="encoder + Milvus standalone",
        licence="Apache-2.0",
        packages=("milvus", "pymilvus"),
        start="milvus-server of PyPI milvus, standalone, storage on local disk; front: grpc.aio, pymilvus' generated "
        "classes over asynchronous channels",
        filters="boolean expressions before the search; long `not in` lists are slow (milvus#20957)",
        lacks="no encoder; index and model are versioned apart; the newest server on PyPI is of 2023",
    )

    def variants(self, place: Place) -> Sequence[Variant]:
        """Its SCANN (inverted lists, 4-bit codes, refined), and HNSW; both on the raw inner product."""
        python_of(place, _NAME)
        return [Variant("scann", "nprobe", _PROBES, _CHOICES), Variant("hnsw", "ef", _EF, _CHOICES)]

    def versions(self, place: Place) -> Mapping[str, str]:
        """Look into its environment."""
        return versions_in(python_of(place, _NAME), self.facts.packages)

    @contextmanager
    def store(self, place: Place, variant: Variant) -> Iterator[_Running]:
        """Start the server, build the collection unless it is there, load it."""
        python, data, port = python_of(place, _NAME), place.data / "milvus", free_port()
        data.mkdir(parents=True, exist_ok=True)
        log, server = data / "server.log", f"127.0.0.1:{port}"
        # it opens some dozen ports of its own beside this one
        command = [python.parent / "milvus-server", "--data", data, "--proxy-port", str(port)]
        with started(command, log, stop=signal.SIGINT) as process:
            wait_for("milvus-server", lambda: _listens(port), process, log, seconds=180)
            job = place.job.directory
            run([python, "-m", "loadtest.peers.stores.load_milvus", job, server, variant.name], shown=True)
            yield _Running(server, process.pid)

    @contextmanager
    def serve(
        self, place: Place, variant: Variant, store: _Running, effort: int, choice: Mapping[str, Any]
    ) -> Iterator[Serving]:
        """Start the front."""
        refined = 1_000 if len(place.job.vectors) <= _SMALL else 2_000
        parameters = {"nprobe": effort, "reorder_k": refined} if variant.name == "scann" else {"ef": effort}
        options = {"server": store.server, "collection": variant.name, "parameters": parameters, "connections": 4}
        with front(place, _NAME, options, choice["processes"]) as serving:
            yield Serving(serving.address, [*serving.pids, store.pid])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
