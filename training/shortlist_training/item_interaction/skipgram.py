"""Skip-gram with random and custom negatives, compiled (section 3.1, equations 1 and 2 by negative sampling).

Third in the dataflow. The updates are fastText's: for a centre and each context token at most `reach` positions away,
reach uniform in 1..window, the logistic loss of the context token (label 1) and of the negatives (label 0), at a
learning rate that falls linearly to 0. Unlike fastText the pairs of one centre share its negatives, whose loss weighs
as much as that of negatives of their own: the expected gradient is the same for a third of the work.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from shortlist_training.item_interaction.negatives import CustomNegatives, CustomSampler, random_table
from shortlist_training.item_interaction.prefetch import prefetch_rows
from shortlist_training.item_interaction.tokens import Sequences, Vocabulary, shuffle_moments

_MULTIPLIER = np.uint64(6364136223846793005)
_INCREMENT = np.uint64(1442695040888963407)
_HIGH_BITS = np.uint64(33)
_ONE = np.uint64(1)


Custom = Literal["centre", "context", "none"]


class SkipgramConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to train. The defaults are the paper's where it has one (section 4.2), else fastText's.

    negatives: random negatives, drawn with probability count^power once per centre and shared by its pairs. custom:
    whose custom negatives a pair gets, those of its centre, of its context token, or none. threads: above 1 they write
    to the same vectors without locks, and the result depends on their timing.
    """

    dim: Annotated[int, msgspec.Meta(ge=1)] = 100
    window: Annotated[int, msgspec.Meta(ge=1)] = 5
    negatives: Annotated[int, msgspec.Meta(ge=0)] = 5
    power: Annotated[float, msgspec.Meta(ge=0.0)] = 0.5
    custom: Custom = "centre"
    epochs: Annotated[int, msgspec.Meta(ge=1)] = 5
    learning_rate: Annotated[float, msgspec.Meta(gt=0.0)] = 0.05
    threads: Annotated[int, msgspec.Meta(ge=1)] = 1


Vectors = NDArray[np.float32]


def train_skipgram(
    sequences: Sequences,
    vocabulary: Vocabulary,
    config: SkipgramConfig,
    seed: int,
    taxonomy: NDArray[np.int64] | None = None,
    on_epoch: Callable[[int], None] = lambda _: None,
    *,
    shuffle: bool = False,
) -> tuple[Vectors, Vectors]:
    """Learn input and output vectors, (V, d) float32 each. Equal for equal seeds when `config.threads` is 1.

    Sessions are visited in a new random order in every epoch, and the view negatives are drawn anew. shuffle: so is
    the order of what happened at one moment.
    """
    rng = np.random.default_rng(seed)
    inputs, outputs = initial_vectors(len(vocabulary.counts), config.dim, rng)
    table = random_table(vocabulary.counts, config.power)
    none = CustomNegatives.none(len(sequences.tokens))
    sampler = None if config.custom == "none" else CustomSampler(sequences, vocabulary, taxonomy)
    for epoch in range(config.epochs):
        if shuffle:
            sequences = shuffle_moments(sequences, rng)
            sampler = None if config.custom == "none" else CustomSampler(sequences, vocabulary, taxonomy)
        custom = none if sampler is None else sampler.draw(rng)
        order = rng.permutation(len(sequences.offsets) - 1)
        rates = (
            config.learning_rate * (1 - epoch / config.epochs),
            config.learning_rate * (1 - (epoch + 1) / config.epochs),
        )
        run_epoch(inputs, outputs, sequences, custom, table, order, rates, config, rng)
        on_epoch(epoch + 1)
    return inputs, outputs


def initial_vectors(size: int, dim: int, rng: np.random.Generator) -> tuple[Vectors, Vectors]:
    """Draw the inputs uniformly from +-1/d and set the outputs to 0, as fastText does: (V, d) float32 each."""
    inputs = rng.uniform(-1.0 / dim, 1.0 / dim, size=(size, dim)).astype(np.float32)
    return inputs, np.zeros((size, dim), dtype=np.float32)


def run_epoch(
    inputs: Vectors,
    outputs: Vectors,
    sequences: Sequences,
    custom: CustomNegatives,
    table: NDArray[np.int64],
    order: NDArray[np.int64],
    rates: tuple[float, float],
    config: SkipgramConfig,
    rng: np.random.Generator,
) -> None:
    """Go once through the sessions in `order`, in place; the rate falls from rates[0] to rates[1]."""

    def run(part: NDArray[np.int64], state: np.uint64) -> None:
        visit_sessions(
            inputs,
            outputs,
            sequences.tokens,
            sequences.offsets,
            part,
            custom.tokens,
            custom.offsets,
            config.custom == "context",
            table,
            config.window,
            config.negatives,
            rates[0],
            rates[1],
            state,
        )

    parts = np.array_split(order, config.threads)
    states = rng.integers(0, 2**63, size=config.threads, dtype=np.uint64)
    if config.threads == 1:
        run(order, states[0])
        return
    with ThreadPoolExecutor(config.threads) as pool:
        list(pool.map(run, parts, states))


@njit(nogil=True)
def next_state(state: np.uint64) -> np.uint64:
    """Step the 64-bit linear congruential generator (Knuth's MMIX); its high bits are the random ones."""
    return state * _MULTIPLIER + _INCREMENT


@njit(nogil=True)
def below(state: np.uint64, bound: int) -> np.int64:
    """Turn a state into an integer in 0..bound-1, bound being small beside 2^31."""
    return np.int64((state >> _HIGH_BITS) % np.uint64(bound))


@njit(nogil=True)
def draw(state: np.uint64, table: NDArray[np.int64], drawn: NDArray[np.int64]) -> np.uint64:
    """Fill `drawn` with random tokens of the table; returns the generator's last state."""
    for at in range(len(drawn)):
        state = next_state(state)
        drawn[at] = table[below(state, len(table))]
    return state


@njit(nogil=True, fastmath=True, error_model="numpy")
def update(
    inputs: Vectors, outputs: Vectors, source: int, target: int, label: float, rate: float, gradient: Vectors
) -> None:
    """Move the target's output vector towards (label 1) or away from (0) the source, and add up the source's move."""
    dot = np.float32(0.0)
    for k in range(gradient.shape[0]):
        dot += inputs[source, k] * outputs[target, k]
    step = np.float32(rate) * (np.float32(label) - np.float32(1.0) / (np.float32(1.0) + np.exp(-dot)))
    for k in range(gradient.shape[0]):
        gradient[k] += step * outputs[target, k]
        outputs[target, k] += step * inputs[source, k]


@njit(nogil=True, fastmath=True, error_model="numpy")
def visit_sessions(  # noqa: C901 - one flat loop, which the compiler sees through
    inputs: Vectors,
    outputs: Vectors,
    tokens: NDArray[np.int64],
    offsets: NDArray[np.int64],
    order: NDArray[np.int64],
    custom: NDArray[np.int64],
    custom_offsets: NDArray[np.int64],
    custom_of_context: bool,  # noqa: FBT001 - compiled functions take no keyword-only arguments
    table: NDArray[np.int64],
    window: int,
    negatives: int,
    first_rate: float,
    last_rate: float,
    state: np.uint64,
) -> np.uint64:
    """Do all updates of the sessions in `order`, in place; returns the generator's last state.

    A centre's negatives are drawn once and weigh as much as the pairs that share them. A negative equal to the centre
    is passed over. The source moves once per centre, by the sum of its gradients. Negatives are drawn and their rows
    asked for before the pairs are learned: waiting for memory one by one takes longer than all else.
    """
    gradient = np.zeros(inputs.shape[1], dtype=np.float32)
    drawn = np.zeros(negatives, dtype=np.int64)
    for place in range(len(order)):
        rate = first_rate + (last_rate - first_rate) * (place / len(order))
        begin, end = offsets[order[place]], offsets[order[place] + 1]
        for centre in range(begin, end):
            source = tokens[centre]
            state = next_state(state)
            reach = 1 + below(state, window)
            state = draw(state, table, drawn)
            prefetch_rows(outputs, drawn, 0, negatives)
            prefetch_rows(outputs, custom, custom_offsets[centre], custom_offsets[centre + 1])
            left, right = max(begin, centre - reach), min(end, centre + reach + 1)
            gradient[:] = 0.0
            for context in range(left, right):
                if context == centre:
                    continue
                update(inputs, outputs, source, tokens[context], 1.0, rate, gradient)
                if custom_of_context:
                    for at in range(custom_offsets[context], custom_offsets[context + 1]):
                        update(inputs, outputs, source, custom[at], 0.0, rate, gradient)
            shared = rate * (right - left - 1)
            for at in range(negatives):
                if drawn[at] != source:
                    update(inputs, outputs, source, drawn[at], 0.0, shared, gradient)
            if not custom_of_context:
                for at in range(custom_offsets[centre], custom_offsets[centre + 1]):
                    update(inputs, outputs, source, custom[at], 0.0, shared, gradient)
            for k in range(len(gradient)):
                inputs[source, k] += gradient[k]
    return state
