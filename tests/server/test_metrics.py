"""Metrics: what a scrape says agrees with the calls that were made."""

import urllib.error
import urllib.request

import grpc
import pytest
from running_server import RunningServer, call_raw, eventually, request

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.metrics import Board, BoardCollector, MasterMetrics, WorkerMetrics

SERVICE = "retrieval.v1.Retrieval"


def test_a_scrape_agrees_with_the_calls(server: RunningServer) -> None:
    """Calls, statuses, stages, fallbacks, items: each series grows by exactly what was done, over all workers."""
    before = server.metrics()
    for _ in range(6):
        with server.stub() as stub:  # new connections, so that both workers get some
            stub.Retrieve(request("FR", 10, (7, 1)))
            stub.Retrieve(request("FR", 5, ()))
            stub.Retrieve(request("DE", 3, (1,)))
            stub.GetServingInfo(pb.GetServingInfoRequest())
        with server.channel() as channel, pytest.raises(grpc.RpcError):
            call_raw(channel, b"")

    def grown(*key: str) -> float:
        return eventually(server.metrics)[key] - before.get(key, 0.0)

    # a counter is written before the reply is sent or, for what an answer was about, right after
    eventually(lambda: grown("shortlist_candidates_total") == 6 * 18)
    assert grown("grpc_server_started_total", "Retrieve", SERVICE) == 24
    assert grown("grpc_server_handled_total", "OK", "Retrieve", SERVICE) == 18
    assert grown("grpc_server_handled_total", "INVALID_ARGUMENT", "Retrieve", SERVICE) == 6
    assert grown("grpc_server_handled_total", "OK", "GetServingInfo", SERVICE) == 6
    assert grown("grpc_server_handling_seconds_count", "Retrieve", SERVICE) == 24
    assert grown("grpc_server_handling_seconds_bucket", "Retrieve", SERVICE, "+Inf") == 24
    assert grown("grpc_server_handling_seconds_sum", "Retrieve", SERVICE) > 0
    for stage in ("decode", "encode", "search", "reply"):
        assert grown("shortlist_stage_seconds_count", stage) == 18
    assert grown("shortlist_fallback_total", "empty_history") == 6
    assert grown("shortlist_fallback_total", "unknown_history") == 6
    assert grown("shortlist_unknown_items_total") == 12
    assert grown("shortlist_history_items_total") == 18


def test_a_scrape_describes_the_bundle_and_the_workers(server: RunningServer) -> None:
    """What is served, by how many, with which indices."""
    metrics = server.metrics()
    assert metrics[("shortlist_bundle_info", "1.0", "tiny", "v1")] == 1
    assert metrics[("shortlist_workers",)] == 2
    assert metrics[("shortlist_country_items", "FR", "hnsw")] == 300
    assert metrics[("shortlist_country_items", "DE", "exact")] == 40
    assert metrics[("shortlist_index_recall", "DE", "led")] == 1
    assert metrics[("shortlist_bundle_loaded_timestamp_seconds",)] > 1.7e9
    assert metrics[("shortlist_reloads_total", "ok")] == 0


def test_only_metrics_are_served(server: RunningServer) -> None:
    """Every other path is 404."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(server.metrics_url.replace("/metrics", "/"), timeout=5)  # noqa: S310 - http, ours
    assert caught.value.code == 404
    caught.value.close()


def test_slots_are_summed_and_another_process_may_write_them() -> None:
    """Two views of one memory file see each other; a new writer goes on where the old one stopped."""
    board = Board.create(4)
    for slot in (0, 3, 3):
        writer = WorkerMetrics(Board(board.descriptor, 4).slot(slot))
        writer.call_started(0)
        writer.call_handled(0, 0, 250_000)
        writer.call_handled(0, 13, 10**12)
    families = {family.name: family for family in BoardCollector(board, MasterMetrics()).collect()}
    (started, _) = families["grpc_server_started"].samples
    assert started.value == 3
    handled = {one.labels["grpc_code"]: one.value for one in families["grpc_server_handled"].samples[:2]}
    assert handled == {"OK": 3, "INTERNAL": 3}
    buckets = {
        one.labels["le"]: one.value
        for one in families["grpc_server_handling_seconds"].samples
        if one.name.endswith("_bucket") and one.labels["grpc_method"] == "Retrieve"
    }
    assert (buckets["0.0002"], buckets["0.0003"], buckets["0.1"], buckets["+Inf"]) == (0, 3, 3, 6)


def test_a_bound_belongs_to_its_bucket() -> None:
    """`le` means less or equal."""
    board = Board.create(1)
    WorkerMetrics(board.slot(0)).call_handled(0, 0, 100_000)
    families = {family.name: family for family in BoardCollector(board, MasterMetrics()).collect()}
    first = families["grpc_server_handling_seconds"].samples[0]
    assert (first.labels["le"], first.value) == ("0.0001", 1)
