"""A real server for tests: its processes, its log, its metrics, and channels to it. Waits on conditions only."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import psutil
from prometheus_client.parser import text_string_to_metric_families

from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1 import retrieval_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")
_LAUNCH = """
import json, pathlib, sys
from server.commands.serve import serve
from server.settings import load_settings
overrides = json.loads(sys.argv[1])
config = overrides.pop("config", None)
sys.exit(serve(load_settings(config and pathlib.Path(config), {}, overrides)))
"""
_POLL_S = 0.02
START_WITHIN_S = 40.0


def eventually(condition: Callable[[], T], *, within_s: float = 20.0) -> T:
    """Return the first true value of `condition`; AssertionError when the deadline passes."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            message = f"not true within {within_s} s; last value {value!r}"
            raise AssertionError(message)
        time.sleep(_POLL_S)


class RunningServer:
    """One server on free ports, stopped on leaving the `with` block.

    Settings are those of `server.settings`; `config` is a settings file.
    """

    def __init__(self, log: Path, **settings: object) -> None:
        self.log_path = log
        self._settings: dict[str, object] = {
            "port": 0,
            "metrics_port": 0,
            "inspector_port": -1,
            "workers": 2,
            "drain_delay_s": 0.0,
            "grace_s": 2.0,
            "log_level": "debug",
            **{name: str(value) if isinstance(value, Path) else value for name, value in settings.items()},
        }

    def __enter__(self) -> Self:
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, json.dumps(self._settings)], stderr=log, cwd=ROOT
            )
        self._tree = psutil.Process(self.process.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        family = self.family() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        _, alive = psutil.wait_procs(family, timeout=15)
        for process in alive:
            process.kill()
        assert not alive, self.log

    @property
    def log(self) -> str:
        """Everything logged so far by all its processes."""
        return self.log_path.read_text(encoding="utf-8")

    def wait_for_log(self, pattern: str, *, within_s: float = START_WITHIN_S, count: int = 1) -> re.Match[str]:
        """Wait until `pattern` is in the log `count` times and give the last match; fail early if the server ended."""

        def found() -> re.Match[str] | None:
            ended = self.process.poll()
            matches = list(re.finditer(pattern, self.log))
            if len(matches) < count and ended is not None:
                message = f"ended with {ended} before {pattern!r} was logged:\n{self.log}"
                raise AssertionError(message)
            return matches[-1] if len(matches) >= count else None

        try:
            return eventually(found, within_s=within_s)
        except AssertionError as error:
            message = f"{pattern!r} was not logged {count} times within {within_s} s:\n{self.log}"
            raise AssertionError(message) from error

    def wait_until_serving(self) -> Self:
        """Wait for the line that says it serves, and for the end of the lobby, which resets connections as it goes."""
        self.wait_for_log(r"serving on ")
        eventually(lambda: not self.has_lobby(), within_s=START_WITHIN_S)
        return self

    def wait_for_exit(self, *, within_s: float = START_WITHIN_S) -> int:
        """Give the exit code once it has ended."""
        return self.process.wait(timeout=within_s)

    @property
    def address(self) -> str:
        """`host:port` it listens on, known before it serves."""
        return self.wait_for_log(r"listening on (\S+),").group(1)

    @property
    def metrics_url(self) -> str:
        """Where it can be scraped."""
        return self.wait_for_log(r"metrics (http[^\s\"]+)").group(1)

    def metrics(self) -> Mapping[tuple[str, ...], float]:
        """Scrape once: values by (name, label value, ...), labels in alphabetical order of their names."""
        with urllib.request.urlopen(self.metrics_url, timeout=5) as reply:  # noqa: S310 - http, ours
            text = reply.read().decode()
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def family(self) -> list[psutil.Process]:
        """All processes below the master."""
        return self._tree.children(recursive=True)

    def generations(self) -> list[psutil.Process]:
        """The running generation processes, without their workers."""
        return [child for child in self._tree.children() if "server.generation" in _command(child)]

    def has_lobby(self) -> bool:
        """Whether the lobby still runs."""
        return any("server.lobby" in _command(child) for child in self._tree.children())

    def workers(self) -> list[psutil.Process]:
        """The forked workers of all generations."""
        return self._forked("sl-worker")

    def judges(self) -> list[psutil.Process]:
        """The forked judges of all generations."""
        return self._forked("sl-judge")

    def _forked(self, name: str) -> list[psutil.Process]:
        children = [child for generation in self.generations() for child in generation.children()]
        return [child for child in children if _name(child).startswith(name)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the master."""
        os.kill(self.process.pid, number)

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """Open a connection of its own: gRPC shares connections between equal channels otherwise."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50)]
        with grpc.insecure_channel(self.address, options=options) as channel:
            yield channel

    @contextmanager
    def stub(self) -> Iterator[retrieval_pb2_grpc.RetrievalStub]:
        """Open a connection of its own for typed calls."""
        with self.channel() as channel:
            yield retrieval_pb2_grpc.RetrievalStub(channel)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:  # it has ended meanwhile
        return ""


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return []


def call_raw(channel: grpc.Channel, raw: bytes, method: str = "Retrieve", timeout: float = 10.0) -> bytes:
    """Send bytes as they are."""
    call = channel.unary_unary(f"/retrieval.v1.Retrieval/{method}")
    reply: bytes = call(raw, timeout=timeout)
    return reply


def request(country: str = "FR", k: int = 10, item_ids: tuple[int, ...] = (7,), **fields: Any) -> pb.RetrieveRequest:  # noqa: ANN401 - any field of the message
    """A good request."""
    history = [pb.Interaction(item_id=item_id, type=pb.INTERACTION_TYPE_VIEW) for item_id in item_ids]
    return pb.RetrieveRequest(country=country, k=k, history=history, **fields)
