"""Triton hosting our encoder and index, by PyTriton."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from loadtest.peers import kserve
from loadtest.peers.bundle import PERCENTS, BundleStore, published
from loadtest.peers.environments import python_of, versions_in
from loadtest.peers.job import Job
from loadtest.peers.peer import Answers, Facts, Place, Serving, Variant, Wire
from loadtest.peers.processes import answers, free_port, run, started, wait_for

_NAME = "triton"
_CHOICES = [{"instances": 1}, {"instances": 2}]
# PyTriton's Python backend does not start under other builds of 3.11 (RLock without _recursion_count)
_INTERPRETER = "/usr/bin/python3"


class TritonPeer(BundleStore):
    """Payloads are KServe v2 messages, not the Retrieval proto: Triton knows nothing else."""

    facts = Facts(
        title="Triton hosting encoder and index",
        licence="PyTriton Apache-2.0, Triton BSD-3-Clause",
        packages=("nvidia-pytriton", "tritonclient", "numpy"),
        start="Triton of PyPI nvidia-pytriton, on CPU, under Debian's python3; a Python model that loads Shortlist's "
        "bundle; KServe v2 ModelInfer with raw tensors",
        filters="what one writes",
        lacks="everything but hosting: each instance loads its own index; tensors instead of a domain API; numpy 1 in "
        "its environment",
    )

    def variants(self, place: Place) -> Sequence[Variant]:
        """The same bundles as Shortlist's."""
        self._python(place)
        return [Variant("bundle", "recall %", PERCENTS, _CHOICES)]

    def versions(self, place: Place) -> Mapping[str, str]:
        """Look into its environment."""
        return versions_in(self._python(place), self.facts.packages)

    def wire_in(self, place: Place) -> Wire:
        """Encode and decode with tritonclient, in its environment."""
        python = self._python(place)

        def encode(job: Job, users: Sequence[int]) -> Sequence[bytes]:
            with TemporaryDirectory() as folder:
                source, result = Path(folder, "users.npy"), Path(folder, "payloads")
                np.save(source, np.array(users))
                run([python, "-m", "loadtest.peers.kserve", "encode", job.directory, source, result])
                return kserve.read_messages(result)

        def decode(replies: Sequence[bytes]) -> Answers:
            with TemporaryDirectory() as folder:
                source, result = Path(folder, "replies"), Path(folder, "answers.npz")
                kserve.write_messages(source, replies)
                run([python, "-m", "loadtest.peers.kserve", "decode", source, result])
                found = np.load(result)
                return list(found["ids"]), list(found["scores"])

        return Wire(kserve.METHOD, encode, decode)

    @contextmanager
    def serve(
        self, place: Place, variant: Variant, store: None, effort: int, choice: Mapping[str, Any]
    ) -> Iterator[Serving]:
        """Start Triton and the model's processes."""
        del variant, store
        port, log = free_port(), place.data / "triton.log"
        asked = {
            "bundle": str(published(place, effort)),
            "instances": choice["instances"],
            "grpc_port": port,
            "http_port": free_port(),
            "metrics_port": free_port(),
        }
        address = f"127.0.0.1:{port}"
        command = [self._python(place), "-m", "loadtest.peers.triton_server", json.dumps(asked)]
        with started(command, log) as process:
            wait_for("Triton", answers(address, self.wire_in(place), place.job), process, log, seconds=120)
            yield Serving(address, [process.pid])

    def _python(self, place: Place) -> Path:
        return python_of(place, _NAME, interpreter=_INTERPRETER, constrained=False)
