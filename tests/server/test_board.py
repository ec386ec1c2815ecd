"""The board that all processes count on: slots, columns of countries, buckets."""

import re

from hypothesis import given
from hypothesis import strategies as st

from index_store.manifest import COUNTRY_PATTERN
from server.board import Board
from server.collector import BoardCollector
from server.master_metrics import MasterMetrics
from server.metrics import MAX_COUNTRIES
from server.worker_metrics import WorkerMetrics


def test_slots_are_summed_and_another_process_may_write_them() -> None:
    """Two views of one memory file see each other; a new writer goes on where the old one stopped."""
    board = Board.create(4)
    for slot in (0, 3, 3):
        writer = WorkerMetrics(Board(board.descriptor, 4).slot(slot))
        writer.call_started(0)
        writer.call_handled(0, 0, 250_000)
        writer.call_handled(0, 13, 10**12)
        writer.publish()
    families = {family.name: family for family in BoardCollector(board, MasterMetrics()).collect()}
    assert [one.value for one in families["grpc_server_started"].samples] == [3, 0, 0, 0]
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
    metrics = WorkerMetrics(board.slot(0))
    metrics.call_handled(0, 0, 100_000)
    metrics.publish()
    families = {family.name: family for family in BoardCollector(board, MasterMetrics()).collect()}
    first = families["grpc_server_handling_seconds"].samples[0]
    assert (first.labels["le"], first.value) == ("0.0001", 1)


@given(st.lists(st.lists(st.from_regex(COUNTRY_PATTERN, fullmatch=True), max_size=30), max_size=8))
def test_a_country_keeps_its_columns(bundles: list[list[str]]) -> None:
    """Whatever bundles come after each other: places are from 1 on, each once, and never change; all views see them."""
    board = Board.create(1)
    places: dict[str, int] = {}
    for codes in bundles:
        given_places = Board(board.descriptor, 1).add_countries(codes)
        assert set(given_places) == set(codes)
        assert all(places.setdefault(code, place) == place for code, place in given_places.items())
    assert sorted(places.values()) == list(range(1, len(places) + 1))
    assert [places[code] for code in board.countries()] == sorted(places.values())


def test_countries_beyond_the_last_place_share_one() -> None:
    """The number of series is bounded: the 1,025th country's answers are those of "(other)"."""
    board = Board.create(1)
    codes = [f"C{number}" for number in range(MAX_COUNTRIES + 5)]
    places = board.add_countries(codes)
    assert [places[code] for code in codes[-6:]] == [MAX_COUNTRIES, 0, 0, 0, 0, 0]
    metrics = WorkerMetrics(board.slot(0), places)
    for code in codes:
        metrics.retrieved(code, 0, 1)
    metrics.publish()
    families = {family.name: family for family in BoardCollector(board, MasterMetrics()).collect()}
    counts = {one.labels["country"]: one.value for one in families["shortlist_retrievals"].samples}
    assert len(counts) == MAX_COUNTRIES + 1
    assert counts["(other)"] == 5
    assert not re.match(COUNTRY_PATTERN, "(other)")


def test_a_replaced_worker_counts_on() -> None:
    """What its predecessor had published is where it begins, also with more countries than before."""
    board = Board.create(1)
    for codes in (["FR"], ["DE", "FR"]):
        metrics = WorkerMetrics(board.slot(0), board.add_countries(codes))
        metrics.retrieved("FR", 0, 7)
        metrics.publish()
        metrics.publish()
    families = {family.name: family for family in BoardCollector(board, MasterMetrics()).collect()}
    counts = {one.labels["country"]: one.value for one in families["shortlist_candidates"].samples}
    assert counts == {"FR": 14, "DE": 0}
