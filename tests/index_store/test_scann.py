"""ScaNN's index agrees with a naive computation, comes back as it was built, and never ends the process."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_store import engines, source_golden
from index_store.arrays import save_array
from index_store.bundle import load_bundle, verify_bundle
from index_store.calibration import calibrate
from index_store.content import IndexPolicy
from index_store.engines import ScannUnfit
from index_store.errors import EngineMissing
from index_store.index import ExactIndex
from index_store.index_entry import ScannEntry
from index_store.publish import publish
from index_store.recall import recall
from index_store.scann_index import ScannIndex
from index_store.vectors import load_vectors
from scann_damage import SCANN_DAMAGES, SCANN_POLICY
from tiny_bundle import POLICY, tiny_content
from tiny_sources import full_content

SMALL = ScannEntry(leaves=25, block=2, soar=1.5, seed=7, search_leaves=25, reorder=300)


def clustered(count: int, dim: int, seed: int = 0) -> np.ndarray:
    """Vectors (count, dim) around some fifty centres, of unequal lengths."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(50, dim))[rng.integers(0, 50, count)]
    lengths = np.exp(0.3 * rng.normal(size=(count, 1)))
    return (lengths * (centres + 0.4 * rng.normal(size=(count, dim)))).astype(np.float32)


VECTORS = clustered(1500, 13)


@pytest.fixture(scope="module")
def index() -> ScannIndex:
    """An index over `VECTORS` that searches all leaves."""
    return ScannIndex.build(VECTORS, 10, SMALL)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(40, 400),
    dim=st.integers(1, 21),
    block=st.integers(1, 4),
    k=st.integers(1, 60),
    soar=st.sampled_from([None, 1.0]),
)
def test_what_is_found_is_scored_exactly_and_in_order(
    seed: int, count: int, dim: int, block: int, k: int, soar: float | None
) -> None:
    """K different rows, each with its inner product, best first, equal scores by lower row; nearly the exact ones."""
    vectors = clustered(count, dim, seed)
    entry = ScannEntry(leaves=6, block=block, soar=soar, seed=seed % 1000, search_leaves=6, reorder=(2 * count) // 5)
    queries = np.random.default_rng(seed).normal(size=(4, dim)).astype(np.float32)
    try:
        built = ScannIndex.build(vectors, 60, entry)
    except ScannUnfit:
        return
    found, exact = built.search(queries, k), ExactIndex(vectors).search(queries, k)
    wanted = min(k, count)
    for query, rows, scores, best in zip(queries, found.rows, found.scores, exact.scores, strict=True):
        assert len(set(rows.tolist())) == wanted
        np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-5, atol=1e-5)
        ranked = sorted(zip((-scores).tolist(), rows.tolist(), strict=True))
        assert [row for _, row in ranked] == rows.tolist()
        assert np.mean(scores >= best[-1] - 1e-4) >= 0.5


def test_all_leaves_and_many_reordered_find_what_exact_search_finds(index: ScannIndex) -> None:
    """With the widest effort nearly every row of the exact top 10 is found, one query at a time or many."""
    queries = np.random.default_rng(3).normal(size=(50, 13)).astype(np.float32)
    found, exact = index.search(queries, 10), ExactIndex(VECTORS).search(queries, 10)
    assert found.method == "scann"
    assert np.mean(found.scores >= exact.scores[:, -1:] - 1e-5) > 0.99
    alone = np.concatenate([index.search(query[None], 10).rows for query in queries])
    assert np.array_equal(alone, found.rows)


@pytest.mark.parametrize("leaves", [1, 3, 25])
def test_what_was_scored_besides_is_given_where_it_is_wanted(leaves: int) -> None:
    """The first k are those of a search without; then come others, best first, and -1 where the leaves hold no more."""
    built = ScannIndex.build(VECTORS, 10, SMALL)
    built.set_effort(msgspec.structs.replace(SMALL, search_leaves=leaves))
    for query in np.random.default_rng(6).normal(size=(20, 1, 13)).astype(np.float32):
        found, more = built.search(query, 10), built.search(query, 10, spare=True)
        rows, scores = more.rows[0][more.rows[0] >= 0], more.scores[0][more.rows[0] >= 0]
        assert more.rows.shape == (1, SMALL.reorder)
        assert rows[:10].tolist() == found.rows[0].tolist()
        assert len(set(rows.tolist())) == len(rows) > 10
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_allclose(scores, VECTORS[rows] @ query[0], rtol=1e-5, atol=1e-5)
        assert (more.rows[0][len(rows) :] == -1).all()
        assert (more.scores[0][len(rows) :] == -np.inf).all()


def test_leaves_that_hold_too_few_rows_are_widened() -> None:
    """Searching one leaf of about 120 rows for 500 still gives 500 different rows, and nearly the best ones."""
    index = ScannIndex.build(VECTORS, 500, SMALL)
    index.set_effort(msgspec.structs.replace(SMALL, search_leaves=1, reorder=500))
    query = np.random.default_rng(5).normal(size=(1, 13)).astype(np.float32)
    found = index.search(query, 500)
    assert len(set(found.rows[0].tolist())) == 500
    bar = ExactIndex(VECTORS).search(query, 500).scores[0, -1]
    assert np.mean(found.scores[0] >= bar - 1e-5) > 0.9


def test_most_of_the_catalogue_is_searched_exactly(index: ScannIndex) -> None:
    """K over half of the rows, or over all of them, gives each row once, in the exact order."""
    query = np.ones((1, 13), dtype=np.float32)
    for k in (800, 1500, 9999):
        found, exact = index.search(query, k), ExactIndex(VECTORS).search(query, k)
        assert found.method == "exact"
        assert np.array_equal(found.rows, exact.rows)


def test_queries_that_are_no_good_are_the_callers_fault(index: ScannIndex) -> None:
    """NaN, infinity and another dimension raise `ValueError`; a zero query finds k rows that score 0."""
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="expected finite queries"):
            index.search(np.full((1, 13), bad, dtype=np.float32), 10)
    with pytest.raises(ValueError, match="expected queries of 13 dimensions, found 12"):
        index.search(np.ones((1, 12), dtype=np.float32), 10)
    found = index.search(np.zeros((1, 13), dtype=np.float32), 10)
    assert len(set(found.rows[0].tolist())) == 10
    assert not found.scores.any()


def test_a_query_whose_scores_overflow_does_not_end_the_process(index: ScannIndex) -> None:
    """ScaNN aborts where a score is beyond float32; a query that comes near it is an error of its own instead."""
    assert index.search(np.full((1, 13), 1e20, dtype=np.float32), 10).method == "scann"
    for size in (1e30, 1e38, 3.4e38):
        with pytest.raises(ValueError, match="components up to"):
            index.search(np.full((1, 13), size, dtype=np.float32), 10)


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """One thread, one seed, k-means++: two builds over the same vectors are the same files."""
    for name in ("a", "b"):
        ScannIndex.build(VECTORS, 10, SMALL).save(tmp_path / name)
    written = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b")]
    assert written[0] == written[1]
    assert "dataset.npy" not in written[0]


def test_a_moved_index_answers_as_the_one_that_was_built(index: ScannIndex, tmp_path: Path) -> None:
    """Nothing in the files says where they lie; the vectors are the array beside the folder."""
    save_array(tmp_path / "here" / "vectors.npy", VECTORS)
    index.save(tmp_path / "here" / "scann")
    shutil.move(tmp_path / "here", tmp_path / "a strange \"place\" 'é'")
    folder = tmp_path / "a strange \"place\" 'é'"
    loaded = ScannIndex.load(folder / "scann", load_vectors(folder / "vectors.npy", 1500, 13), 10, SMALL)
    queries = np.random.default_rng(1).normal(size=(20, 13)).astype(np.float32)
    expected, found = index.search(queries, 10), loaded.search(queries, 10)
    assert np.array_equal(expected.rows, found.rows)
    # where an array lies decides in which order ScaNN sums
    np.testing.assert_allclose(expected.scores, found.scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "vectors",
    [np.ones((1000, 8)), np.eye(5), np.random.default_rng(0).normal(size=(500, 8)) * 1e20],
    ids=["all alike", "too few", "too large"],
)
def test_vectors_that_scann_cannot_store_are_refused_at_building(vectors: np.ndarray, tmp_path: Path) -> None:
    """The publisher leaves ScaNN out for them, instead of writing what no reader would take."""
    with pytest.raises(ScannUnfit):
        ScannIndex.build(vectors.astype(np.float32), 10, SMALL).save(tmp_path / "scann")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose larger countries are searched by ScaNN, DE exactly."""
    root = tmp_path_factory.mktemp("bundles")
    return publish(tiny_content(), root=root, name="tiny", version="v1", policy=SCANN_POLICY)


def test_a_bundle_of_all_sources_is_searched_by_scann(tmp_path: Path) -> None:
    """Every MUST holds, golden requests are found, and the manifest says which setting and why."""
    path = publish(full_content(), root=tmp_path, name="tiny", version="v1", policy=SCANN_POLICY)
    bundle = verify_bundle(path)
    france = bundle.manifest.countries["FR"]
    for entry in (france.led, france.two_tower, france.item_interaction["CART"]):
        assert entry.engine == "scann"
        assert entry.scann.leaves == 20
        assert "scann" in entry.reason
    assert bundle.manifest.countries["DE"].led.engine == "exact"
    found = bundle.countries["FR"].led.search(bundle.countries["FR"].led.vectors[:3], 10)
    assert found.rows.shape == (3, 10)


def test_golden_pairs_are_held_to_what_their_index_promises(tmp_path: Path) -> None:
    """A replay of pairs that ScaNN searches asks for the recall target, not for every item as exact search would."""
    path = publish(full_content(), root=tmp_path, name="tiny", version="v1", policy=SCANN_POLICY)
    bundle = load_bundle(path)
    request = next(each for each in bundle.source_golden if (each.source, each.country) == ("item_interaction", "FR"))
    replay = source_golden._Replay.of(0, request, bundle.countries["FR"])
    assert source_golden._item_interaction(replay, {})[1] == SCANN_POLICY.recall_target < 1.0


def test_without_scann_its_bundles_are_refused_with_what_to_install(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M26 names the folder and the extra."""
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    with pytest.raises(EngineMissing, match=r"\(M26\).*led.*pip install 'shortlist\[scann\]'"):
        load_bundle(published)


def test_without_scann_others_are_measured_and_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishing goes on with the engines that there are."""
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    policy = replace(POLICY, engines=("hnsw", "scann"))
    bundle = load_bundle(publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=policy))
    entry = bundle.manifest.countries["FR"].led
    assert entry.engine == "hnsw"
    assert "scann is not installed here" in entry.reason


@pytest.mark.parametrize("name", SCANN_DAMAGES)
def test_loading_refuses_by_name(published: Path, tmp_path: Path, name: str) -> None:
    """Each damage raises the error of the MUST it breaks, before ScaNN reads the file."""
    copy = Path(shutil.copytree(published, tmp_path / "tiny" / "v1"))
    damage, error = SCANN_DAMAGES[name]
    damage(copy)
    with pytest.raises(error) as caught:
        load_bundle(copy)
    assert type(caught.value) is error
    assert f"({error.rule})" in str(caught.value)


def test_a_rerun_publishes_the_same_files(published: Path, tmp_path: Path) -> None:
    """Same content, same policy: all files but the manifest, which has times in it, are the same bytes."""
    again = publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=SCANN_POLICY)
    hashes = [
        {each["path"]: each["sha256"] for each in json.loads((path / "manifest.json").read_text())["files"]}
        for path in (published, again)
    ]
    assert hashes[0] == hashes[1]


def test_one_policy_measures_all_engines(tmp_path: Path) -> None:
    """Exact, hnsw and scann stand on one curve, and exactly one point is the chosen one."""
    policy = IndexPolicy(recall_k=10, exact_below=50, scann_leaves=20, m=(8, 16))
    bundle = load_bundle(publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=policy))
    entry = bundle.manifest.countries["FR"].led
    assert {point.engine for point in entry.curve} == {"exact", "hnsw", "scann"}
    assert {point.m for point in entry.curve if point.engine == "hnsw"} == {8, 16}
    assert sum(entry.chosen(point) for point in entry.curve) == 1


def test_deeper_searches_are_as_good_as_publishing_measured() -> None:
    """Ten times as many rows as recall_k, which filters may ask for, are found with the target's recall, too."""
    rng = np.random.default_rng(4)
    vectors = clustered(4000, 16)
    queries = (vectors[rng.integers(0, 4000, 60)] + vectors[rng.integers(0, 4000, 60)]) / 2
    policy = IndexPolicy(recall_k=10, exact_below=10, engines=("scann",), scann_leaves=60)
    found = calibrate("FR", vectors, queries, 60, [], policy)
    assert (found.entry.scann.leaves_growth, found.entry.scann.reorder_growth) <= (1.0, 1.0)
    assert recall(found.index.index, vectors, queries[:50], 100) >= 0.95
    assert recall(found.index.index, vectors, queries, 10) == found.entry.recall
