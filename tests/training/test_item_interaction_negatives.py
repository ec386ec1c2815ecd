"""Custom negatives against the paper's rules by enumeration, and the table of random ones."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.interactions import InteractionType
from shortlist_training.item_interaction.negatives import CustomNegatives, CustomSampler, random_table
from shortlist_training.item_interaction.tokens import ORDER, Sequences, Vocabulary

VIEW, FAVORITE, CART, PURCHASE = ORDER
Pair = tuple[int, InteractionType]
pairs = st.tuples(st.integers(0, 4), st.sampled_from(ORDER))
session_lists = st.lists(st.lists(pairs, min_size=1, max_size=8), min_size=1, max_size=6)


def coded(sessions: list[list[Pair]]) -> tuple[Sequences, Vocabulary, list[Pair]]:
    names = sorted({pair for session in sessions for pair in session})
    tokens = np.array([names.index(pair) for session in sessions for pair in session], dtype=np.int64)
    offsets = np.r_[0, np.cumsum([len(session) for session in sessions])].astype(np.int64)
    items, types = (np.array(column) for column in zip(*names, strict=True))
    counts = np.bincount(tokens).astype(np.int64)
    return Sequences(tokens, offsets), Vocabulary(items, types.astype(np.int8), counts), names


def split_by_kind(drawn: CustomNegatives, position: int, names: list[Pair]) -> tuple[list[Pair], list[int]]:
    own = [names[token] for token in drawn.tokens[drawn.offsets[position] : drawn.offsets[position + 1]]]
    return [pair for pair in own if pair[1] != VIEW], [item for item, kind in own if kind == VIEW]


@settings(max_examples=150)
@given(session_lists, st.integers(0, 99))
def test_negatives_follow_the_rules_of_the_paper(sessions: list[list[Pair]], seed: int) -> None:
    """Every (l, j), j > i, that the session lacks, and two views of the taxonomy's others for an item only viewed."""
    sequences, vocabulary, names = coded(sessions)
    taxonomy = vocabulary.items.astype(np.int64) % 2
    drawn = CustomSampler(sequences, vocabulary, taxonomy).draw(np.random.default_rng(seed))
    position = 0
    for session in sessions:
        for at, (item, kind) in enumerate(session):
            stronger, views = split_by_kind(drawn, position, names)
            expected = [
                (item, other)
                for other in ORDER
                if other > kind and (item, other) in names and (item, other) not in session
            ]
            assert sorted(stronger) == expected
            only_viewed = all(other == VIEW for name, other in session if name == item)
            is_first = (item, kind) not in session[:at]
            near = {name for name, other in names if other == VIEW and name % 2 == item % 2 and name != item}
            assert len(views) == (2 if only_viewed and is_first and near else 0)
            assert set(views) <= near
            position += 1
    assert drawn.offsets[-1] == len(drawn.tokens)


def test_view_and_cart_make_a_negative_purchase() -> None:
    """The paper's example: an item viewed and added to the cart has a negative purchase, at both positions."""
    sequences, vocabulary, names = coded([[(1, VIEW), (1, CART)], [(1, PURCHASE), (2, VIEW)]])
    drawn = CustomSampler(sequences, vocabulary).draw(np.random.default_rng(0))
    assert [split_by_kind(drawn, at, names) for at in range(3)] == [
        ([(1, PURCHASE)], []),
        ([(1, PURCHASE)], []),
        ([], []),
    ]


def test_negative_views_are_uniform_over_the_taxonomy() -> None:
    """Of 9 other items each is drawn a ninth of the time, and without a taxonomy all items are in one."""
    sequences, vocabulary, _ = coded([[(0, VIEW)]] * 9000 + [[(item, CART), (item, VIEW)] for item in range(1, 10)])
    drawn = CustomSampler(sequences, vocabulary).draw(np.random.default_rng(1))
    counts = np.bincount(vocabulary.items[drawn.tokens[: drawn.offsets[9000]]], minlength=10)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], 2000, atol=200)


def test_negative_views_are_drawn_again_at_every_call() -> None:
    """Two draws of one sampler differ, two equal generators agree."""
    sampler = CustomSampler(*coded([[(item, VIEW) for item in range(50)]])[:2])
    first, second = (sampler.draw(np.random.default_rng(seed)).tokens for seed in (0, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, sampler.draw(np.random.default_rng(0)).tokens)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.sampled_from([0.0, 0.5, 0.75, 1.0]))
def test_random_table_has_powers_of_the_counts(counts: list[int], power: float) -> None:
    """Each token fills its share of the table, to one place."""
    size = 4096
    table = random_table(np.array(counts), power, size)
    share = np.array(counts, dtype=float) ** power
    found = np.bincount(table, minlength=len(counts))
    np.testing.assert_allclose(found, share / share.sum() * size, atol=1.0001)
