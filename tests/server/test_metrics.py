"""Metrics: what a scrape says agrees with the calls that were made."""

import gzip
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message

import grpc
import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from running_server import RunningServer, call_raw, eventually, request

from index_store.content import BundleContent
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.answer import Degradation, Fallback, SourceReport
from server.board import Board
from server.collector import BoardCollector
from server.master_metrics import MasterMetrics
from server.metrics import CODES, DEGRADATIONS, FALLBACKS, METHODS, PLANS, SOURCES
from server.worker_metrics import WorkerMetrics

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

    def all_grown(name: str) -> float:
        return sum(value - before.get(key, 0.0) for key, value in server.metrics().items() if key[0] == name)

    # counts show a tenth of a second after the reply
    eventually(lambda: all_grown("grpc_server_handled_total") == 6 * 5)
    assert grown("grpc_server_started_total", "Retrieve", SERVICE) == 24
    assert grown("grpc_server_handled_total", "OK", "Retrieve", SERVICE) == 18
    assert grown("grpc_server_handled_total", "INVALID_ARGUMENT", "Retrieve", SERVICE) == 6
    assert grown("grpc_server_handled_total", "OK", "GetServingInfo", SERVICE) == 6
    assert grown("grpc_server_handling_seconds_count", "Retrieve", SERVICE) == 24
    assert grown("grpc_server_handling_seconds_bucket", "Retrieve", SERVICE, "+Inf") == 24
    assert grown("grpc_server_handling_seconds_sum", "Retrieve", SERVICE) > 0
    # labels in alphabetical order of their names: source, stage
    for place in [("", "decode"), ("", "fuse"), ("", "reply"), ("led", "encode"), ("led", "search")]:
        assert grown("shortlist_stage_seconds_count", *place) == 18
    assert grown("shortlist_stage_seconds_count", "pdn", "search") == 0
    assert grown("shortlist_plans_total", "none", "led") == 18
    assert grown("shortlist_fallback_total", "FR", "empty_history") == 6
    assert grown("shortlist_fallback_total", "DE", "unknown_history") == 6
    assert all_grown("shortlist_candidates_total") == 6 * 18
    assert grown("shortlist_retrievals_total", "FR") == 12
    assert grown("shortlist_retrieval_seconds_count", "DE") == 6
    assert grown("shortlist_retrievals_total", "US") == 0
    assert all_grown("shortlist_unknown_items_total") == 12
    assert all_grown("shortlist_history_items_total") == 18
    assert grown("shortlist_history_length_count") == 18
    assert [grown("shortlist_history_length_bucket", bound) for bound in ("0.0", "1.0", "2.0")] == [6, 12, 18]
    # FR knows one of two, DE none
    assert [grown("shortlist_unknown_item_ratio_bucket", bound) for bound in ("0.25", "0.5", "0.9", "1.0")] == [
        0,
        6,
        6,
        12,
    ]


def test_a_scrape_describes_the_bundle_and_the_workers(server: RunningServer) -> None:
    """What is served, by how many, with which indices."""
    metrics = server.metrics()
    assert metrics[("shortlist_bundle_info", "1.2", "tiny", "v1")] == 1
    assert metrics[("shortlist_workers",)] == 2
    assert metrics[("shortlist_country_items", "FR")] == 300
    assert metrics[("shortlist_country_items", "DE")] == 40
    assert metrics[("shortlist_index_recall", "DE", "exact", "led", "")] == 1
    assert metrics[("shortlist_index_recall", "FR", "hnsw", "led", "")] >= 0.95
    assert metrics[("shortlist_bundle_loaded_timestamp_seconds",)] > 1.7e9
    assert metrics[("shortlist_reloads_total", "ok")] == 0


def test_a_scrape_tells_what_each_source_did(full_server: RunningServer, full_content: BundleContent) -> None:
    """Sources by name, plans, degradations, fallbacks, back-filled candidates and batch sizes; indices by type."""
    before = full_server.metrics()
    history = [pb.Interaction(item_id=7, type=pb.INTERACTION_TYPE_VIEW)]
    filtered = pb.Filters(merchants=["merchant-3"])
    asked = [
        pb.RetrieveRequest(country="FR", k=300, profile="pdn", history=history),
        pb.RetrieveRequest(country="FR", k=5, history=history, filters=filtered),
        pb.RetrieveRequest(country="FR", k=5),
    ]
    with full_server.stub() as stub:
        replies = stub.RetrieveBatch(pb.RetrieveBatchRequest(requests=asked)).responses
        items = {"FR": 7, "ZZ": int(full_content.countries["US"].item_ids[4])}
        similar = [
            stub.SimilarItems(pb.SimilarItemsRequest(country=country, item=pb.ItemRef(item_id=item), k=3))
            for country, item in items.items()
        ]

    def grown(*key: str) -> float:
        return eventually(full_server.metrics)[key] - before.get(key, 0.0)

    eventually(lambda: grown("shortlist_stage_seconds_count", "", "reply") == 3)
    assert grown("shortlist_fallback_total", "US", "country") == 1
    assert grown("shortlist_candidates_total", "FR") == sum(len(reply.candidates) for reply in [*replies, similar[0]])
    assert grown("shortlist_candidates_total", "US") == len(similar[1].candidates)
    assert grown("shortlist_backfilled_candidates_total", "FR") == replies[0].backfilled > 0
    assert grown("shortlist_fallback_total", "FR", "backfilled") == 1
    assert grown("shortlist_fallback_total", "FR", "empty_history") == 1
    assert grown("shortlist_degradations_total", "empty_history", "two_tower") == (
        replies[2].sources[1].degradation == pb.DEGRADATION_EMPTY_HISTORY
    )
    assert grown("shortlist_degradations_total", "empty_history", "led") == 1
    reports = [*(one for reply in replies for one in reply.sources), *(reply.source for reply in similar)]
    assert grown("shortlist_degradations_total", "exhausted", "pdn") == sum(
        one.degradation == pb.DEGRADATION_EXHAUSTED for one in reports if one.source == "pdn"
    )
    assert grown("shortlist_batch_size_count") == 1
    assert grown("shortlist_batch_size_sum") == 3
    assert (grown("shortlist_batch_size_bucket", "2.0"), grown("shortlist_batch_size_bucket", "4.0")) == (0, 1)
    assert grown("shortlist_stage_seconds_count", "", "decode") == 3
    assert grown("shortlist_stage_seconds_count", "", "fuse") == 3
    assert replies[1].sources[0].plan
    assert grown("shortlist_plans_total", replies[1].sources[0].plan, "led") >= 1
    assert grown("shortlist_plans_total", "none", "pdn") >= 1
    metrics = full_server.metrics()
    assert metrics[("shortlist_index_recall", "DE", "exact", "item_interaction", "CART")] == 1


def test_a_label_has_a_place_for_every_value() -> None:
    """The lists follow the enums of the answer and of the contract; what no list knows is counted as other."""
    assert [name.upper() for name in FALLBACKS] == [one.name for one in Fallback if one]
    assert [name.upper() for name in DEGRADATIONS] == [one.name for one in Degradation if one]
    assert [f"FALLBACK_{one.name}" for one in Fallback] == pb.Fallback.keys()
    assert [f"DEGRADATION_{one.name}" for one in Degradation] == pb.Degradation.keys()
    assert sorted(METHODS) == sorted(pb.DESCRIPTOR.services_by_name["Retrieval"].methods_by_name)
    board = Board.create(1)
    metrics = WorkerMetrics(board.slot(0))
    for source in SOURCES:
        for degradation in Degradation:
            for plan in (*PLANS, "of tomorrow", ""):
                metrics.sources([SourceReport(source, "", plan, 0, 0, 0, 1, 1, degradation)])
    for fallback in Fallback:
        metrics.retrieved("FR", fallback, 0)
    for method in range(len(METHODS)):
        for code in range(len(CODES)):
            metrics.call_handled(method, code, 1)
    metrics.publish()
    families = {family.name: family for family in BoardCollector(board, MasterMetrics()).collect()}
    plans = {(one.labels["source"], one.labels["plan"]): one.value for one in families["shortlist_plans"].samples}
    runs = len(Degradation)
    assert plans == {(source, plan): runs * (1 + (plan == "other")) for source in SOURCES for plan in PLANS}
    assert {one.value for one in families["shortlist_degradations"].samples} == {len(PLANS) + 2}
    # a country that the slot has no columns for
    assert {(one.labels["country"], one.value) for one in families["shortlist_fallback"].samples} == {("(other)", 1)}
    assert {one.value for one in families["grpc_server_handled"].samples} == {1}


def test_only_metrics_are_served(server: RunningServer) -> None:
    """Every other path is 404."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(server.metrics_url.replace("/metrics", "/"), timeout=5)  # noqa: S310 - http, ours
    assert caught.value.code == 404
    caught.value.close()


def _scrape(server: RunningServer, **headers: str) -> tuple[bytes, Message]:
    asked = urllib.request.Request(server.metrics_url, headers=headers)  # noqa: S310 - http, ours
    with urllib.request.urlopen(asked, timeout=5) as reply:  # noqa: S310
        return reply.read(), reply.headers


def test_a_scraper_chooses_format_and_compression(server: RunningServer) -> None:
    """Prometheus' text, or OpenMetrics as its own strict parser takes it, the same series; gzip if accepted."""
    plain, headers = _scrape(server)
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert headers["Content-Encoding"] is None
    openmetrics, headers = _scrape(
        server, Accept="application/openmetrics-text; version=1.0.0; charset=utf-8, text/plain;q=0.5"
    )
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = [list(openmetrics_parser.text_string_to_metric_families(openmetrics.decode()))]
    families.append(list(text_string_to_metric_families(plain.decode())))
    first, second = (
        {(one.name, *one.labels.items()) for family in each for one in family.samples} for each in families
    )
    assert first == second
    small, headers = _scrape(server, **{"Accept-Encoding": "deflate, gzip;q=0.8"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small).splitlines()[0] == plain.splitlines()[0]
    assert len(small) < len(plain) / 4


def test_processes_are_told_by_role(server: RunningServer) -> None:
    """CPU, memory and number of every role, as the system has them."""
    metrics = server.metrics()
    assert metrics[("shortlist_processes", "master")] == metrics[("shortlist_processes", "generation")] == 1
    assert metrics[("shortlist_processes", "worker")] == 2
    resident = sum(worker.memory_info().rss for worker in server.workers())
    assert metrics[("shortlist_process_resident_memory_bytes", "worker")] == pytest.approx(resident, rel=0.2)
    burnt = sum(sum(worker.cpu_times()[:2]) for worker in server.workers())
    assert 0 < metrics[("shortlist_process_cpu_seconds_total", "worker")] <= burnt + 0.1


def test_cpu_time_of_a_role_never_falls(start: Callable[..., RunningServer]) -> None:
    """What a worker that died had used still counts."""
    with start(workers=1) as server:
        server.wait_until_serving()
        before = server.metrics()[("shortlist_process_cpu_seconds_total", "worker")]
        (worker,) = server.workers()
        worker.kill()
        eventually(lambda: server.metrics()[("shortlist_processes", "worker")] == 0 or server.workers() != [worker])
        assert server.metrics()[("shortlist_process_cpu_seconds_total", "worker")] >= before > 0


def test_no_request_can_add_a_series(server: RunningServer) -> None:
    """Unknown countries, profiles, methods and sources change values, never which series there are."""
    known = _series(server)
    with server.channel() as channel:
        for number in range(30):
            for raw, method in (
                (request(f"X{number}").SerializeToString(), "Retrieve"),
                (request(profile=f"p{number}").SerializeToString(), "Retrieve"),
                (pb.SimilarItemsRequest(country="FR", source=f"s{number}", k=1).SerializeToString(), "SimilarItems"),
                (b"", f"Method{number}"),
            ):
                with pytest.raises(grpc.RpcError):
                    call_raw(channel, raw, method)
    codes = {"NOT_FOUND", "INVALID_ARGUMENT", "UNIMPLEMENTED"}
    eventually(lambda: server.metrics().get(("grpc_server_handled_total", "NOT_FOUND", "Retrieve", SERVICE), 0) >= 30)
    assert {key for key in _series(server) - known if not codes & set(key)} == set()


def _series(server: RunningServer) -> set[tuple[str, ...]]:
    """All but those that live recall adds, by country and source, when it has a sample."""
    return {key for key in server.metrics() if not key[0].startswith("shortlist_live_recall")}


def test_the_transport_tells_the_whole_time(server: RunningServer) -> None:
    """Over the native transport: arrival to reply of every call, and how many were answered together."""
    before = server.metrics()
    with server.stub() as stub:
        for _ in range(5):
            stub.Retrieve(request())

    def grown(*key: str) -> float:
        return server.metrics()[key] - before[key]

    eventually(lambda: grown("shortlist_server_seconds_count", "Retrieve") == 5)
    eventually(lambda: grown("shortlist_group_size_sum") == 5)
    assert grown("shortlist_queue_seconds_count") == 5
    assert grown("shortlist_server_seconds_sum", "Retrieve") >= grown(
        "grpc_server_handling_seconds_sum", "Retrieve", SERVICE
    )
    assert grown("shortlist_loop_lag_seconds_count") > 0
