"""A real bundle of all sources, with its ONNX encoders, answered by the Retriever as training expects."""

from pathlib import Path

import numpy as np
import pytest

from asking import only, refs
from index_store.bundle import Bundle, load_bundle
from index_store.content import BundleContent
from index_store.publish import publish
from server.query import History, Query
from server.retrieval import Retriever
from tiny_bundle import POLICY
from tiny_sources import full_content

SIZES = {"DE": 40, "FR": 45}  # searched exactly
SOURCES = ("two_tower", "pdn", "item_interaction")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[BundleContent, Bundle]:
    """A tiny bundle of all sources."""
    root: Path = tmp_path_factory.mktemp("bundles")
    content = full_content(sizes=SIZES)
    return content, load_bundle(publish(content, root=root, name="tiny", version="1", policy=POLICY))


@pytest.mark.parametrize("source", SOURCES)
def test_golden_requests_are_answered_as_training_expects(published: tuple[BundleContent, Bundle], source: str) -> None:
    """The source alone gives the items and scores that training computed; its own candidates come first."""
    content, bundle = published
    served = Retriever(bundle, bundle.open_encoders(), {source: only(source)})  # type: ignore[arg-type]
    cases = [case for case in content.source_golden if case.source == source]
    assert {case.country for case in cases} == set(SIZES)
    for case in cases:
        items, types, times = zip(*case.history, strict=True)
        history = History(refs(list(items)), np.array(types, dtype=np.int64), np.array(times, dtype=np.int64))
        query = Query(
            case.country, history, case.k, case.time_ms, features=dict(case.features), profile=source,
            seed=refs([] if case.seed is None else [case.seed]),
        )  # fmt: skip
        answer = served.answer(query)
        own = len(answer.rows) - answer.backfilled
        assert own == len(case.item_ids)
        assert answer.scores[:own].tolist() == pytest.approx(list(case.scores), abs=1e-4)
        assert set(answer.country.catalog.item_ids[answer.rows[:own]].tolist()) == set(case.item_ids)
