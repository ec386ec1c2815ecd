"""The bench of peers: its job, its tuning, its checks and its page, with the afternoon version as a real peer."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadtest.peers.afternoon import AfternoonPeer
from loadtest.peers.environments import python_of
from loadtest.peers.front import encode_reply
from loadtest.peers.job import JUDGED, K
from loadtest.peers.make_job import made_job
from loadtest.peers.measuring import Effort, measure, variant_of
from loadtest.peers.peer import RETRIEVAL, Answers, Place, Serving, UnavailableError, Variant
from loadtest.peers.recall import WrongAnswerError, recall_of
from loadtest.peers.report import read_results, write_page
from loadtest.peers.tuning import smallest_reaching, tune
from protos.retrieval.v1 import retrieval_pb2 as pb


class _Tiny(AfternoonPeer):
    """The afternoon version with few settings, so that tuning takes seconds."""

    def variants(self, place: Place) -> Sequence[Variant]:
        return [replace(each, efforts=(100, 400), choices=({"processes": 1},)) for each in super().variants(place)[1:]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A job of 1,500 items, in a directory of its own."""
    folder = tmp_path_factory.mktemp("peers")
    job = made_job(folder / "1500" / "job", 1500, lambda *_: None, users=JUDGED)
    return Place(job, folder / "environments", folder / "1500", Console(quiet=True))


@pytest.fixture(scope="module")
def serving(place: Place) -> Iterator[Serving]:
    """The afternoon version, running."""
    peer = _Tiny()
    (variant,) = peer.variants(place)
    with peer.store(place, variant) as store, peer.serve(place, variant, store, 400, {"processes": 1}) as running:
        yield running


def test_the_job_is_what_numpy_says(place: Place) -> None:
    """Users are means of their histories, and exactly the best 100 items are at the bar."""
    job = place.job
    assert np.allclose(job.users, job.vectors[job.histories].mean(axis=1), atol=1e-5)
    scores = job.users[:JUDGED] @ job.vectors.T
    assert ((scores >= job.bars[:, None]).sum(axis=1) == K).all()


def test_a_peer_answers_the_job(place: Place, serving: Serving) -> None:
    """A graph searched widely finds nearly everything, over real gRPC."""
    assert recall_of(place.job, RETRIEVAL, serving, range(JUDGED)) > 0.98


@pytest.mark.parametrize("fault", ["scores", "twice", "few"])
def test_other_answers_do_not_count(place: Place, serving: Serving, fault: str) -> None:
    """Scores that are no inner products and items that come twice are refused; missing items are missed."""

    def faulty(replies: Sequence[bytes]) -> Answers:
        ids, scores = RETRIEVAL.decode(replies)
        if fault == "scores":
            return ids, [each + 1 for each in scores]
        if fault == "twice":
            return [np.repeat(each[:1], K) for each in ids], scores
        return [each[:50] for each in ids], [each[:50] for each in scores]

    wire = replace(RETRIEVAL, decode=faulty)
    if fault == "few":
        assert 0.45 < recall_of(place.job, wire, serving, range(20)) <= 0.5
    else:
        with pytest.raises(WrongAnswerError):
            recall_of(place.job, wire, serving, range(20))


def test_a_peer_is_tuned_measured_and_shown(place: Place, tmp_path: Path) -> None:
    """The page has a line of what was measured, and the JSON all of it; writing it again changes nothing."""
    peer, notes = _Tiny(), []
    (setting,) = tune(peer, place, [0.9], notes.append)
    with peer.store(place, variant_of(peer, place, setting)) as store:
        measured = measure(peer, place, store, setting, Effort(repeats=1, closed_s=0.3, open_s=0.3), notes.append)
    assert setting.reached
    assert measured.recall == pytest.approx(setting.recall)
    assert measured.errors == 0
    assert measured.half_rate * 2 == pytest.approx(measured.qps)
    assert 0 < measured.p50_ms <= measured.p99_ms
    assert measured.cpu_us > 10
    assert measured.pss_mb > 20

    kept = place.data / "results" / "afternoon.json"
    kept.parent.mkdir()
    row = {"setting": setting.to_json(), "index": None, **measured.to_json()}
    result = {"title": peer.facts.title, "skipped": None, "versions": {}, "measured": {"0.9": row}}
    kept.write_text(json.dumps(result), encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- figures: python -m loadtest.peers --page -->\nstale figures\n<!-- end of figures -->\nafter\n"
    )
    write_page(page, place.data.parent)
    first = page.read_text(encoding="utf-8")
    assert f"| {peer.facts.title} | {measured.recall:.3f} |" in first
    assert first.startswith("before\n")
    assert first.endswith("\nafter\n")
    assert "stale figures" not in first
    assert json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["1500"] == read_results(place.data)
    write_page(page, place.data.parent)
    assert page.read_text(encoding="utf-8") == first


@given(recalls=st.lists(st.floats(0, 1), min_size=1, max_size=20).map(sorted), target=st.floats(0, 1))
def test_the_smallest_effort_that_reaches_is_found(recalls: list[float], target: float) -> None:
    """As a walk through all of them finds it."""
    expected = next((number for number, recall in enumerate(recalls) if recall >= target), len(recalls) - 1)
    assert smallest_reaching(range(len(recalls)), recalls.__getitem__, target) == expected


@given(
    st.lists(
        st.tuples(st.integers(0, 2**64 - 1), st.floats(width=32, allow_nan=False, allow_infinity=False)), max_size=9
    )
)
def test_records_are_what_the_generated_class_reads(found: list[tuple[int, float]]) -> None:
    """The front's replies hold the ids and scores that were written, zeros too."""
    reply = encode_reply(
        np.array([item for item, _ in found], dtype=np.uint64),
        np.array([score for _, score in found], dtype=np.float32),
    )
    parsed = pb.RetrieveResponse.FromString(reply)
    assert [(each.item_id, each.score) for each in parsed.candidates] == found


def test_a_peer_that_cannot_be_installed_says_why(place: Place) -> None:
    """A missing interpreter is a reason to skip, not a crash."""
    with pytest.raises(UnavailableError, match="no-such-python"):
        python_of(place, "triton", interpreter="/no-such-python")
