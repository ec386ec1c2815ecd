"""Live recall: real requests are compared with exact search, beside the service and never in its way."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from running_server import RunningServer, eventually, request

from index_store.bundle import Bundle
from index_store.content import BundleContent
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.judge import Averages, Judging, exact_country, recall_of
from server.limits import Limits
from server.query import Query
from server.recall_sample import Sample, SourceList, decode_sample, encode_sample, sample_of
from server.resolve import Resolver
from server.retrieval import Retriever
from server.service import Retrieve
from worsened import publish_worsened

Start = Callable[..., RunningServer]
EAGER = {"recall_samples_per_s": 1000.0, "recall_cpu_share": 1.0}
LIMITS = Limits(1000, 500, 1000, 16)
ROWS = st.lists(st.integers(0, 30), unique=True, max_size=12)

# the judge runs only when nobody else wants the processor
PATIENCE_S = 80.0


def _retriever(bundle: Bundle) -> Retriever:
    return Retriever(bundle, bundle.open_encoders(), {})


def _query(**fields: object) -> Query:
    raw = request("FR", 20, (7, 11, 19), **fields).SerializeToString()
    return Retrieve(None, "", LIMITS).decode(raw)  # type: ignore[arg-type] # decoding needs no retriever


def test_a_sample_survives_the_way(bundle: Bundle) -> None:
    """What the judge reads is what the worker sent, lazily decoded histories, filters and all."""
    query = _query(filters=pb.Filters(merchants=["merchant-3"], excluded_item_ids=[5]))
    sample = sample_of(query, _retriever(bundle).answer(query))
    read = decode_sample(encode_sample(sample))
    assert read.query.history.items.item_ids.tolist() == [7, 11, 19]
    assert read.query.history.types.tolist() == query.history.types.tolist()
    assert read.query.filters.merchants == ("merchant-3",)
    assert [(one.source, one.rows.tolist(), one.scores.tolist()) for one in read.lists] == [
        (one.source, one.rows.tolist(), one.scores.tolist()) for one in sample.lists
    ]


def test_the_share_is_that_of_the_exact_answer(bundle: Bundle) -> None:
    """An answer with rows left out is judged by what it lacks of numpy's own answer."""
    query = _query()
    (served,) = sample_of(query, _retriever(bundle).answer(query)).lists
    vectors = bundle.countries["FR"].led.vectors
    known = bundle.countries["FR"].catalog.rows_of_ids(query.history.items.item_ids)
    user = vectors[known[known >= 0], :-1].mean(axis=0)
    best = np.argsort(-(vectors @ np.append(user, np.float32(1.0))), kind="stable")[: len(served.rows)]
    judging = Judging(bundle, bundle.open_encoders(), {})
    for kept in (20, 15, 0):
        rows = best[:kept]
        sample = Sample(query, (SourceList("led", rows, np.full(kept, -1e9, dtype=np.float32)),))
        assert judging.judge(sample) == ("FR", {"led": kept / len(served.rows)})
    share = len(set(best.tolist()) & set(served.rows.tolist())) / len(best)
    assert judging.judge(Sample(query, (served,)))[1]["led"] == pytest.approx(share)


@given(ROWS, ROWS, st.data())
def test_recall_is_as_counted_naively(served: list[int], exact: list[int], data: st.DataObject) -> None:
    """Rows of the exact answer count, and so do rows that tie with its last."""
    scores = np.sort(np.array(data.draw(st.lists(st.integers(-3, 3), min_size=31, max_size=31)), dtype=np.float32))
    of = scores[::-1]
    exact_rows = np.array(sorted(exact), dtype=np.int64)  # lower rows score no less
    rows = np.array(served, dtype=np.int64)
    found = recall_of(SourceList("led", rows, of[rows]), exact_rows, of[exact_rows])
    if not exact:
        assert found is None
    else:
        hits = sum(row in exact or of[row] >= of[exact_rows[-1]] for row in served)
        assert found == min(hits, len(exact)) / len(exact)


def test_averages_forget() -> None:
    """A request counts half after a minute, so what has changed shows within two."""
    averages = Averages()
    for second in range(300):
        averages.add("FR", {"led": 1.0}, float(second))
    for second in range(300, 420):
        judged = averages.add("FR", {"led": 0.2}, float(second))
    (led,) = judged.sources
    assert led.recall == pytest.approx(0.2 + 0.8 * 0.25, abs=0.02)
    assert 60 < led.samples < 100
    assert averages.add("FR", {"led": 1.0}, 1e6).sources[0].samples == pytest.approx(1.0)


def test_a_country_searched_exactly_keeps_its_vectors(bundle: Bundle) -> None:
    """No copy: the judge shares them with the workers."""
    country = bundle.countries["FR"]
    exact = exact_country(country)
    assert exact.led.vectors is country.led.vectors
    assert Resolver({"FR": exact}, {}, {}, None).country("FR") == (exact, False)


def _recall(server: RunningServer, country: str = "FR", source: str = "led") -> float | None:
    return server.metrics().get(("shortlist_live_recall", country, source))


def _ask(server: RunningServer, users: Mapping[str, NDArray[np.uint64]], count: int) -> None:
    rng = np.random.default_rng(5)
    with server.stub() as stub:
        for _ in range(count):
            for country, ids in users.items():
                picked = tuple(int(item) for item in rng.choice(ids, 3))
                stub.Retrieve(request(country, 30, picked))


def test_real_requests_are_judged(start: Start, content: BundleContent) -> None:
    """Recall by country and source with its sample's size and age, from requests of both kinds."""
    users = {code: country.item_ids for code, country in content.countries.items()}
    with start(workers=1, **EAGER) as server:
        server.wait_until_serving()
        assert _recall(server) is None

        def judged() -> bool:
            _ask(server, users, 3)
            return all(_recall(server, country) is not None for country in users)

        eventually(judged, within_s=PATIENCE_S)
        metrics = server.metrics()
        assert 0.9 <= metrics[("shortlist_live_recall", "FR", "led")] <= 1.0
        assert metrics[("shortlist_live_recall", "DE", "led")] == 1.0
        assert metrics[("shortlist_live_recall_samples", "FR", "led")] > 0.5
        assert 0 <= metrics[("shortlist_live_recall_age_seconds", "FR", "led")] < 20
        assert metrics[("shortlist_live_recall_judged_total",)] >= 3
        assert metrics[("shortlist_live_recall_dropped_total", "failed")] == 0
        (judge,) = server.judges()
        assert judge.nice() == min(19, os.nice(0) + 19)
        assert os.sched_getscheduler(judge.pid) == os.SCHED_IDLE
        judge.kill()
        server.wait_for_log(r"the judge \(pid \d+\) ended: killed by SIGKILL")
        _ask(server, users, 1)
        eventually(server.judges)


def test_a_worsened_index_shows(start: Start, root: Path, content: BundleContent) -> None:
    """A bundle whose graphs are worse than it says: live recall is under the target as soon as it is judged."""
    users = {"FR": content.countries["FR"].item_ids}
    with start(workers=1, **EAGER) as server:
        server.wait_until_serving()

        def judged() -> float | None:
            _ask(server, users, 5)
            return server.metrics().get(("shortlist_live_recall_samples", "FR", "led"), 0.0) > 20

        eventually(judged, within_s=PATIENCE_S)
        good = _recall(server)
        assert good is not None
        assert good > 0.9
        publish_worsened(root, content)
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"serving on .*tiny/v2 \(reload\)")
        eventually(judged, within_s=PATIENCE_S)
        worse = _recall(server)
        assert worse is not None
        assert worse < server.metrics()[("shortlist_index_recall_target", "FR", "hnsw", "led", "")] - 0.1


def test_without_samples_there_is_no_judge(start: Start) -> None:
    """0 a second turns it off."""
    with start(workers=1, recall_samples_per_s=0.0) as server:
        server.wait_until_serving()
        with server.stub() as stub:
            stub.Retrieve(request())
        assert not server.judges()
        assert server.metrics()[("shortlist_live_recall_judged_total",)] == 0
