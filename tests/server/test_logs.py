"""The log: one object per line, request ids, and slow calls with where their time went."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import pytest
from running_server import RunningServer, eventually, request

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.board import Board
from server.observe import Observed
from server.slow_log import SlowLog
from server.worker_metrics import WorkerMetrics

Start = Callable[..., RunningServer]
SECOND = 10**9


class _Origin:
    """A call without metadata."""

    def invocation_metadata(self) -> None:
        return None


def _lines(server: RunningServer, message: str) -> list[Mapping[str, Any]]:
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == message]


@pytest.mark.parametrize("transport", ["grpcio", "native"])
def test_a_slow_call_is_logged_with_its_stages(start: Start, transport: str) -> None:
    """Who asked what, by the caller's request id or a new one, and the time of every step and source."""
    with start(workers=1, transport=transport, log_format="json", log_slow_ms=0.001) as server:
        server.wait_until_serving()
        with server.stub() as stub:
            stub.Retrieve(request("FR", 5, (7, 1)), metadata=[("x-request-id", "r-42")])
            stub.RetrieveBatch(pb.RetrieveBatchRequest(requests=[request(k=3)] * 5))
            stub.GetServingInfo(pb.GetServingInfoRequest())
            with pytest.raises(grpc.RpcError):
                stub.Retrieve(request("ZZ"), metadata=[("x-request-id", "x" * 500)])
        eventually(lambda: len(_lines(server, "slow call")) == 4)
        single, batch, info, refused = _lines(server, "slow call")
        assert single.items() >= {"request_id": "r-42", "method": "Retrieve", "code": "OK", "country": "FR"}.items()
        assert single.items() >= {"k": 5, "history": 2, "fallback": "none", "role": "worker-0"}.items()
        (led,) = single["sources"]
        assert led.items() >= {"source": "led", "method": "hnsw", "plan": "none", "degradation": "none"}.items()
        stages_ms = single["decode_ms"] + single["reply_ms"] + (single["fuse_us"] + led["search_us"]) / 1000
        assert 0 < stages_ms <= single["elapsed_ms"]
        assert (batch["requests"], len(batch["slowest"])) == (5, 3)
        assert len(info["request_id"]) == 16
        assert refused.items() >= {"code": "NOT_FOUND", "request_id": "x" * 128}.items()
        eventually(lambda: server.metrics()[("shortlist_slow_requests_total",)] == 4)


def test_lines_are_bounded_and_none_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """Ten at once, then one a second; the next line says how many were left out, and all are counted."""
    board = Board.create(1)
    metrics = WorkerMetrics(board.slot(0))
    log = SlowLog(1.0, metrics)
    assert not log.wants(_Origin(), 999_999, 0)
    for number in range(50):
        log.look(_call(100 * SECOND + number))
    assert len(caplog.records) == 10
    log.look(_call(103 * SECOND))
    assert [record.fields.get("left_out_before", 0) for record in caplog.records] == [0] * 10 + [40]  # type: ignore[attr-defined]
    for number in range(5):
        log.look(_call(103 * SECOND + number))
    assert len(caplog.records) == 13


def _call(ended_ns: int) -> Observed[None, None]:
    return Observed(1, _Origin(), None, None, ended_ns - SECOND, 0, 0, ended_ns)


def test_no_call_is_slow_where_none_is_to_be(start: Start) -> None:
    """0 turns it off."""
    with start(workers=1, log_slow_ms=0.0) as server:
        server.wait_until_serving()
        with server.stub() as stub:
            stub.Retrieve(request())
        eventually(lambda: server.metrics()[("shortlist_retrievals_total", "FR")] == 1)
        assert server.metrics()[("shortlist_slow_requests_total",)] == 0
        assert "slow call" not in server.log
