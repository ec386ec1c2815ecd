"""LED's inputs: histories of catalogue rows become the two dense arrays the ONNX graph takes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def led_inputs(
    vectors: NDArray[np.float32], histories: Sequence[NDArray[np.int64]], max_history: int
) -> dict[str, NDArray[np.float32]]:
    """Gather `history_vectors` (B, T, d) and `history_weights` (B, T) for B histories.

    `vectors` is (N, d) float32. Each history holds rows 0..N-1, oldest first; only its last `max_history` enter.
    T is the longest history of the batch, at least 1; shorter ones are padded with weight 0. An empty history
    is all padding, and the graph turns it into the null vector (section 7.2 of the paper: popularity by bias).
    """
    recent = [history[-max_history:] for history in histories]
    longest = max((len(history) for history in recent), default=0)
    shape = (len(recent), max(longest, 1))
    weights = np.zeros(shape, dtype=np.float32)
    gathered = np.zeros((*shape, vectors.shape[1]), dtype=np.float32)
    for row, history in enumerate(recent):
        weights[row, : len(history)] = 1.0
        gathered[row, : len(history)] = vectors[history]
    return {"history_vectors": gathered, "history_weights": weights}
