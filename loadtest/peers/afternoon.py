"""The afternoon version: no product, but what most teams would write first."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from rich.progress import Progress

from loadtest.peers.afternoon_server import EF_CONSTRUCTION, M
from loadtest.peers.environments import versions_in
from loadtest.peers.peer import RETRIEVAL, AskedByProto, Facts, Place, Serving, Variant, efforts
from loadtest.peers.processes import answers, free_port, started, wait_for

_EFFORTS = efforts(100, 13_000)
_CHOICES = [{"processes": 1}, {"processes": 2}]
_CHUNK = 10_000


class AfternoonPeer(AskedByProto):
    """One module, three libraries."""

    facts = Facts(
        title="the afternoon version",
        licence="its parts: Apache-2.0, MIT",
        packages=("grpcio", "onnxruntime", "hnswlib", "uvloop"),
        start="grpc.aio on uvloop, generated classes, onnxruntime, hnswlib with M 16, ef_construction 200; one or two "
        "processes, each with its own index",
        filters="hnswlib calls a Python function per visited item: tens of times slower; none is written here",
        lacks="no versions, no checks, no reload, no metrics, no limits, no fallback",
    )

    def variants(self, place: Place) -> Sequence[Variant]:
        """Raw inner product, as hnswlib offers it; and the reduction to L2, for who measures recall."""
        del place
        return [Variant(space, "ef", _EFFORTS, _CHOICES) for space in ("ip", "l2")]

    def versions(self, place: Place) -> Mapping[str, str]:
        """Look into this very environment."""
        del place
        return versions_in(Path(sys.executable), self.facts.packages)

    @contextmanager
    def store(self, place: Place, variant: Variant) -> Iterator[Path]:
        """Build the graph, unless it is there."""
        path = place.data / f"afternoon-{variant.name}.bin"
        if not path.exists():
            _build(place, variant.name, path)
        yield path

    @contextmanager
    def serve(
        self, place: Place, variant: Variant, store: Path, effort: int, choice: Mapping[str, Any]
    ) -> Iterator[Serving]:
        """Start the processes on one port."""
        address, log = f"127.0.0.1:{free_port()}", place.data / "afternoon.log"
        asked = {
            "job": str(place.job.directory),
            "graph": str(store),
            "space": variant.name,
            "ef": effort,
            "address": address,
            "processes": choice["processes"],
        }
        with started([sys.executable, "-m", "loadtest.peers.afternoon_server", json.dumps(asked)], log) as process:
            wait_for("the afternoon version", answers(address, RETRIEVAL, place.job), process, log)
            yield Serving(address, [process.pid])


def _build(place: Place, space: str, path: Path) -> None:
    items = np.asarray(place.job.vectors)
    if space == "l2":
        squares = np.einsum("nd,nd->n", items, items)
        items = np.column_stack([items, np.sqrt(np.maximum(squares.max() - squares, 0))])
    graph = hnswlib.Index(space=space, dim=items.shape[1])
    graph.init_index(max_elements=len(items), M=M, ef_construction=EF_CONSTRUCTION)
    with Progress(console=place.console, transient=True) as progress:
        task = progress.add_task(f"building the graph, {space}", total=len(items))
        for start in range(0, len(items), _CHUNK):
            end = min(start + _CHUNK, len(items))
            graph.add_items(items[start:end], place.job.item_ids[start:end], num_threads=os.cpu_count() or 1)
            progress.advance(task, end - start)
    graph.save_index(str(path))
