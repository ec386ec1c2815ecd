"""Evidence: every source that found a candidate says why, and what it says adds up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asking import only, query_of, requests
from index_store.country import Country
from naive import MAX_HISTORY, Request, direct, pair_cosines, paths, tower_user
from server.answer import Answer, SourceEvidence
from server.retrieval import Retriever
from small_world import SmallWorld, small_world

EVERY = only("led", "two_tower", "pdn", "item_interaction", "similar", "popular", fusion="reciprocal_rank")


def explained(world: SmallWorld, country: Country, request: Request) -> Answer:
    """Ask every source, with evidence."""
    served = Retriever(world, world.encoders, {"every": EVERY}, None)  # type: ignore[arg-type]
    return served.answer(query_of(country, request, "every", explain=True))


@settings(max_examples=150)
@given(data=st.data(), seed=st.integers(0, 31))
def test_every_source_that_found_a_candidate_says_why(data: st.DataObject, seed: int) -> None:
    """One piece per bit of the mask, in order, with ranks from 0 and the numbers of the source's equation."""
    world = small_world(seed)
    country = world.countries["AA"]
    request = data.draw(requests(country))
    answer = explained(world, country, request)
    names = [report.source for report in answer.reports]
    assert len(answer.evidence) == len(answer.rows)
    for row, mask, pieces in zip(answer.rows.tolist(), answer.source_masks.tolist(), answer.evidence, strict=True):
        assert [piece.source for piece in pieces] == [name for bit, name in enumerate(names) if mask >> bit & 1]
        for piece in pieces:
            check = CHECKS.get(piece.source)
            if check and (request.known or request.seed >= 0):
                check(country, request, row, piece)
    ranks = [piece.rank for pieces in answer.evidence for piece in pieces if piece.source == names[0]]
    assert len(set(ranks)) == len(ranks) == answer.reports[0].contributed
    assert max(ranks, default=0) <= answer.reports[0].found


def check_led(country: Country, request: Request, row: int, piece: SourceEvidence) -> None:
    """The largest share `<v_h, v_i> / T`; all shares and the bias add up to the score."""
    recent = [each for each, _ in request.known][-MAX_HISTORY:]
    if not recent:
        assert piece.history_row == -1
        return
    items, bias = country.led.vectors[:, :-1].astype(float), float(country.led.vectors[row, -1])
    shares = [float(items[each] @ items[row]) / len(recent) for each in recent]
    assert sum(shares) + bias == pytest.approx(piece.score, abs=1e-4)
    assert piece.contribution == pytest.approx(max(shares), abs=1e-4)
    assert (piece.history_row, piece.history_type) in request.known[-MAX_HISTORY:]
    assert shares[recent.index(piece.history_row)] == pytest.approx(piece.contribution, abs=1e-4)


def check_two_tower(country: Country, request: Request, row: int, piece: SourceEvidence) -> None:
    """The item without which the score falls most."""
    recent = [each for each, _ in request.known][-MAX_HISTORY:]
    if not recent:
        assert piece.history_row == -1
        return
    vector = country.two_tower.vectors[row].astype(float)  # type: ignore[union-attr]
    score = float(tower_user(country, request, recent) @ vector)
    falls = {
        each: score - float(tower_user(country, request, [other for other in recent if other != each]) @ vector)
        for each in set(recent)
    }
    assert piece.score == pytest.approx(score, abs=1e-4)
    assert piece.contribution == pytest.approx(max(falls.values()), abs=1e-4)
    assert falls[piece.history_row] == pytest.approx(piece.contribution, abs=1e-4)


def check_pdn(country: Country, request: Request, row: int, piece: SourceEvidence) -> None:
    """Paths, largest first, and the direct term add up to the score."""
    expected = {trigger: (weight, score) for trigger, weight, score in paths(country, request)[row]}
    found = {path.trigger_row: (path.weight, path.similarity) for path in piece.paths}
    assert found.keys() == expected.keys()
    for trigger, numbers in found.items():
        assert numbers == pytest.approx(expected[trigger], abs=1e-5)
    contributions = [path.contribution for path in piece.paths]
    assert contributions == sorted(contributions, reverse=True)
    assert contributions == pytest.approx([np.logaddexp(0, path.weight + path.similarity) for path in piece.paths])
    assert sum(contributions) + piece.direct == pytest.approx(piece.score, abs=1e-4)
    assert piece.direct == pytest.approx(direct(country, request, row), abs=1e-5)
    newest = dict(request.known[-MAX_HISTORY:])
    assert all(path.trigger_type == newest[path.trigger_row] for path in piece.paths)


def check_pairs(country: Country, request: Request, row: int, piece: SourceEvidence) -> None:
    """The pair whose cosine is the score, the largest of all."""
    cosines = {(start, target): cosine for start, target, near, cosine in pair_cosines(country, request) if near == row}
    start = (piece.history_row, piece.history_type)
    assert piece.score == pytest.approx(max(cosines.values()), abs=1e-5)
    assert cosines[start, piece.target_type] == pytest.approx(piece.score, abs=1e-5)


def check_similar(country: Country, request: Request, row: int, piece: SourceEvidence) -> None:  # noqa: ARG001
    """The seed, or the newest item, whose score is the whole score."""
    expected = request.seed if request.seed >= 0 else request.known[-1][0]
    assert (piece.history_row, piece.contribution) == (expected, piece.score)


CHECKS = {
    "led": check_led,
    "two_tower": check_two_tower,
    "pdn": check_pdn,
    "item_interaction": check_pairs,
    "similar": check_similar,
}


def test_evidence_is_only_made_when_asked_for() -> None:
    """Without explain there is none, and no encoder runs a second time."""
    world = small_world(1)
    country = world.countries["BB"]
    request = Request(((0, 1), (1 % country.catalog.size, 2)), k=5)
    served = Retriever(world, world.encoders, {"every": EVERY}, None)  # type: ignore[arg-type]
    calls = [sum(encoder.calls for encoder in world.encoders.values())]
    for explain in (False, True):
        answer = served.answer(query_of(country, request, "every", explain=explain))
        assert bool(answer.evidence) == explain
        calls.append(sum(encoder.calls for encoder in world.encoders.values()))
    plain, asked = np.diff(calls)
    assert (plain, asked) == (3, 6)


def test_what_popularity_filled_up_is_explained_as_popular() -> None:
    """A back-filled candidate has one piece, from popular, with its number of interactions."""
    world = next(world for world in map(small_world, range(50)) if world.countries["AA"].catalog.size == 60)
    country = world.countries["AA"]
    for profile in (only("pdn"), replace(only("pdn", "popular"), name="pdn", fusion="reciprocal_rank")):
        served = Retriever(world, world.encoders, {"pdn": profile}, None)  # type: ignore[arg-type]
        answer = served.answer(query_of(country, Request(((0, 1),), k=60), "pdn", explain=True, quotas={"popular": 2}))
        for row, pieces in list(zip(answer.rows.tolist(), answer.evidence, strict=True))[-answer.backfilled :]:
            assert [piece.source for piece in pieces] == ["popular"]
            assert pieces[0].score == country.catalog.popularity[row]
