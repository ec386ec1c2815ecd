"""The query tower's inputs: user features, context, history and seed item (Yang et al. 2020, section 3.2).

Items enter as vectors of the country's `two_tower/input_vectors.npy`: what the tower knows of an item (its id's
embedding beside its content's). So the graph holds no table of items, and workers share the vectors' pages.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.features import Transforms, UserContext
from models.led import led_inputs

NO_SEED = -1


def two_tower_inputs(
    input_vectors: NDArray[np.float32],
    histories: Sequence[NDArray[np.int64]],
    seeds: Sequence[int],
    contexts: Sequence[UserContext],
    transforms: Transforms,
    max_history: int,
) -> Mapping[str, NDArray[Any]]:
    """Make the inputs for B queries.

    `input_vectors` is (N, e) float32. Each history holds rows 0..N-1, oldest first, of which the last `max_history`
    enter as `history_vectors` (B, T, e) and `history_weights` (B, T), averaged by the graph. `seeds` are rows or
    `NO_SEED`, whose `seed_vector` (B, e) is zeros. Features come under the names of their transforms, (B,).
    """
    seed_vectors = np.zeros((len(seeds), input_vectors.shape[1]), dtype=np.float32)
    for place, row in enumerate(seeds):
        if row >= 0:
            seed_vectors[place] = input_vectors[row]
    return {
        **led_inputs(input_vectors, histories, max_history),
        "seed_vector": seed_vectors,
        **transforms.inputs(contexts),
    }
