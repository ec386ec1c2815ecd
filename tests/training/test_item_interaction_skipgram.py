"""The compiled skip-gram loop against a naive reference in plain numpy and Python integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shortlist_training.item_interaction.negatives import CustomNegatives, random_table
from shortlist_training.item_interaction.prefetch import prefetch_rows
from shortlist_training.item_interaction.skipgram import (
    SkipgramConfig,
    initial_vectors,
    train_skipgram,
    update,
    visit_sessions,
)
from shortlist_training.item_interaction.tokens import Sequences, Vocabulary


class Generator:
    """Knuth's MMIX generator in Python integers."""

    def __init__(self, state: int) -> None:
        self.state = state

    def below(self, bound: int) -> int:
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % bound


def naive(
    inputs: NDArray[np.float64],
    outputs: NDArray[np.float64],
    sessions: list[list[int]],
    custom: list[list[list[int]]],
    table: NDArray[np.int64],
    config: SkipgramConfig,
    rates: tuple[float, float],
    state: int,
) -> int:
    """Make the same updates, one float64 numpy expression at a time."""
    random = Generator(state)
    for place, session in enumerate(sessions):
        rate = rates[0] + (rates[1] - rates[0]) * place / len(sessions)
        for centre, source in enumerate(session):
            reach = 1 + random.below(config.window)
            near = [at for at in range(len(session)) if at != centre and abs(at - centre) <= reach]
            terms = []
            for at in near:
                terms.append((session[at], 1.0, rate))
                if config.custom == "context":
                    terms += [(token, 0.0, rate) for token in custom[place][at]]
            drawn = [int(table[random.below(len(table))]) for _ in range(config.negatives)]
            terms += [(token, 0.0, rate * len(near)) for token in drawn if token != source]
            if config.custom == "centre":
                terms += [(token, 0.0, rate * len(near)) for token in custom[place][centre]]
            moved = np.zeros_like(inputs[source])
            for target, label, weight in terms:
                step = weight * (label - 1 / (1 + np.exp(-inputs[source] @ outputs[target])))
                moved += step * outputs[target]
                outputs[target] += step * inputs[source]
            inputs[source] += moved
    return random.state


def laid_out(sessions: list[list[int]]) -> Sequences:
    offsets = np.r_[0, np.cumsum([len(session) for session in sessions])].astype(np.int64)
    return Sequences(np.array([token for session in sessions for token in session], dtype=np.int64), offsets)


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[list[int]], list[list[list[int]]]]:
    token = st.integers(0, 6)
    sessions = draw(st.lists(st.lists(token, min_size=1, max_size=9), min_size=1, max_size=6))
    custom = [[draw(st.lists(token, max_size=2)) for _ in session] for session in sessions]
    return sessions, custom


@settings(max_examples=100)
@given(
    problems(),
    st.builds(
        SkipgramConfig,
        dim=st.integers(1, 9),
        window=st.integers(1, 6),
        negatives=st.integers(0, 3),
        custom=st.sampled_from(["centre", "context", "none"]),
    ),
    st.integers(0, 2**63),
)
def test_compiled_updates_are_those_of_the_naive_reference(
    problem: tuple[list[list[int]], list[list[list[int]]]], config: SkipgramConfig, state: int
) -> None:
    """Vectors agree to 1e-5 after all sessions, and the generator is left in the same state."""
    sessions, custom = problem
    rng = np.random.default_rng(state)
    inputs, outputs = (rng.normal(size=(7, config.dim)).astype(np.float32) for _ in range(2))
    table = random_table(np.arange(1, 8), 0.75, 64)
    sequences = laid_out(sessions)
    flat = laid_out([tokens for session in custom for tokens in session])
    if config.custom == "none":
        flat = Sequences(flat.tokens[:0], flat.offsets * 0)
    expected_inputs, expected_outputs = inputs.astype(np.float64), outputs.astype(np.float64)
    rates = (0.1, 0.02)
    last = naive(expected_inputs, expected_outputs, sessions, custom, table, config, rates, state)
    found = visit_sessions(
        inputs,
        outputs,
        sequences.tokens,
        sequences.offsets,
        np.arange(len(sessions)),
        flat.tokens,
        flat.offsets,
        config.custom == "context",
        table,
        config.window,
        config.negatives,
        *rates,
        np.uint64(state),
    )
    assert int(found) == last
    np.testing.assert_allclose(inputs, expected_inputs, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(outputs, expected_outputs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_an_update_is_a_step_down_the_logistic_loss(label: float) -> None:
    """The moves of both vectors are minus rate times the numeric gradient of -log sigmoid(+-u.v)."""
    rng = np.random.default_rng(3)
    inputs, outputs = (rng.normal(size=(1, 5)).astype(np.float32) for _ in range(2))
    u, v = inputs[0].astype(np.float64), outputs[0].astype(np.float64)
    sign = 2 * label - 1
    gradient = np.zeros(5, dtype=np.float32)
    update(inputs, outputs, 0, 0, label, 0.5, gradient)

    def loss(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(np.log1p(np.exp(-sign * (a @ b))))

    tiny = 1e-6 * np.eye(5)
    by_u = np.array([(loss(u + step, v) - loss(u - step, v)) / 2e-6 for step in tiny])
    by_v = np.array([(loss(u, v + step) - loss(u, v - step)) / 2e-6 for step in tiny])
    np.testing.assert_allclose(gradient, -0.5 * by_u, atol=1e-5)
    np.testing.assert_allclose(outputs[0], v - 0.5 * by_v, atol=1e-5)


def groups(seed: int) -> tuple[Sequences, Vocabulary]:
    """Sessions that stay within one of two groups of ten tokens."""
    rng = np.random.default_rng(seed)
    sequences = laid_out([(rng.integers(10, size=8) + 10 * (index % 2)).tolist() for index in range(300)])
    counts = np.bincount(sequences.tokens, minlength=20)
    return sequences, Vocabulary(np.arange(20), np.ones(20, dtype=np.int8), counts)


@pytest.mark.parametrize("threads", [1, 2])
def test_tokens_of_one_group_become_neighbours(threads: int) -> None:
    """After training, a token's most likely neighbours are all of its own group, with one thread and with two."""
    config = SkipgramConfig(dim=8, epochs=20, learning_rate=0.1, threads=threads, custom="none")
    inputs, outputs = train_skipgram(*groups(0), config, seed=0)
    best = np.argsort(-(inputs @ outputs.T), axis=1)[:, :9]
    np.testing.assert_array_equal(best // 10, np.repeat(np.arange(20) // 10, 9).reshape(20, 9))


def test_training_is_repeatable_for_a_seed() -> None:
    """Equal seeds give equal bits with one thread, other seeds do not; progress hears of every epoch."""
    heard: list[int] = []
    config = SkipgramConfig(dim=8, epochs=3)
    first = train_skipgram(*groups(0), config, seed=5, on_epoch=heard.append)
    second, third = (train_skipgram(*groups(0), config, seed=seed) for seed in (5, 6))
    assert heard == [1, 2, 3]
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], third[0])


def test_initial_vectors_are_those_of_fasttext() -> None:
    """Inputs are uniform within +-1/d, outputs are 0."""
    inputs, outputs = initial_vectors(500, 20, np.random.default_rng(0))
    assert not outputs.any()
    assert np.abs(inputs).max() <= 1 / 20
    np.testing.assert_allclose(inputs.std(), 1 / 20 / np.sqrt(3), rtol=0.05)


def test_no_custom_negatives_is_an_empty_list_at_every_position() -> None:
    """The baseline's positions all have an empty range."""
    none = CustomNegatives.none(4)
    assert none.offsets.tolist() == [0] * 5
    assert len(none.tokens) == 0


def test_asking_for_rows_ahead_changes_nothing() -> None:
    """Rows of any width, named any number of times or not at all: the vectors stay as they are."""
    vectors = np.arange(5 * 37, dtype=np.float32).reshape(5, 37)
    kept = vectors.copy()
    for begin, end in ((0, 0), (0, 4), (3, 4)):
        prefetch_rows(vectors, np.array([0, 4, 4, 2], dtype=np.int64), begin, end)
    assert np.array_equal(vectors, kept)
