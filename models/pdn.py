"""PDN's inputs: a history's triggers with their behaviour fields, and what TrigNet and the direct user tower take.

TrigNet is `t_uj = MLP(CAT(E(z_u), E(a_uj), E(x_j)))`, equation 8 of Li et al. 2021. The item's share of its first layer
is made once per item and lies in the country's `pdn/trigger_vectors.npy`, so the graph holds no table of items.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.features import Transforms, UserContext

COUNT_CODES = 8
POSITION_CODES = 12


class Triggers(msgspec.Struct, frozen=True):
    """The L distinct items of a history, ascending by row, with their behaviour fields a_uj.

    rows: (L,) int64. types: (L,) int64, `models.InteractionType` of the newest interaction with the item. counts: (L,)
    int64, how many interactions there were with it. positions: (L,) int64, how many interactions came after the newest
    with it: 0 is the newest of the history.
    """

    rows: NDArray[np.int64]
    types: NDArray[np.int64]
    counts: NDArray[np.int64]
    positions: NDArray[np.int64]


def triggers_of(rows: NDArray[np.int64], types: NDArray[np.int64], max_history: int) -> Triggers:
    """Collect the triggers of a history (T,), oldest first; only its last `max_history` interactions enter."""
    rows, types = rows[-max_history:], types[-max_history:]
    newest_first = rows[::-1]
    distinct, place, counts = np.unique(newest_first, return_index=True, return_counts=True)
    return Triggers(distinct, types[::-1][place], counts.astype(np.int64), place.astype(np.int64))


def count_codes(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut counts of at least 1 into `COUNT_CODES` classes: 1, 2, 3, 4 to 7, 8 to 15, and so on."""
    codes = np.where(counts <= 3, counts - 1, np.floor(np.log2(np.maximum(counts, 1))).astype(np.int64) + 1)  # noqa: PLR2004
    return np.minimum(codes, COUNT_CODES - 1).astype(np.int64)


def position_codes(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut positions of at least 0 into `POSITION_CODES` classes: 0, 1, 2 to 3, 4 to 7, and so on."""
    codes = np.floor(np.log2(np.maximum(positions, 1))).astype(np.int64) + 1
    return np.minimum(np.where(positions == 0, 0, codes), POSITION_CODES - 1).astype(np.int64)


def trignet_inputs(
    trigger_vectors: NDArray[np.float32],
    triggers: Sequence[Triggers],
    contexts: Sequence[UserContext],
    transforms: Transforms,
) -> Mapping[str, NDArray[Any]]:
    """Make TrigNet's inputs for all triggers of B users in one call, L triggers in all.

    A graph must know every type of `models.InteractionType`, 0 among them, `COUNT_CODES` and `POSITION_CODES`.

    `trigger_vectors` is (N, h) float32. Gives `trigger_vectors` (L, h), `trigger_owner` (L,) int64 in 0..B-1,
    `trigger_type`, `trigger_count` and `trigger_position` (L,) int64, and the users' features (B,).
    """
    rows = np.concatenate([each.rows for each in triggers])
    return {
        "trigger_vectors": np.ascontiguousarray(trigger_vectors[rows]),
        "trigger_owner": np.repeat(np.arange(len(triggers)), [len(each.rows) for each in triggers]),
        "trigger_type": np.concatenate([each.types for each in triggers]),
        "trigger_count": count_codes(np.concatenate([each.counts for each in triggers])),
        "trigger_position": position_codes(np.concatenate([each.positions for each in triggers])),
        **transforms.inputs(contexts),
    }


def direct_inputs(contexts: Sequence[UserContext], transforms: Transforms) -> Mapping[str, NDArray[Any]]:
    """Make the direct user tower's inputs: the users' features (B,)."""
    return transforms.inputs(contexts)
