"""A server with every source as its clients see it: profiles, filters, batches, histories, items like one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from full_requests import ALL, asked, history_of, rows_of, timeless
from onnx import numpy_helper
from running_server import RunningServer, eventually, request

from index_store.content import BundleContent, CountryContent
from index_store.publish import publish
from models.features import FIRST_KNOWN
from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub
from tiny_bundle import POLICY


@pytest.fixture(scope="module")
def stub(full_server: RunningServer) -> Iterator[RetrievalStub]:
    """One connection for all calls."""
    with full_server.stub() as connected:
        yield connected


@pytest.fixture(scope="module")
def france(full_content: BundleContent) -> CountryContent:
    """What FR is made of."""
    return full_content.countries["FR"]


def test_a_profile_draws_on_its_sources(stub: RetrievalStub, france: CountryContent) -> None:
    """Reports come in the profile's order, and the masks of the candidates count what each source contributed."""
    reply = stub.Retrieve(asked(france))
    assert [one.source for one in reply.sources] == ALL
    assert (reply.profile, reply.country, reply.fallback) == ("default", "FR", pb.FALLBACK_NONE)
    assert len(set(rows_of(france, reply))) == 20
    for bit, source in enumerate(reply.sources):
        assert source.candidates == sum(one.source_mask >> bit & 1 for one in reply.candidates)
        assert 0 < source.candidates <= source.found <= source.fetched
        # PDN's paths from four items lead to few others
        assert source.degradation in {pb.DEGRADATION_NONE, pb.DEGRADATION_EXHAUSTED if source.source == "pdn" else 0}
        assert source.plan


@pytest.mark.parametrize("name", ["led", "two_tower", "pdn"])
def test_the_request_chooses_the_profile(stub: RetrievalStub, france: CountryContent, name: str) -> None:
    """A profile of one source gives its own scores, which differ from another's; so do quotas of one source."""
    reply = stub.Retrieve(asked(france, profile=name))
    quotas = {source: 20 * (source == name) for source in ALL}
    by_quotas = stub.Retrieve(asked(france, source_quotas=quotas, explain=True))
    assert (reply.profile, [one.source for one in reply.sources][:1]) == (name, [name])
    assert len(reply.candidates) == 20
    found = reply.sources[0].found
    assert rows_of(france, by_quotas)[:found] == rows_of(france, reply)[:found]
    scores = [one.evidence[0].score for one in by_quotas.candidates[:found]]
    assert scores == pytest.approx([one.score for one in reply.candidates[:found]], rel=1e-5)


def test_diversity_holds_its_caps(stub: RetrievalStub, france: CountryContent) -> None:
    """At most two of a category, where the profile says so, as long as there are others."""
    assert france.categories is not None
    found = [france.categories[row] for row in rows_of(france, stub.Retrieve(asked(france, k=8, profile="varied")))]
    assert max(found.count(name) for name in found) == 2


def test_filters_hold_together(stub: RetrievalStub, france: CountryContent) -> None:
    """Merchants, categories, prices, excluded ids and keys and the history, all at once and for every source."""
    assert france.merchants is not None
    assert france.categories is not None
    assert france.prices is not None
    assert france.keys is not None
    out = [int(france.item_ids[row]) for row in range(0, 300, 7)]
    reply = stub.Retrieve(
        asked(
            france,
            k=6,
            exclude_history=True,
            filters=pb.Filters(
                merchants=["merchant-1", "merchant-2", "merchant-0", "no such merchant"],
                categories=["category-3", "category-4"],
                price=pb.PriceRange(lowest=5.0, highest=80.0),
                excluded_item_ids=[*out, 12345],
                excluded_item_keys=[france.keys[8], "no such key"],
            ),
        )
    )
    rows = rows_of(france, reply)
    assert len(rows) == 6
    for row in rows:
        assert france.merchants[row] in {"merchant-1", "merchant-2"}
        assert france.categories[row] in {"category-3", "category-4"}
        assert 5.0 <= france.prices[row] <= 80.0
        assert row not in {3, 8, 9, 27, 81}
    assert {one.plan for one in reply.sources} <= {"posting_lists", "mask", "growing"}


def test_twenty_thousand_excluded_ids_are_taken(stub: RetrievalStub, france: CountryContent) -> None:
    """The default limit, with all items but thirty among them."""
    keep = [int(item_id) for item_id in france.item_ids[:30]]
    out = [int(item_id) for item_id in france.item_ids[30:]]
    out += [number for number in range(1, 20_001) if number not in keep][: 20_000 - len(out)]
    reply = stub.Retrieve(asked(france, k=50, filters=pb.Filters(excluded_item_ids=out)))
    assert sorted(rows_of(france, reply)) == list(range(30))


def test_a_merchant_with_few_items_is_answered_in_full(stub: RetrievalStub, france: CountryContent) -> None:
    """Fewer than k eligible items: all of them, and the sources say that there are no more."""
    assert france.merchants is not None
    reply = stub.Retrieve(asked(france, k=200, filters=pb.Filters(merchants=["merchant-5"])))
    expected = [row for row, name in enumerate(france.merchants) if name == "merchant-5"]
    assert sorted(rows_of(france, reply)) == expected
    assert reply.sources[0].degradation == pb.DEGRADATION_EXHAUSTED
    assert reply.fallback in {pb.FALLBACK_NONE, pb.FALLBACK_BACKFILLED}


def test_popularity_fills_up_and_says_so(stub: RetrievalStub, france: CountryContent) -> None:
    """PDN reaches few items from a short history: the rest is the most popular, last and labelled."""
    reply = stub.Retrieve(asked(france, k=100, profile="pdn", history=history_of(france, 1, 2)))
    assert len(set(rows_of(france, reply))) == 100
    found = reply.sources[0].found
    assert (reply.backfilled, reply.fallback) == (100 - found, pb.FALLBACK_BACKFILLED)
    assert [one.source for one in reply.sources] == ["pdn", "popular"]
    added = rows_of(france, reply)[found:]
    popularity = [int(france.popularity[row]) for row in added]
    assert popularity == sorted(popularity, reverse=True)
    assert {one.source_mask for one in reply.candidates[found:]} == {0b10}
    assert {one.score for one in reply.candidates[found:]} == {reply.candidates[found - 1].score}


def test_a_batch_equals_its_requests_one_by_one(stub: RetrievalStub, full_content: BundleContent) -> None:
    """Countries, profiles, filters, reasons, empty histories in one call: every response is that of a single call."""
    france, us = full_content.countries["FR"], full_content.countries["US"]
    batch = [
        asked(france),
        asked(france, profile="varied", k=7, include_item_details=True),
        asked(us, country="US", k=15),
        asked(france, explain=True, include_modules=True, return_embedding=True),
        asked(france, history=[]),
        asked(us, country="ZZ"),
        asked(france, k=300, filters=pb.Filters(categories=["category-1"], excluded_item_keys=["fr-0001"])),
        asked(france, seed_item=pb.ItemRef(item_key="fr-0042"), features={"tier": pb.FeatureValue(category="gold")}),
        asked(france, history=[pb.Interaction(item_id=1)], source_quotas={"led": 3, "pdn": 0}),
    ]
    together = stub.RetrieveBatch(pb.RetrieveBatchRequest(requests=batch)).responses
    assert len(together) == len(batch)
    for response, one in zip(together, batch, strict=True):
        alone = timeless(stub.Retrieve(one))
        _assert_alike(timeless(response), alone)


def _assert_alike(found: pb.RetrieveResponse, expected: pb.RetrieveResponse) -> None:
    """Equal, but for the last bits of floats: a batch is another matrix product."""
    for mine, theirs in zip(_floats(found), _floats(expected), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-4)
    assert found == expected


def _floats(reply: pb.RetrieveResponse) -> list[float]:
    """Take all floats out of a reply."""
    taken = []
    for message in (*reply.candidates, *(one for module in reply.modules for one in module.candidates)):
        taken.append(message.score)
        message.ClearField("score")
        for piece in message.evidence:
            taken += [piece.score, piece.contribution, piece.direct]
            for path in piece.paths:
                taken += [path.weight, path.similarity, path.contribution]
                path.CopyFrom(pb.Path(trigger=path.trigger))
            for field in ("score", "contribution", "direct"):
                piece.ClearField(field)
    for embedding in reply.embeddings:
        taken += embedding.values
        embedding.ClearField("values")
    return taken


def test_another_country_stands_in(stub: RetrievalStub, full_content: BundleContent) -> None:
    """The settings' fallback country answers for one that the bundle does not have, and the reply says so."""
    reply = stub.Retrieve(request("ZZ", 5, ()))
    assert (reply.country, len(reply.candidates)) == ("US", 5)
    moved = stub.Retrieve(asked(full_content.countries["US"], country="ZZ"))
    assert (moved.country, moved.fallback) == ("US", pb.FALLBACK_COUNTRY)
    item = pb.ItemRef(item_id=int(full_content.countries["US"].item_ids[4]))
    near, far = (stub.SimilarItems(pb.SimilarItemsRequest(country=code, item=item, k=5)) for code in ("US", "ZZ"))
    assert (near.country, far.country) == ("US", "US")
    assert near.candidates == far.candidates


@pytest.mark.parametrize(
    ("history", "fallback", "degradation"),
    [
        ([], pb.FALLBACK_EMPTY_HISTORY, pb.DEGRADATION_EMPTY_HISTORY),
        ([pb.Interaction(item_id=1)], pb.FALLBACK_UNKNOWN_HISTORY, pb.DEGRADATION_UNKNOWN_HISTORY),
    ],
    ids=["empty", "unknown"],
)
def test_without_a_known_history_every_source_says_so(
    stub: RetrievalStub, france: CountryContent, history: list[pb.Interaction], fallback: int, degradation: int
) -> None:
    """Still k candidates; those that need a history are labelled."""
    reply = stub.Retrieve(asked(france, history=history))
    assert (len(reply.candidates), reply.fallback, reply.unknown_items) == (20, fallback, len(history))
    degraded = {one.source for one in reply.sources if one.degradation == degradation}
    assert {"led", "pdn", "item_interaction"} <= degraded
    assert "popular" not in degraded


def test_features_are_used_or_counted(stub: RetrievalStub, france: CountryContent) -> None:
    """Those of the encoders change the answer's vector; strangers are counted."""
    plain = stub.Retrieve(asked(france, return_embedding=True))
    features = {
        "tier": pb.FeatureValue(category="gold"),
        "spent": pb.FeatureValue(number=50),
        "age": pb.FeatureValue(number=3),
    }
    told = stub.Retrieve(asked(france, return_embedding=True, features=features))
    assert (plain.unused_features, told.unused_features) == (0, 1)
    assert plain.embeddings[0] == told.embeddings[0]
    assert plain.embeddings[1] != told.embeddings[1]


@pytest.mark.parametrize("source", ["pdn", "item_interaction"])
def test_items_like_one(stub: RetrievalStub, france: CountryContent, source: str) -> None:
    """Best first, without the item, by id or by key, only what the filters allow."""
    by_key = pb.SimilarItemsRequest(country="FR", item=pb.ItemRef(item_key="fr-0010"), k=5, source=source)
    by_id = pb.SimilarItemsRequest(country="FR", item=pb.ItemRef(item_id=int(france.item_ids[10])), k=5, source=source)
    reply = stub.SimilarItems(by_key)
    assert reply.candidates == stub.SimilarItems(by_id).candidates
    assert (reply.bundle_version, reply.source.source) == ("v1", source)
    scores = [one.score for one in reply.candidates]
    assert scores == sorted(scores, reverse=True)
    rows = rows_of(france, reply)
    assert rows
    assert 10 not in rows
    by_key.filters.excluded_item_ids.append(reply.candidates[0].item_id)
    by_key.include_item_details = True
    fewer = stub.SimilarItems(by_key)
    assert rows_of(france, fewer)[: len(rows) - 1] == rows[1:]
    assert fewer.candidates[0].details.title == f"Title {rows[1]} é"


def _failing_for_small_spenders(graph: bytes) -> bytes:
    """The same query tower, but for spending under 10, whose row of the table is no number."""
    model = onnx.load_model_from_string(graph)
    (table,) = [one for one in model.graph.initializer if one.name == "table_spent"]
    values = numpy_helper.to_array(table).copy()
    values[FIRST_KNOWN] = np.nan
    table.CopyFrom(numpy_helper.from_array(values, table.name))
    return bytes(model.SerializeToString())


def test_an_encoder_that_fails_costs_one_source_of_one_request(
    tmp_path: Path, full_content: BundleContent, france: CountryContent
) -> None:
    """The other sources answer, the reply and the metrics say so, and others in the batch do not notice."""
    tower = full_content.encoders["two_tower_query"]
    encoders = {
        **full_content.encoders,
        "two_tower_query": replace(tower, graph=_failing_for_small_spenders(tower.graph)),
    }
    publish(replace(full_content, encoders=encoders), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    poor, rich = (asked(france, features={"spent": pb.FeatureValue(number=spent)}) for spent in (5.0, 50.0))
    with RunningServer(tmp_path / "log.txt", bundle_root=tmp_path, bundle_name="tiny", workers=1) as running:
        with running.wait_until_serving().stub() as stub:
            alone = stub.Retrieve(poor)
            first, second = stub.RetrieveBatch(pb.RetrieveBatchRequest(requests=[poor, rich])).responses
        key = ("shortlist_degradations_total", "encoder_failed", "two_tower")
        assert eventually(lambda: running.metrics()[key] == 2)
    for reply in (alone, first):
        assert (reply.fallback, len(reply.candidates)) == (pb.FALLBACK_SOURCE_FAILED, 20)
        failed = [one.source for one in reply.sources if one.degradation == pb.DEGRADATION_ENCODER_FAILED]
        assert failed == ["two_tower"]
    assert second.fallback == pb.FALLBACK_NONE
    assert second.sources[1].candidates > 0
