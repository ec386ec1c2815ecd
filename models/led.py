"""LED's inputs: histories of catalogue rows become the two dense arrays the ONNX graph takes, or its mean at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.errors import EncoderError
from models.spec import EncoderSpec

if TYPE_CHECKING:
    from models.encoder import OnnxEncoder

Weights: TypeAlias = Sequence[NDArray[np.float32]] | None
_PARITY = 1e-5
_PARITY_LENGTHS = (1, 2, 3, 7, 20, 50)
_PARITY_ITEMS = 64


def led_inputs(
    vectors: NDArray[np.float32],
    histories: Sequence[NDArray[np.int64]],
    max_history: int,
    weights: Weights = None,
) -> dict[str, NDArray[np.float32]]:
    """Gather `history_vectors` (B, T, d) and `history_weights` (B, T) for B histories.

    `vectors` is (N, d) float32. Each history holds rows 0..N-1, oldest first; only its last `max_history` enter.
    T is the longest history of the batch, at least 1; shorter ones are padded with weight 0. An empty history
    is all padding, and the graph turns it into the null vector (section 7.2 of the paper: popularity by bias).
    `vectors` may be a part of wider rows: only what is gathered is copied (`take` would copy all of it first).
    `weights`: of each history's last `max_history` interactions, their sum being T (`models.history_weights`); None is
    1 each.
    """
    if weights is None and len(histories) == 1 and len(histories[0]):
        recent = histories[0][-max_history:]
        return {
            "history_vectors": vectors[recent][None],
            "history_weights": np.ones((1, len(recent)), dtype=np.float32),
        }
    return _padded(vectors, [history[-max_history:] for history in histories], weights)


def weights_of(spec: EncoderSpec, types: Sequence[NDArray[np.int64]], times_ms: Sequence[NDArray[np.int64]]) -> Weights:
    """Weigh the last interactions of B histories, (T,) types and times each, as `led_inputs` takes it."""
    rule = spec.weights
    if rule is msgspec.UNSET:
        return None
    most = spec.max_history
    return [
        rule.of(kinds[-most:], times[-most:]) if len(kinds) else np.zeros(0, dtype=np.float32)
        for kinds, times in zip(types, times_ms, strict=True)
    ]


def _padded(
    vectors: NDArray[np.float32], recent: Sequence[NDArray[np.int64]], given: Weights
) -> dict[str, NDArray[np.float32]]:
    longest = max((len(history) for history in recent), default=0)
    shape = (len(recent), max(longest, 1))
    weights = np.zeros(shape, dtype=np.float32)
    gathered = np.zeros((*shape, vectors.shape[1]), dtype=np.float32)
    for row, history in enumerate(recent):
        weights[row, : len(history)] = 1.0 if given is None else given[row]
        gathered[row, : len(history)] = vectors[history]
    return {"history_vectors": gathered, "history_weights": weights}


def mean_users(
    items: NDArray[np.float32],
    histories: Sequence[NDArray[np.int64]],
    max_history: int,
    weights: Weights = None,
) -> NDArray[np.float32]:
    """Compute `[mean(v_h), 1]` (B, d + 1) of B histories of at least one row, as LED's graph does, without it.

    `items` is (N, d + 1) float32, `[v_i, b_i]`; other arguments as in `led_inputs`.
    """
    users = np.empty((len(histories), items.shape[1]), dtype=np.float32)
    for number, history in enumerate(histories):
        recent = history[-max_history:]
        # the bias column goes along: a row in one piece is gathered twice as fast as a part of it
        taken = items.take(recent, axis=0)
        sums = np.add.reduce(taken, axis=0) if weights is None else weights[number] @ taken
        np.divide(sums, np.float32(len(recent)), out=users[number])
    users[:, -1] = 1.0
    return users


def is_mean(encoder: "OnnxEncoder") -> bool:
    """Whether the graph gives what `mean_users` does, within 1e-5: alone, padded in a batch, and weighted."""
    spec = encoder.spec
    rng = np.random.default_rng(0)
    items = rng.normal(size=(_PARITY_ITEMS, spec.output_dim)).astype(np.float32)
    histories = [rng.integers(0, _PARITY_ITEMS, length) for length in (*_PARITY_LENGTHS, spec.max_history + 1)]
    expected = mean_users(items, histories, spec.max_history)
    uneven = [_uneven(rng, min(len(history), spec.max_history)) for history in histories]
    try:
        weighted = encoder.encode(led_inputs(items[:, :-1], histories, spec.max_history, uneven))
        together = encoder.encode(led_inputs(items[:, :-1], histories, spec.max_history))
        alone = [encoder.encode(led_inputs(items[:, :-1], [each], spec.max_history))[0] for each in histories]
    except EncoderError:
        return False
    pairs = (together, expected), (alone, expected), (weighted, mean_users(items, histories, spec.max_history, uneven))
    return all(np.allclose(found, wanted, rtol=0.0, atol=_PARITY) for found, wanted in pairs)


def _uneven(rng: np.random.Generator, length: int) -> NDArray[np.float32]:
    weights = rng.uniform(0.1, 1.0, length)
    scaled: NDArray[np.float32] = (weights * (length / weights.sum())).astype(np.float32)
    return scaled
