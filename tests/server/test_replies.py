"""What an answer says of itself: reasons, lists, vectors; and what a server says of itself."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from full_requests import ALL, CART, PURCHASE, VIEW, asked
from running_server import RunningServer, call_raw, request

from index_store.content import BundleContent, CountryContent
from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub


@pytest.fixture(scope="module")
def stub(full_server: RunningServer) -> Iterator[RetrievalStub]:
    """One connection for all calls."""
    with full_server.stub() as connected:
        yield connected


@pytest.fixture(scope="module")
def france(full_content: BundleContent) -> CountryContent:
    """What FR is made of."""
    return full_content.countries["FR"]


def test_every_candidate_is_explained(stub: RetrievalStub, france: CountryContent) -> None:
    """The evidence is of the sources in the mask; PDN's paths and LED's items are of the history, with titles."""
    reply = stub.Retrieve(asked(france, k=60, explain=True))
    history = {int(france.item_ids[row]) for row in (3, 9, 27, 81)}
    seen = set()
    for one in reply.candidates:
        named = [reply.sources[bit].source for bit in range(len(reply.sources)) if one.source_mask >> bit & 1]
        assert [piece.source for piece in one.evidence] == named
        seen.update(named)
        for piece in one.evidence:
            assert piece.rank >= 1
            if piece.source == "pdn":
                total = piece.direct + sum(path.contribution for path in piece.paths)
                assert total == pytest.approx(piece.score, abs=1e-4)
                assert {path.trigger.item_id for path in piece.paths} <= history
            if piece.source in {"led", "two_tower", "item_interaction"}:
                assert piece.because.item_id in history
                assert piece.because.title.startswith("Title ")
            assert (piece.target_type in {CART, PURCHASE}) == (piece.source == "item_interaction")
    assert seen == set(ALL)
    assert not any(one.evidence for one in stub.Retrieve(asked(france)).candidates)


def test_modules_say_because_of_what(stub: RetrievalStub, france: CountryContent) -> None:
    """Lists from the newest pairs of the history to every target type, only on request, with details if wanted."""
    reply = stub.Retrieve(asked(france, include_modules=True, include_item_details=True))
    assert {(one.because.type, one.target_type) for one in reply.modules} <= {
        (kind, target) for kind in (VIEW, CART) for target in (CART, PURCHASE)
    }
    assert reply.modules
    for module in reply.modules:
        scores = [one.score for one in module.candidates]
        assert scores == sorted(scores, reverse=True)
        assert all(one.details.title for one in module.candidates)
        assert module.because.title
    assert not stub.Retrieve(asked(france)).modules


def test_embeddings_are_given_on_request(stub: RetrievalStub, france: CountryContent) -> None:
    """One vector for each source that has one, as wide as GetServingInfo says."""
    info = stub.GetServingInfo(pb.GetServingInfoRequest())
    dims = {one.source: one.dim for one in info.countries[1].sources}
    reply = stub.Retrieve(asked(france, return_embedding=True))
    assert {one.source for one in reply.embeddings} == {"led", "two_tower", "pdn"}
    assert all(len(one.values) == dims[one.source] for one in reply.embeddings)
    assert not stub.Retrieve(asked(france)).embeddings


def test_serving_info_is_complete(stub: RetrievalStub) -> None:
    """Limits, profiles, features, and each country's sources with what filters can use."""
    info = stub.GetServingInfo(pb.GetServingInfoRequest())
    assert (info.format_version, info.max_excluded, info.max_batch) == ("1.2", 20_000, 256)
    assert [(one.name, one.fusion) for one in info.profiles] == [
        ("default", "reciprocal_rank"),
        ("led", "single"),
        ("two_tower", "single"),
        ("pdn", "single"),
        ("varied", "quota"),
    ]
    assert list(info.profiles[0].sources) == ALL
    assert [(one.name, one.kind) for one in info.features] == [("spent", "number"), ("tier", "category")]
    german, french, american = info.countries
    assert [(one.source, one.type) for one in french.sources] == [
        ("led", 0),
        ("two_tower", 0),
        ("pdn", 0),
        ("item_interaction", CART),
        ("item_interaction", PURCHASE),
    ]
    assert [one.type for one in german.sources if one.source == "item_interaction"] == [CART]
    assert (french.sources[2].engine, french.sources[2].neighbours, french.sources[2].triggers) == ("paths", 12, 3)
    assert (french.merchants, french.categories, french.has_prices, american.has_prices) == (7, 5, True, False)


def test_a_source_that_the_bundle_lacks_is_told(server: RunningServer) -> None:
    """A bundle of LED alone answers with what it has; the reply names the gap, and SimilarItems has no answer."""
    asked = request("FR", 10, (7,), source_quotas={"pdn": 5, "led": 10})
    item = pb.SimilarItemsRequest(country="FR", item=pb.ItemRef(item_id=7), k=3)
    with server.stub() as stub:
        reply = stub.Retrieve(asked)
        with pytest.raises(grpc.RpcError) as caught:
            stub.SimilarItems(item)
    assert (len(reply.candidates), reply.fallback) == (10, pb.FALLBACK_SOURCE_MISSING)
    missing = next(one for one in reply.sources if one.source == "pdn")
    assert (missing.degradation, missing.found, missing.method, missing.plan) == (
        pb.DEGRADATION_NOT_IN_BUNDLE,
        0,
        "",
        "",
    )
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "the bundle has no source of similar items"


def test_a_similar_source_that_the_bundle_lacks_is_refused(server: RunningServer) -> None:
    """FAILED_PRECONDITION names the source."""
    item = pb.SimilarItemsRequest(country="FR", item=pb.ItemRef(item_id=7), k=3, source="pdn")
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call_raw(channel, item.SerializeToString(), method="SimilarItems")
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "pdn" in caught.value.details()


def test_a_bundle_of_format_1_0_is_served(tmp_path: Path) -> None:
    """What older versions published goes on being served, with its one source."""
    stored = Path(__file__).parents[1] / "index_store" / "stored-1.0"
    with (
        RunningServer(tmp_path / "log.txt", bundle_root=stored, bundle_name="tiny", workers=1) as running,
        running.wait_until_serving().stub() as stub,
    ):
        info = stub.GetServingInfo(pb.GetServingInfoRequest())
        reply = stub.Retrieve(request(info.countries[0].country, 5, ()))
    assert info.format_version == "1.0"
    assert [(one.name, list(one.sources), one.fusion) for one in info.profiles] == [("default", ["led"], "single")]
    assert (len(reply.candidates), reply.sources[0].method) == (5, "bias_order")
