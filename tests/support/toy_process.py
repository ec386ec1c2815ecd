"""Starts and steers `toy_server` processes from tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, TypeVar

import grpc
import psutil
from h2_client import H2Client
from running_server import eventually
from toy_server import Plan

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.board import Board
from server.collector import BoardCollector
from server.master_metrics import MasterMetrics
from server.metrics import COLUMNS, HISTOGRAM_SIZE
from server.plan import encode_plan
from server.process import address_of, reserve_port
from server.settings import Settings
from server.transport import Kind

_SCRIPT = Path(__file__).with_name("toy_server.py")
RETRIEVE = "/retrieval.v1.Retrieval/Retrieve"
SETTINGS = Settings(drain_delay_s=0.0, grace_s=2.0, log_level="debug", max_receive_bytes=64 * 1024)


def ask(country: str = "FR", k: int = 1, padding: int = 0) -> bytes:
    """Encode a request; `padding` makes it so many bytes longer, and a little."""
    return pb.RetrieveRequest(country=country, k=k, profile="p" * padding).SerializeToString()


@dataclass
class ToyServer:
    """One process on `address`, or on a free port of `host`. Ended on leaving the `with` block."""

    transport: Kind
    folder: Path
    name: str = "toy"
    settings: Settings = SETTINGS
    host: str = "127.0.0.1"
    address: str = ""
    _board: Board = field(default_factory=lambda: Board.create(1))

    def __enter__(self) -> Self:
        if not self.address:
            with reserve_port(self.host, 0) as reserved:
                self.address = address_of(self.host, reserved.getsockname()[1])
                return self._start()
        return self._start()

    def _start(self) -> Self:
        self.gate = self.folder / f"{self.name}.gate"
        os.mkfifo(self.gate)
        plan = Plan(self.transport, self.settings, self.address, self.name, self._board.descriptor, self.gate)
        command = [sys.executable, str(_SCRIPT), encode_plan(plan)]
        with (self.folder / f"{self.name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, pass_fds=[self._board.descriptor]
            )
        assert self.process.stdout is not None
        if self.process.stdout.readline().startswith(b"ready"):
            return self
        self.__exit__(None, None, None)
        raise AssertionError(self.log)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self.folder / f"{self.name}.log").read_text(encoding="utf-8")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rpartition(":")[2])

    @property
    def system(self) -> psutil.Process:
        """The process as the kernel sees it."""
        return psutil.Process(self.process.pid)

    def end(self, number: signal.Signals, within_s: float = 10) -> int:
        """Send a signal, and give the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within_s)

    @contextmanager
    def channel(self, *options: tuple[str, object]) -> Iterator[grpc.Channel]:
        """Open a connection of its own."""
        own = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50)]
        with grpc.insecure_channel(self.address, options=[*own, *options]) as channel:
            yield channel

    @contextmanager
    def held(self) -> Iterator["grpc.Future[bytes]"]:
        """Keep the thread that answers calls busy inside the block, with the call that is given."""
        with self.channel() as channel:
            future = channel.unary_unary(RETRIEVE).future(ask("WA"))
            # opening returns once the handler has the other end open, which waits until this end is closed
            gate = os.open(self.gate, os.O_WRONLY)
            try:
                yield future
            finally:
                os.close(gate)
                future.result(timeout=10)

    def hand_over(self, client: H2Client) -> None:
        """Have the held server read what `client` says; grpcio does when it is free again, so its socket has it."""
        if self.transport == "native":
            client.flush()
        else:
            client.send()

    def handled(self) -> Mapping[tuple[str, str], float]:
        """Calls by method and status, as metrics have them."""
        self._wait_until_published()
        return self._values("grpc_server_handled_total", ("grpc_method", "grpc_code"))

    def started(self) -> Mapping[tuple[str, str], float]:
        """Calls by method, begun or ended."""
        self._wait_until_published()
        return self._values("grpc_server_started_total", ("grpc_method", "grpc_service"))

    def observed(self) -> float:
        """How many answers were recorded."""
        self._wait_until_published()
        return sum(
            sample.value
            for metric in BoardCollector(self._board, MasterMetrics()).collect()
            for sample in metric.samples
            if sample.name == "shortlist_stage_seconds_count" and sample.labels["stage"] == "decode"
        )

    def _wait_until_published(self) -> None:
        """What the process has counted shows when it has published twice."""
        before = self._publications()
        eventually(lambda: self._publications() >= before + 2)

    def _publications(self) -> int:
        start = COLUMNS["loop_lag"]
        return sum(self._board.totals()[start : start + HISTOGRAM_SIZE - 1])

    def _values(self, name: str, labels: tuple[str, str]) -> Mapping[tuple[str, str], float]:
        return {
            (sample.labels[labels[0]], sample.labels[labels[1]]): sample.value
            for metric in BoardCollector(self._board, MasterMetrics()).collect()
            for sample in metric.samples
            if sample.name == name and sample.value
        }


_T = TypeVar("_T")
Start: TypeAlias = Callable[..., ToyServer]
Run: TypeAlias = Callable[[Awaitable[_T]], _T]
