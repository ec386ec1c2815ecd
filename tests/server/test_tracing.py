"""Tracing: sampled calls reach a real OTLP endpoint as spans below their caller's, over both transports."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from otlp_collector import CollectedSpan, OtlpCollector
from running_server import RunningServer, call_raw, eventually, request

from protos.retrieval.v1 import retrieval_pb2 as pb

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = ("traceparent", f"00-{TRACE}-{PARENT}-01")
SERVER_SPAN = 2  # SpanKind of the protocol
ERROR = 2


@pytest.fixture
def collector() -> Iterator[OtlpCollector]:
    """One that listens."""
    with OtlpCollector() as running:
        yield running


@pytest.mark.parametrize("transport", ["grpcio", "native"])
def test_a_sampled_call_becomes_spans(
    transport: str, collector: OtlpCollector, full_root: Path, tmp_path: Path
) -> None:
    """A span for the call below its caller's, below it one for each step and source, none for what is not sampled."""
    settings = {"bundle_root": full_root, "bundle_name": "tiny", "config": full_root / "profiles.toml"}
    tracing = {"transport": transport, "tracing_endpoint": collector.endpoint, "workers": 1}
    before = time.time_ns()
    with RunningServer(tmp_path / "log", **settings, **tracing) as server:
        server.wait_until_serving()
        with server.stub() as stub:
            asked = request("FR", 5, (7, 11))
            stub.Retrieve(asked)
            stub.Retrieve(asked, metadata=[("traceparent", f"00-{'a' * 32}-{PARENT}-00")])
            stub.Retrieve(asked, metadata=[("traceparent", "nonsense")])
            stub.Retrieve(asked, metadata=[SAMPLED, ("x-request-id", "r-1")])
            stub.RetrieveBatch(pb.RetrieveBatchRequest(requests=[asked, asked]), metadata=[SAMPLED])
            with pytest.raises(grpc.RpcError):
                stub.Retrieve(request("FR", 0), metadata=[SAMPLED])
        server.process.terminate()  # what is left is sent at the end
        assert server.wait_for_exit() == 0
    calls = [span for span in collector.spans if span.kind == SERVER_SPAN]
    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert [(span.name, span.parent_id) for span in calls] == [
        ("retrieval.v1.Retrieval/Retrieve", PARENT),
        ("retrieval.v1.Retrieval/RetrieveBatch", PARENT),
        ("retrieval.v1.Retrieval/Retrieve", PARENT),
    ]
    single, batch, refused = calls
    assert single.attributes.items() >= {"shortlist.country": "FR", "shortlist.request_id": "r-1"}.items()
    assert single.attributes["rpc.grpc.status_code"] == 0
    assert single.resource["service.name"] == "shortlist"
    sources = ["led", "two_tower", "pdn", "item_interaction", "popular"]
    names = ["decode", *(f"source {name}" for name in sources), "fuse", "reply"]
    steps = _below(single, collector.spans)
    assert [step.name for step in steps] == names
    assert steps[1].attributes["shortlist.source.method"] == "hnsw"
    assert before < single.start_ns == steps[0].start_ns < single.end_ns < time.time_ns()
    assert all(one.end_ns == other.start_ns for one, other in pairwise(steps))
    assert steps[-1].end_ns <= single.end_ns
    assert batch.attributes["shortlist.requests"] == 2
    assert len(_below(batch, collector.spans)) == 2 * len(names) - 2
    assert refused.attributes["rpc.grpc.status_code"] == 3
    assert refused.status != ERROR  # its caller's fault
    assert not _below(refused, collector.spans)


def test_a_share_of_the_others_is_traced(collector: OtlpCollector, root: Path, tmp_path: Path) -> None:
    """With a ratio of 1, every call without a traceparent begins a trace; a collector that is away harms nobody."""
    settings = {"bundle_root": root, "bundle_name": "tiny", "workers": 1, "tracing_ratio": 1.0}
    with RunningServer(tmp_path / "log", **settings, tracing_endpoint=collector.endpoint) as server:
        server.wait_until_serving()
        with server.channel() as channel:
            for _ in range(3):
                call_raw(channel, request().SerializeToString())
        eventually(lambda: len([span for span in collector.spans if not span.parent_id]) == 3)
        assert len({span.trace_id for span in collector.spans}) == 3
        collector._server.shutdown()
        with server.channel() as channel:
            call_raw(channel, request().SerializeToString())


def test_without_an_endpoint_opentelemetry_is_not_loaded(server: RunningServer) -> None:
    """No process maps any file of it; its cost is nothing."""
    for process in server.family():
        assert not [one.path for one in process.memory_maps() if "opentelemetry" in one.path]
        assert not [one.path for one in process.open_files() if "opentelemetry" in one.path]


def _below(call: CollectedSpan, spans: list[CollectedSpan]) -> list[CollectedSpan]:
    return sorted((span for span in spans if span.parent_id == call.span_id), key=lambda span: span.start_ns)
