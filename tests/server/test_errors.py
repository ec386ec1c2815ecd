"""The one place where exceptions become statuses, and the desk around the three steps of an RPC."""

import logging
import time

import grpc
import pytest

from server.board import Board
from server.collector import BoardCollector
from server.desk import Desk
from server.errors import Refusal, translate
from server.master_metrics import MasterMetrics
from server.metrics import CODES
from server.observe import Observer
from server.refusals import UnknownCountryError
from server.request_id import Metadata
from server.transport import Served
from server.worker_metrics import WorkerMetrics


class _Call:
    """A call that keeps how it was ended."""

    raw = b"x"
    taken_ns = 0

    def __init__(self, remaining_s: float = 60) -> None:
        self.deadline_ns = time.perf_counter_ns() + int(remaining_s * 1e9)
        self.replied: bytes | None = None
        self.refused: Refusal | None = None

    def invocation_metadata(self) -> Metadata:
        return [("x-request-id", "r-7")]

    def reply(self, message: bytes) -> None:
        self.replied = message

    def refuse(self, refusal: Refusal) -> None:
        self.refused = refusal


class _Rpc:
    """An RPC whose work fails as it is told to, and that remembers what was called."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.called = False

    def decode(self, raw: bytes) -> bytes:
        return raw

    def call(self, request: bytes) -> bytes:
        self.called = True
        if self._error:
            raise self._error
        return request

    def encode(self, request: bytes, answer: bytes) -> bytes:
        return request + answer


def _handled(board: Board) -> dict[str, float]:
    (family,) = [one for one in BoardCollector(board, MasterMetrics()).collect() if one.name == "grpc_server_handled"]
    return {
        sample.labels["grpc_code"]: sample.value
        for sample in family.samples
        if sample.labels["grpc_method"] == "Retrieve" and sample.value
    }


def _run(rpc: _Rpc, call: _Call) -> tuple[bytes | None, dict[str, float]]:
    board = Board.create(1)
    observer = Observer(WorkerMetrics(board.slot(0)))
    Desk(Served("Retrieve", rpc), observer).answer([call])
    observer.publish()
    return call.replied, _handled(board)


def test_a_reply_is_counted_as_ok() -> None:
    """Decode, call, encode, in this order."""
    assert _run(_Rpc(), _Call()) == (b"xx", {"OK": 1})


def test_a_bug_is_internal_and_tells_the_caller_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """INTERNAL with a constant text for the caller, the traceback for the log."""
    call = _Call()
    with caplog.at_level(logging.ERROR):
        assert _run(_Rpc(ValueError("/secret/path")), call) == (None, {"INTERNAL": 1})
    assert call.refused == Refusal(grpc.StatusCode.INTERNAL, "internal error", (("x-request-id", "r-7"),))
    assert "/secret/path" in caplog.text
    assert "Traceback" in caplog.text


def test_nothing_is_done_after_the_deadline() -> None:
    """A call whose time is up is refused before the work."""
    rpc, call = _Rpc(), _Call(remaining_s=-0.001)
    assert _run(rpc, call) == (None, {"DEADLINE_EXCEEDED": 1})
    assert not rpc.called
    assert call.refused is not None
    assert call.refused.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_at_most_ten_countries_are_listed() -> None:
    """The text of NOT_FOUND stays short."""
    refusal = translate(UnknownCountryError("ZZ", [f"C{number:02d}" for number in range(12)]))
    assert refusal.code == grpc.StatusCode.NOT_FOUND
    assert refusal.text.endswith("C08, C09 and 2 more")


def test_the_names_of_codes_are_those_of_grpc() -> None:
    """The master writes them out because it must not import grpc."""
    assert [code.name for code in sorted(grpc.StatusCode, key=lambda code: code.value[0])] == list(CODES)
