"""The service as a client sees it: answers, limits, health, reflection."""

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from running_server import RunningServer, call_raw, request

from index_store.content import BundleContent
from protos.retrieval.v1 import retrieval_pb2 as pb
from tiny_bundle import exact_scores, user_vector


def _row_of(content: BundleContent, country: str) -> dict[int, int]:
    return {int(item_id): row for row, item_id in enumerate(content.countries[country].item_ids)}


def test_a_personal_answer_has_exact_scores_in_order(server: RunningServer, content: BundleContent) -> None:
    """Candidates come best first with the exact inner product, and say which bundle and method gave them."""
    country = content.countries["DE"]
    history = [int(item_id) for item_id in country.item_ids[[3, 5]]]
    with server.stub() as stub:
        reply = stub.Retrieve(request("DE", 10, tuple(history)))
    scores = exact_scores(country, user_vector(country.led_vectors, [3, 5]))
    best = np.argsort(-scores)[:10]
    assert [one.item_id for one in reply.candidates] == [int(i) for i in country.item_ids[best]]
    assert [one.score for one in reply.candidates] == pytest.approx(scores[best].tolist(), abs=1e-5)
    assert reply.bundle_version == "v1"
    assert reply.fallback == pb.FALLBACK_NONE
    assert [(one.source, one.candidates, one.method) for one in reply.sources] == [("led", 10, "exact")]


def test_a_graph_answers_large_countries(server: RunningServer, content: BundleContent) -> None:
    """FR is searched through its graph; every score is the exact one of its item."""
    country = content.countries["FR"]
    with server.stub() as stub:
        reply = stub.Retrieve(request("FR", 50, tuple(int(i) for i in country.item_ids[:4])))
    scores = exact_scores(country, user_vector(country.led_vectors, [0, 1, 2, 3]))
    rows = _row_of(content, "FR")
    assert reply.sources[0].method == "hnsw"
    assert len(reply.candidates) == 50
    for one in reply.candidates:
        assert one.score == pytest.approx(scores[rows[one.item_id]], abs=1e-4)


def test_keys_and_ids_mix_and_unknown_items_are_counted(server: RunningServer, content: BundleContent) -> None:
    """A history by key gives the answer of the same history by id; strangers are skipped and counted."""
    ids = [int(i) for i in content.countries["FR"].item_ids[:3]]
    by_id = request("FR", 20, tuple(ids))
    mixed = request("FR", 20, (ids[0],))
    mixed.history.append(pb.Interaction(item_key="fr-0001"))
    mixed.history.append(pb.Interaction(item_key="no such key"))
    mixed.history.append(pb.Interaction(item_id=12345))
    mixed.history.append(pb.Interaction(item_id=ids[2]))
    with server.stub() as stub:
        expected, found = stub.Retrieve(by_id), stub.Retrieve(mixed)
    assert list(found.candidates) == list(expected.candidates)
    assert (expected.unknown_items, found.unknown_items) == (0, 2)


def test_keys_in_a_country_without_keys_are_unknown(server: RunningServer) -> None:
    """A key finds nothing where the catalogue has no keys, and the answer falls back to item bias."""
    asked = pb.RetrieveRequest(country="DE", k=5, history=[pb.Interaction(item_key="fr-0001")])
    with server.stub() as stub:
        reply = stub.Retrieve(asked)
    assert (reply.fallback, reply.unknown_items) == (pb.FALLBACK_UNKNOWN_HISTORY, 1)


@pytest.mark.parametrize(
    ("item_ids", "fallback"),
    [((), pb.FALLBACK_EMPTY_HISTORY), ((1, 2, 3), pb.FALLBACK_UNKNOWN_HISTORY)],
    ids=["empty", "unknown"],
)
def test_without_a_known_item_the_bias_decides(
    server: RunningServer, content: BundleContent, item_ids: tuple[int, ...], fallback: int
) -> None:
    """The answer is ordered by item bias, with the bias as score, and says why."""
    with server.stub() as stub:
        reply = stub.Retrieve(request("FR", 30, item_ids))
    biases = np.sort(content.countries["FR"].led_biases)[::-1][:30]
    assert [one.score for one in reply.candidates] == pytest.approx(biases.tolist())
    assert (reply.fallback, reply.unknown_items) == (fallback, len(item_ids))
    assert reply.sources[0].method == "bias_order"


def test_details_only_on_request(server: RunningServer, content: BundleContent) -> None:
    """include_item_details adds what the catalogue has and changes nothing else."""
    plain, detailed = request("FR", 15), request("FR", 15, include_item_details=True)
    with server.stub() as stub:
        without, with_details = stub.Retrieve(plain), stub.Retrieve(detailed)
        american = stub.Retrieve(request("US", 1, include_item_details=True)).candidates[0].details
    rows = _row_of(content, "FR")
    for bare, full in zip(without.candidates, with_details.candidates, strict=True):
        row = rows[full.item_id]
        assert (bare.item_id, bare.score) == (full.item_id, full.score)
        assert not bare.HasField("details")
        assert full.details.item_key == f"fr-{row:04d}"
        assert full.details.title == f"Title {row} é"
        assert full.details.merchant == f"merchant-{row % 7}"
        assert full.details.category == f"category-{row % 5}"
    assert american.item_key.startswith("us-")
    assert (american.title, american.merchant, american.category) == ("", "", "")


def test_more_than_the_catalogue_has(server: RunningServer, content: BundleContent) -> None:
    """K beyond the catalogue gives all of it; leaving out the history leaves all the rest."""
    ids = tuple(int(i) for i in content.countries["DE"].item_ids[:4])
    with server.stub() as stub:
        everything = stub.Retrieve(request("DE", 1000, ids))
        others = stub.Retrieve(request("DE", 1000, ids, exclude_history=True))
    assert len(everything.candidates) == 40
    assert {one.item_id for one in others.candidates} == {one.item_id for one in everything.candidates} - set(ids)


def test_features_are_accepted_and_counted(server: RunningServer) -> None:
    """LED takes no feature: each one is counted as unused."""
    features = {"age": pb.FeatureValue(number=33.0), "device": pb.FeatureValue(category="")}
    with server.stub() as stub:
        assert stub.Retrieve(request(features=features)).unused_features == 2


def test_fields_of_newer_callers_are_accepted(server: RunningServer) -> None:
    """Unknown field numbers, of every wire type and at every level, change nothing."""
    newer = b"\x98\x06\x05" + b"\x9a\x06\x02hi" + b"\x99\x06" + b"8" * 8 + b"\x9d\x06" + b"4" * 4 + b"\x9b\x06\x9c\x06"
    interaction = pb.Interaction(item_id=7).SerializeToString() + newer
    raw = b"\x0a\x02FR\x18\x03" + newer + b"\x12" + bytes([len(interaction)]) + interaction
    with server.channel() as channel:
        reply = pb.RetrieveResponse.FromString(call_raw(channel, raw))
    assert len(reply.candidates) == 3
    assert reply.fallback == pb.FALLBACK_NONE


def test_serving_info_describes_the_bundle(server: RunningServer) -> None:
    """GetServingInfo names countries in order with sizes, engines and measured recall, and the limits."""
    with server.stub() as stub:
        info = stub.GetServingInfo(pb.GetServingInfoRequest())
    assert (info.bundle_name, info.bundle_version) == ("tiny", "v1")
    assert [(one.country, one.items) for one in info.countries] == [("DE", 40), ("FR", 300), ("US", 120)]
    assert [one.sources[0].engine for one in info.countries] == ["exact", "hnsw", "hnsw"]
    assert info.countries[1].sources[0].ef > 0
    assert info.countries[1].sources[0].recall >= info.countries[1].sources[0].recall_target > 0
    assert {one.sources[0].dim for one in info.countries} == {9}
    assert (info.max_k, info.max_history) == (1000, 500)
    assert info.loaded_ms >= info.created_ms > 0


def test_health_says_serving_overall_and_by_name(server: RunningServer) -> None:
    """Standard health knows "" and the service, and nothing else."""
    with server.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "retrieval.v1.Retrieval"):
            reply = stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services(server: RunningServer) -> None:
    """Tools find the contract by reflection."""
    with server.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (reply,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = {one.name for one in reply.list_services_response.service}
    assert {"retrieval.v1.Retrieval", "grpc.health.v1.Health"} <= names


def test_a_passed_deadline_ends_the_call(server: RunningServer) -> None:
    """A call whose time is up fails with DEADLINE_EXCEEDED."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, request().SerializeToString(), timeout=-1.0)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_unknown_methods_are_unimplemented(server: RunningServer) -> None:
    """A method that the contract does not have is UNIMPLEMENTED."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, b"", method="RetrieveAll")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
