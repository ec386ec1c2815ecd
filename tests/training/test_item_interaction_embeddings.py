"""Nearest item-interaction pairs and items scored by their best token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.interactions import InteractionType
from shortlist_training.item_interaction.embeddings import Embeddings, Similarity, TypedScorer
from shortlist_training.item_interaction.tokens import Vocabulary

VIEW, CART, PURCHASE = InteractionType.VIEW, InteractionType.CART, InteractionType.PURCHASE


def learned(pairs: list[tuple[int, int]], seed: int) -> Embeddings:
    items, types = (np.array(column) for column in zip(*pairs, strict=True))
    rng = np.random.default_rng(seed)
    inputs, outputs = (rng.normal(size=(len(pairs), 3)).astype(np.float32) for _ in range(2))
    return Embeddings(Vocabulary(items, types.astype(np.int8), np.ones(len(pairs), dtype=np.int64)), inputs, outputs)


pair_sets = st.sets(st.tuples(st.integers(0, 6), st.sampled_from([VIEW, CART, PURCHASE])), min_size=2).map(sorted)
similarities = st.sampled_from(["cosine", "inner"])


def naive(model: Embeddings, source: int, target: int, similarity: Similarity) -> float:
    u = model.inputs[source].astype(np.float64)
    if similarity == "inner":
        return float(u @ model.outputs[target])
    v = model.inputs[target].astype(np.float64)
    return float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))


@given(pair_sets, st.integers(0, 99), similarities)
def test_nearest_pairs_are_those_of_a_loop(pairs: list[tuple[int, int]], seed: int, similarity: Similarity) -> None:
    """The nearest tokens of the target types in order, never the source itself."""
    model = learned(pairs, seed)
    found = model.nearest(0, [CART, PURCHASE], 3, similarity)
    targets = [token for token, (_, kind) in enumerate(pairs) if kind != VIEW and token != 0]
    expected = sorted((-naive(model, 0, token, similarity), token) for token in targets)[:3]
    assert [token for token, _ in found] == [token for _, token in expected]
    np.testing.assert_allclose([score for _, score in found], [-score for score, _ in expected], atol=1e-5)


@given(pair_sets, st.integers(0, 99), similarities, st.sampled_from([(CART,), (VIEW, PURCHASE)]))
def test_an_item_scores_as_its_best_token(
    pairs: list[tuple[int, int]], seed: int, similarity: Similarity, kinds: tuple[InteractionType, ...]
) -> None:
    """Items without a target token are no candidates, and items without a source token are not covered."""
    model = learned(pairs, seed)
    if not any(kind in kinds for _, kind in pairs):
        return
    items = np.arange(8)
    scorer = TypedScorer(model, items, VIEW, kinds, similarity)
    assert scorer.covered.tolist() == [(item, VIEW) in pairs for item in items]
    covered = np.flatnonzero(scorer.covered)
    found = scorer.scores(covered)
    for place, source in enumerate(covered):
        for item in items:
            tokens = [pairs.index((int(item), kind)) for kind in kinds if (item, kind) in pairs]
            best = max(
                (naive(model, pairs.index((int(source), VIEW)), token, similarity) for token in tokens), default=-np.inf
            )
            assert found[place, item] == pytest.approx(best, abs=1e-5)


def test_a_pair_that_was_never_seen_has_no_token() -> None:
    """The error names the item and the type."""
    model = learned([(1, VIEW), (2, CART)], 0)
    assert model.token(2, CART) == 1
    with pytest.raises(KeyError, match="1, 'CART'"):
        model.token(1, CART)
