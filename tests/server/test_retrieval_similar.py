"""SimilarItems: item to item, without a user."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asking import query_of, refs, requests
from index_store.country import Country
from naive import best, eligible_rows
from naive import similar as table
from server.query import Filters, SimilarQuery
from server.retrieval import NoPricesError, Retriever, SourceNotServedError, UnknownCountryError, UnknownItemError
from small_world import PAIR_SOURCES, PAIR_TARGETS, SmallWorld, small_world


def retriever(world: SmallWorld) -> Retriever:
    """A retriever with the built-in profile."""
    return Retriever(world, world.encoders, {}, None)  # type: ignore[arg-type]


def like(country: Country, row: int, k: int = 5, **changes: object) -> SimilarQuery:
    """Ask for items like the one of a row."""
    return SimilarQuery(country.code, refs([int(country.catalog.item_ids[row])]), k, **changes)  # type: ignore[arg-type]


@settings(max_examples=100)
@given(data=st.data(), seed=st.integers(0, 31))
def test_simnets_table_is_answered(data: st.DataObject, seed: int) -> None:
    """The eligible neighbours by s_ji, never more than the table has, never the item itself."""
    world = small_world(seed)
    country = world.countries["BB"]
    request = data.draw(requests(country))
    row = data.draw(st.integers(0, country.catalog.size - 1))
    filters = query_of(country, request).filters
    answer = retriever(world).similar(like(country, row, request.k, filters=filters))
    request = replace(request, seed=row, exclude_history=False)
    scores = table(country, request)
    eligible = [other for other in eligible_rows(country, request) if other != row]
    assert answer.scores.tolist() == pytest.approx(best(scores, eligible, request.k))
    assert answer.scores.tolist() == pytest.approx([scores[other] for other in answer.rows.tolist()])
    assert set(answer.rows.tolist()) <= set(eligible)
    assert (answer.report.source, answer.report.method, answer.report.contributed) == (
        "pdn",
        "neighbours",
        len(answer.rows),
    )


@settings(max_examples=100)
@given(
    data=st.data(),
    seed=st.integers(0, 31),
    source_type=st.sampled_from([0, *PAIR_SOURCES]),
    target_type=st.sampled_from([0, *PAIR_TARGETS]),
)
def test_pairs_are_answered_by_cosine(data: st.DataObject, seed: int, source_type: int, target_type: int) -> None:
    """From the item's pair to the nearest pairs of the target type; 0 is the first type that there is."""
    world = small_world(seed)
    country = world.countries["BB"]
    shard = country.item_interaction
    assert shard is not None
    row = data.draw(st.integers(0, country.catalog.size - 1))
    k = data.draw(st.integers(1, 30))
    if not shard.pairs:
        return
    answer = retriever(world).similar(
        like(country, row, k, source="item_interaction", source_type=source_type, target_type=target_type)
    )
    sources = [kind for kind in ([source_type] if source_type else PAIR_SOURCES) if has(country, kind, row)]
    targets = [kind for kind in ([target_type] if target_type else PAIR_TARGETS) if kind in shard.pairs]
    if not sources or not targets:
        assert not len(answer.rows)
        return
    begins, ends = shard.pairs[sources[0]], shard.pairs[targets[0]]  # type: ignore[index]
    vector = begins.vectors[begins.rows.tolist().index(row)].astype(float)
    scores = {int(other): float(own @ vector) for other, own in zip(ends.rows, ends.vectors, strict=True)}
    others = [other for other in range(country.catalog.size) if other != row]
    assert answer.scores.tolist() == pytest.approx(best(scores, others, k), abs=1e-5)
    assert answer.scores.tolist() == pytest.approx([scores[other] for other in answer.rows.tolist()], abs=1e-5)


def has(country: Country, kind: int, row: int) -> bool:
    """Whether an item has a pair of a type."""
    pairs = country.item_interaction.pairs.get(kind)  # type: ignore[union-attr, call-overload]
    return pairs is not None and row in pairs.rows


def test_what_is_not_there_is_refused() -> None:
    """Country, item, source and prices: each has its own error, with what there is."""
    world = small_world(2)
    led_only = world.countries["LL"]
    served = retriever(world)
    with pytest.raises(UnknownCountryError):
        served.similar(SimilarQuery("ZZ", refs([1]), 5))
    with pytest.raises(UnknownItemError, match="'gone' is not in the catalogue of AA"):
        served.similar(SimilarQuery("AA", refs(["gone"]), 5))
    with pytest.raises(SourceNotServedError, match="no source of similar items"):
        served.similar(like(led_only, 0))
    with pytest.raises(SourceNotServedError, match="no pdn") as caught:
        served.similar(like(led_only, 0, source="pdn"))
    assert caught.value.served == ()
    with pytest.raises(NoPricesError):
        served.similar(like(led_only, 0, filters=Filters(price=(0.0, 1.0))))
