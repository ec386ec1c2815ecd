"""Path retrieval agrees with equation 14, path by path."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index_store.content import PdnContent
from index_store.manifest import PdnEntry
from index_store.pdn import PdnShard, softplus
from models.encoder import OnnxEncoder
from models.features import UserContext
from models.pdn import triggers_of, trignet_inputs
from tiny_sources import DIRECT_DIM, FEATURES, MAX_HISTORY, TRIGGER_DIM, TinyEncoders, naive_paths, tiny_pdn

SIZE = 30


def shard_of(content: PdnContent, m: int = 3) -> PdnShard:
    """Load nothing: a shard over arrays in memory."""
    entry = PdnEntry(neighbours=content.neighbours.shape[1], dim=DIRECT_DIM, trigger_dim=TRIGGER_DIM)
    return PdnShard(entry, m, content.neighbours, content.scores, content.item_vectors, content.trigger_vectors)


def drawn(seed: int, triggers: int, *, ties: bool) -> tuple[PdnContent, NDArray[np.int64], NDArray[np.float32]]:
    """A random path index, and distinct trigger rows in any order with their weights."""
    rng = np.random.default_rng(seed)
    content = tiny_pdn(rng, SIZE, width=int(rng.integers(1, 9)))
    rows = rng.permutation(SIZE)[:triggers]
    weights = rng.normal(size=triggers)
    return content, rows, (np.round(weights) if ties else weights).astype(np.float32)


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    triggers=st.integers(0, SIZE),
    m=st.integers(1, 40),
    k=st.integers(1, 40),
    ties=st.booleans(),
    filtered=st.booleans(),
)
def test_search_is_equation_14_path_by_path(
    seed: int,
    triggers: int,
    m: int,
    k: int,
    ties: bool,  # noqa: FBT001 - drawn by hypothesis
    filtered: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    """The best k candidates of the best m triggers, filtered before the cut, with padding and tied triggers."""
    content, rows, weights = drawn(seed, triggers, ties=ties)
    user = np.random.default_rng(seed).normal(size=DIRECT_DIM).astype(np.float32)
    allowed = np.random.default_rng(seed + 1).random(SIZE) < 0.5 if filtered else np.ones(SIZE, dtype=np.bool_)
    naive = naive_paths(content, rows.tolist(), weights.tolist(), user, m)
    expected = {row: score for row, score in naive.items() if allowed[row]}
    keep = (lambda asked: allowed[asked]) if filtered else None
    found = shard_of(content).search(rows, weights, user, k, m, keep)
    assert found.scored == len(expected)
    assert len(found.rows) == len(set(found.rows.tolist())) == min(k, len(expected))
    assert found.paths == sum(int((content.neighbours[row] >= 0).sum()) for row in top(rows, weights, m))
    np.testing.assert_allclose(found.scores, [expected[row] for row in found.rows.tolist()], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.scores, sorted(expected.values(), reverse=True)[:k], rtol=1e-5, atol=1e-6)
    assert (np.diff(found.scores) <= 0).all()


def top(rows: NDArray[np.int64], weights: NDArray[np.float32], m: int) -> list[int]:
    """The rows of the m largest weights, equal ones by lower row."""
    return [row for _, row in sorted(zip((-weights).tolist(), rows.tolist(), strict=True))[:m]]


def test_equal_scores_are_ordered_by_row_and_the_lower_rows_stay() -> None:
    """Ten candidates with one path each, all alike: the best four are the four lowest rows, whatever the table says."""
    neighbours = np.full((11, 10), -1, dtype=np.int32)
    neighbours[0] = [7, 3, 9, 1, 10, 2, 8, 5, 4, 6]
    scores = np.where(neighbours >= 0, 0.5, -np.inf).astype(np.float16)
    content = PdnContent(neighbours, scores, np.ones((11, DIRECT_DIM), np.float32), np.ones((11, 2), np.float32))
    found = shard_of(content).search(np.array([0]), np.ones(1, np.float32), np.ones(DIRECT_DIM, np.float32), 4)
    assert found.rows.tolist() == [1, 2, 3, 4]
    assert len(set(found.scores.tolist())) == 1


def test_a_hand_computed_case() -> None:
    """Item 3: softplus(1 - 1) + softplus(4.5). Item 2, of both: softplus(1 + 0.5) + softplus(2 - 2) + softplus(2.5)."""
    neighbours = np.array([[2, 3], [2, -1], [-1, -1], [-1, -1]], dtype=np.int32)
    scores = np.array([[0.5, -1.0], [-2.0, -np.inf], [-np.inf] * 2, [-np.inf] * 2], dtype=np.float16)
    items = np.array([[0, 0], [0, 0], [1, 0.5], [2, 0.5]], dtype=np.float32)
    shard = shard_of(PdnContent(neighbours, scores, items, items))
    found = shard.search(np.array([0, 1]), np.array([1.0, 2.0], np.float32), np.array([2.0, 1.0], np.float32), 5)
    assert found.rows.tolist() == [3, 2]
    np.testing.assert_allclose(found.scores, [0.693147 + 4.511048, 1.701413 + 0.693147 + 2.578890], rtol=1e-6)


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32 - 1), triggers=st.integers(0, 12), m=st.integers(1, 14), asked=st.integers(0, SIZE))
def test_paths_and_the_direct_term_add_up_to_the_score(seed: int, triggers: int, m: int, asked: int) -> None:
    """Evidence is complete: it names every path to every candidate, and sums to what `search` scored."""
    content, rows, weights = drawn(seed, triggers, ties=False)
    shard = shard_of(content)
    user = np.random.default_rng(seed).normal(size=DIRECT_DIM).astype(np.float32)
    found = shard.search(rows, weights, user, SIZE, m)
    candidates = np.random.default_rng(seed + 2).permutation(SIZE)[:asked]
    evidence = shard.paths(candidates, rows, weights, user, m)
    score_of = dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))
    weight_of = dict(zip(rows.tolist(), weights.tolist(), strict=True))
    assert len(evidence.direct) == asked
    for place, candidate in enumerate(candidates.tolist()):
        mine = evidence.places == place
        expected = {row for row in top(rows, weights, m) if candidate in content.neighbours[row]}
        assert sorted(evidence.trigger_rows[mine].tolist()) == sorted(expected)
        assert (candidate in score_of) == bool(expected)
        if expected:
            total = evidence.contributions[mine].sum() + evidence.direct[place]
            assert total == pytest.approx(score_of[candidate], rel=1e-5)
        assert (np.diff(evidence.contributions[mine]) <= 0).all()
        assert evidence.weights[mine].tolist() == [weight_of[row] for row in evidence.trigger_rows[mine].tolist()]
        for row, similarity in zip(evidence.trigger_rows[mine], evidence.similarities[mine], strict=True):
            assert content.scores[row][content.neighbours[row] == candidate] == np.float16(similarity)


@settings(max_examples=100)
@given(st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=40))
def test_softplus_is_ln_of_one_plus_e_to_the_x(values: list[float]) -> None:
    """As accurate as float32 allows, far from 0 too; minus infinity, the padding's score, gives 0."""
    found = softplus(np.array([*values, -np.inf], dtype=np.float32))
    np.testing.assert_allclose(found[:-1], np.logaddexp(0, np.array(values)), rtol=1e-5, atol=1e-30)
    assert found[-1] == 0


@pytest.fixture(scope="module")
def encoders() -> TinyEncoders:
    """Random weights."""
    return TinyEncoders.random(np.random.default_rng(5))


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), lengths=st.lists(st.integers(0, 30), max_size=5))
def test_all_users_triggers_are_weighed_in_one_call_as_one_by_one(
    encoders: TinyEncoders, seed: int, lengths: list[int]
) -> None:
    """Weights come back user by user, users without triggers among them, and are what plain numpy computes."""
    rng = np.random.default_rng(seed)
    shard = shard_of(tiny_pdn(rng, SIZE))
    triggers = [
        triggers_of(rng.integers(0, SIZE, size=length), rng.integers(1, 6, size=length), MAX_HISTORY)
        for length in lengths
    ]
    contexts = [UserContext("FR", int(rng.integers(0, 2**40)), 0, length, {"spent": 20.0}) for length in lengths]
    encoder = OnnxEncoder.open(encoders.trignet.onnx(), encoders.trignet.spec)
    found = shard.trigger_weights(encoder, triggers, contexts)
    assert [len(weights) for weights in found] == [len(each.rows) for each in triggers]
    for weights, mine, context in zip(found, triggers, contexts, strict=True):
        inputs = trignet_inputs(shard.trigger_vectors, [mine], [context], encoder.transforms)
        np.testing.assert_allclose(weights, encoders.trignet.numpy(inputs), rtol=1e-4, atol=1e-5)


def test_user_vectors_of_no_user_and_of_two(encoders: TinyEncoders) -> None:
    """(B, d + 1), a 1 at the end; no user is no row and no error."""
    shard = shard_of(tiny_pdn(np.random.default_rng(0), SIZE))
    encoder = OnnxEncoder.open(encoders.direct.onnx(), encoders.direct.spec)
    contexts = [UserContext("FR"), UserContext("XX", 10**12, 10**11, 7)]
    found = shard.user_vectors(encoder, contexts)
    expected = encoders.direct.numpy(encoder.transforms.inputs(contexts))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found[:, -1].tolist() == [1.0, 1.0]
    assert shard.user_vectors(encoder, []).shape == (0, DIRECT_DIM)


def test_the_features_of_the_tiny_encoders_are_of_every_kind() -> None:
    """What the tests above go through has categories, buckets and numbers."""
    assert {each.kind for each in FEATURES} == {"category", "bucket", "number"}


def test_the_table_is_mapped_not_copied(tmp_path: Path) -> None:
    """A loaded table shares the file's pages among workers: it is a view of a mapping."""
    content = tiny_pdn(np.random.default_rng(0), SIZE)
    folder = tmp_path / "countries" / "FR" / "pdn"
    folder.mkdir(parents=True)
    for name in ("neighbours", "scores", "item_vectors", "trigger_vectors"):
        np.save(folder / f"{name}.npy", getattr(content, name))
    entry = PdnEntry(neighbours=content.neighbours.shape[1], dim=DIRECT_DIM, trigger_dim=TRIGGER_DIM)
    shard = PdnShard.load(tmp_path, "FR", SIZE, entry, 3)
    assert isinstance(shard.neighbours.base, np.memmap)
    assert isinstance(shard.scores.base, np.memmap)
