"""The inspector's JSON API, asked over HTTP at a real server: what the page is made of."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking_inspector import Inspector
from running_server import RunningServer, eventually, request

from index_store.content import BundleContent
from index_store.manifest import read_manifest
from protos.retrieval.v1 import retrieval_pb2 as pb


def _question(content: BundleContent, country: str = "FR", **fields: object) -> dict[str, Any]:
    timeline = next(one for one in content.timelines if one.country == country)
    history = [
        {"item_id": str(item_id), "type": pb.InteractionType.Name(kind).removeprefix("INTERACTION_TYPE_")}
        for item_id, kind in zip(timeline.item_ids, timeline.types, strict=True)
    ]
    return {"country": country, "k": 10, "history": history, **fields}


def test_the_overview_says_what_is_served(inspector: Inspector, server: RunningServer, content: BundleContent) -> None:
    """Countries, sources, sizes and recall are those of the bundle and of GetServingInfo."""
    facts = inspector.get("overview").json
    assert facts["bundle"]["version"] == "v1"
    assert facts["bundle"]["metrics"] == {"led": {"recall@20": 0.25}, "popularity": {"recall@20": 0.1}}
    assert {one["code"]: one["items"] for one in facts["countries"]} == {"DE": 40, "FR": 300, "US": 120}
    assert sum(one["bytes"] for one in facts["countries"]) < facts["bundle"]["bytes"]
    with server.stub() as stub:
        info = stub.GetServingInfo(pb.GetServingInfoRequest())
    for shown, said in zip(facts["countries"], info.countries, strict=True):
        assert [index["source"] for index in shown["indices"]] == [index.source for index in said.sources]
        recalls = [index["recall"] for index in shown["indices"]]
        assert recalls == pytest.approx([index.recall for index in said.sources], abs=1e-5)
    assert facts["server"]["limits"]["max_k"] == info.max_k
    assert {one["name"] for one in facts["features"]} == {feature.name for feature in info.features}
    assert len(content.timelines) == sum(one["samples"] for one in facts["countries"])


def test_a_country_has_its_curves(inspector: Inspector, inspector_root: Path) -> None:
    """Every measured setting is there by engine and kind, and the served one is marked once."""
    details = inspector.get("country", country="FR").json
    assert {index["source"] for index in details["indices"]} == {"led", "two_tower", "pdn", "item_interaction"}
    led = next(index for index in details["indices"] if index["source"] == "led")
    points = [point for curve in led["curves"] for point in curve["points"]]
    chosen = [point for point in points if point["chosen"]]
    assert len(chosen) == 1
    assert chosen[0]["recall"] == led["facts"]["recall"] >= led["facts"]["recall_target"]
    assert led["engine"] in {curve["engine"] for curve in led["curves"] for point in curve["points"] if point["chosen"]}
    served = read_manifest(inspector_root / "tiny" / "v1").countries["FR"].led
    assert len(points) == len(served.curve)
    assert led["reason"] == served.reason


def test_items_are_found_by_title_key_and_id(inspector: Inspector, content: BundleContent) -> None:
    """Words in any case, a key, an id beyond 2^53 without loss; the most popular come first without a word."""
    country = content.countries["FR"]
    found = inspector.get("items", country="FR", q="TITLE 17 É").json["items"]
    assert {item["title"] for item in found} >= {"Title 17 é", "Title 170 é"}
    assert inspector.get("items", country="FR", q="fr-0042").json["items"][0]["title"] == "Title 42 é"
    last = inspector.get("items", country="FR", q=str(2**64 - 1)).json["items"]
    assert [item["id"] for item in last] == [str(2**64 - 1)]
    by_popularity = [item["popularity"] for item in inspector.get("items", country="FR", limit=100).json["items"]]
    assert by_popularity == np.sort(country.popularity)[::-1][:100].tolist()
    assert inspector.get("items", country="FR", q="nothing like it").json == {"items": [], "found": 0, "complete": True}


def test_a_country_without_titles_is_searched_by_key_or_id(inspector: Inspector, content: BundleContent) -> None:
    """US has keys only, DE nothing but ids."""
    assert inspector.get("items", country="US", q="us-0007").json["items"][0]["key"] == "us-0007"
    some_id = str(content.countries["DE"].item_ids[5])
    assert inspector.get("items", country="DE", q=some_id[:9]).json["items"][0]["id"].startswith(some_id[:9])


def test_sample_users_have_their_history(inspector: Inspector, content: BundleContent) -> None:
    """Users of the country are listed; one's items come with titles and types, oldest first."""
    assert inspector.get("users", country="FR", q="samp").json["users"] == [{"user": "FR-sample", "interactions": 3}]
    history = inspector.get("user", country="FR", user="FR-sample").json["history"]
    timeline = next(one for one in content.timelines if one.country == "FR")
    assert [event["item"]["id"] for event in history] == [str(item_id) for item_id in timeline.item_ids]
    assert [event["type"] for event in history] == ["VIEW", "CLICK", "PURCHASE"]
    assert [event["item"]["title"] for event in history] == list(content.countries["FR"].titles[:3])
    assert inspector.get("user", country="FR", user="nobody").status == 404


def test_merchants_and_categories_are_suggested(inspector: Inspector) -> None:
    """Names of the catalogue by part of them, those with the most items first; none where it has none."""
    names = inspector.get("names", country="FR", facet="merchants", q="CHANT-").json["names"]
    assert [one["items"] for one in names] == sorted((one["items"] for one in names), reverse=True)
    assert {one["name"] for one in names} == {f"merchant-{number}" for number in range(7)}
    assert inspector.get("names", country="US", facet="categories").json == {"names": []}


def test_an_answer_is_that_of_the_server(inspector: Inspector, server: RunningServer, content: BundleContent) -> None:
    """The fused list equals what a client gets, each source's own list what it gives alone, in its order."""
    found = inspector.post("query", _question(content)).json
    timeline = next(one for one in content.timelines if one.country == "FR")
    history = [
        pb.Interaction(item_id=item_id, type=pb.InteractionType.Name(kind))
        for item_id, kind in zip(timeline.item_ids, timeline.types, strict=True)
    ]
    asked = pb.RetrieveRequest(country="FR", k=10, history=history, exclude_history=True)
    with server.stub() as stub:
        reply = stub.Retrieve(asked)
    assert [one["id"] for one in found["answer"]["candidates"]] == [str(one.item_id) for one in reply.candidates]
    assert [one["source"] for one in found["alone"]] == ["led", "two_tower", "pdn", "item_interaction", "popular"]
    for own in found["alone"]:
        ranks, scores = ([one[key] for one in own["candidates"]] for key in ("rank", "score"))
        assert ranks == list(range(1, len(ranks) + 1))
        assert all(one >= other for one, other in itertools.pairwise(scores))
    assert found["answer"]["candidates"][0]["evidence"]


def test_paths_add_up_to_the_score(inspector: Inspector, content: BundleContent) -> None:
    """PDN's paths, those left out and the direct share sum to its score: the graph's numbers are the answer's."""
    found = inspector.post("query", _question(content)).json
    pieces = [one["evidence"][0] for own in found["alone"] if own["source"] == "pdn" for one in own["candidates"]]
    assert any(piece["paths"] for piece in pieces)
    for piece in pieces:
        total = piece["direct"] + piece["more_contribution"] + sum(path["contribution"] for path in piece["paths"])
        assert total == pytest.approx(piece["score"], abs=1e-4)
        contributions = [path["contribution"] for path in piece["paths"]]
        assert contributions == sorted(contributions, reverse=True)


def test_filters_hold(inspector: Inspector, content: BundleContent) -> None:
    """Merchants, categories, prices and excluded items restrict every list."""
    banned = str(content.countries["FR"].item_ids[7])
    filters = {"merchants": ["merchant-0", "merchant-1"], "categories": ["category-2"], "lowest": 1, "highest": 90.5}
    found = inspector.post("query", _question(content, excluded=[banned], **filters)).json
    assert found["answer"]["candidates"]
    for one in found["answer"]["candidates"]:
        assert one["merchant"] in filters["merchants"]
        assert one["category"] == "category-2"
        assert one["id"] != banned


def test_an_empty_history_is_a_question(inspector: Inspector) -> None:
    """The answer says that it is not personal, and which sources had nothing."""
    found = inspector.post("query", {"country": "FR", "k": 5}).json
    assert found["answer"]["fallback"] == "EMPTY_HISTORY"
    assert len(found["answer"]["candidates"]) == 5
    pdn = next(own for own in found["alone"] if own["source"] == "pdn")
    assert (pdn["candidates"], pdn["report"]["degradation"]) == ([], "EMPTY_HISTORY")


def test_the_servers_refusals_are_passed_on(inspector: Inspector) -> None:
    """Unknown country, unknown profile, prices where there are none: the server's words and fields."""
    unknown = inspector.post("query", {"country": "ZZ", "k": 5})
    assert (unknown.status, unknown.error["code"]) == (404, "NOT_FOUND")
    profile = inspector.post("query", {"country": "FR", "k": 5, "profile": "nope"})
    assert (profile.status, profile.error["fields"][0]["field"]) == (400, "profile")
    price = inspector.post("query", {"country": "US", "k": 5, "lowest": 1.0})
    assert (price.status, price.error["fields"][0]["field"]) == (400, "filters.price")


def test_live_figures_follow_the_calls(inspector: Inspector, server: RunningServer) -> None:
    """Calls show up as a rate with latencies and stages; the inspector's own GetServingInfo does not count."""
    inspector.get("live")
    with server.stub() as stub:

        def seen() -> dict[str, Any] | None:
            for _ in range(20):
                stub.Retrieve(request(item_ids=()))
            figures: dict[str, Any] = inspector.get("live").json
            series = figures["series"]
            shown = series["calls"] and max(series["calls"]) > 1 and "empty_history" in series["fallbacks"]
            # stages are of the last seconds: a machine that stands still between two looks shows none for a moment
            return figures if shown and figures["stages"] else None

        figures = eventually(seen)
    series = figures["series"]
    assert len({len(series[name]) for name in ("time", "calls", "errors", "p50_us", "p99_us")}) == 1
    measured = [(p50, p99) for p50, p99 in zip(series["p50_us"], series["p99_us"], strict=True) if p50 is not None]
    assert measured
    assert all(0 < p50 <= p99 for p50, p99 in measured)
    assert all(0 <= errors <= calls for errors, calls in zip(series["errors"], series["calls"], strict=True))
    assert {"decode", "search", "fuse", "reply"} <= {row["stage"] for row in figures["stages"]}
    assert figures["workers"] == 1
