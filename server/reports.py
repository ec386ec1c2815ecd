"""What processes tell their parent, as JSON lines through a pipe: worker → generation → master."""

import os
from typing import TypeAlias

import msgspec

from server.text import encodable


class IndexReport(msgspec.Struct, frozen=True):
    """One index; fields as in `server.inventory.IndexFacts`."""

    source: str
    type: str
    engine: str
    recall: float
    recall_k: int = 0
    recall_target: float = 0.0
    space: str = ""
    ef: int = 0


class CountryReport(msgspec.Struct, frozen=True):
    """One country as the log and the metrics show it."""

    code: str
    items: int
    indices: tuple[IndexReport, ...] = ()


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The process serves. A worker sends it without countries."""

    name: str
    version: str
    format_version: str
    load_ms: int
    countries: tuple[CountryReport, ...] = ()
    created_ms: int = 0


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The bundle is at fault; `message` names the error and its rule. The sender ends."""

    message: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The sender could not start for another reason, and ends."""

    message: str


class WorkerLost(msgspec.Struct, frozen=True, tag="worker_lost"):
    """A worker died and is being replaced. `reason` is its signal or exit code in words."""

    index: int
    pid: int
    reason: str


class Workers(msgspec.Struct, frozen=True, tag="workers"):
    """How many workers are ready now."""

    ready: int


class SourceRecall(msgspec.Struct, frozen=True):
    """How much of the exact answer one source gave: over `samples` requests, the older the less."""

    source: str
    recall: float
    samples: float


class Judged(msgspec.Struct, frozen=True, tag="judged"):
    """A judge compared one request of `country` with exact search; no sources where it failed."""

    country: str
    sources: tuple[SourceRecall, ...] = ()
    failed: bool = False


Report: TypeAlias = Ready | Refused | Failed | WorkerLost | Workers | Judged
_DECODER = msgspec.json.Decoder(Report)


def send(descriptor: int, report: Report) -> None:
    """Write one report; a parent that is gone is no reason to fail, its child ends by itself."""
    line = msgspec.json.encode(_encodable(report)) + b"\n"
    try:
        while line:
            line = line[os.write(descriptor, line) :]
    except BrokenPipeError:
        pass


def _encodable(report: Report) -> Report:
    """Make every text UTF-8: one may quote the name of a file, which can be any bytes, and must arrive all the same."""
    values = ((name, getattr(report, name)) for name in report.__struct_fields__)
    texts = {name: encodable(value) for name, value in values if isinstance(value, str)}
    return msgspec.structs.replace(report, **texts)


class ReportReader:
    """The parent's end of the pipe. Reads never block."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rest = b""
        os.set_blocking(descriptor, False)

    def read(self) -> tuple[list[Report], bool]:
        """Give the complete reports that have arrived, and whether the other end is closed."""
        closed = False
        while True:
            try:
                chunk = os.read(self.descriptor, 65536)
            except BlockingIOError:
                break
            if not chunk:
                closed = True
                break
            self._rest += chunk
        *lines, self._rest = self._rest.split(b"\n")
        return [_DECODER.decode(line) for line in lines], closed

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)
