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
# class by number, up to the first number of the last class
_COUNT_CODES = np.array([0, 0, 1, 2, *(number.bit_length() for number in range(4, 65))]).clip(max=COUNT_CODES - 1)
_POSITION_CODES = np.array([number.bit_length() for number in range(1025)]).clip(max=POSITION_CODES - 1)
_PLACE_BITS = 24
_PLACE_MASK = (1 << _PLACE_BITS) - 1


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
    # a row and its place in one word: to sort words costs less than np.unique, which sorts twice
    words = (rows[::-1] << _PLACE_BITS) | np.arange(len(rows))
    words.sort()
    sorted_rows = words >> _PLACE_BITS
    begins = np.ones(len(words), dtype=np.bool_)
    np.not_equal(sorted_rows[1:], sorted_rows[:-1], out=begins[1:])
    first = begins.nonzero()[0]
    ends = np.full(len(first), len(words))
    ends[:-1] = first[1:]
    positions = words.take(first) & _PLACE_MASK
    return Triggers(sorted_rows.take(first), types.take(len(types) - 1 - positions), ends - first, positions)


def count_codes(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut counts of at least 1 into `COUNT_CODES` classes: 1, 2, 3, 4 to 7, 8 to 15, and so on."""
    codes: NDArray[np.int64] = _COUNT_CODES.take(counts, mode="clip")
    return codes


def position_codes(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut positions of at least 0 into `POSITION_CODES` classes: 0, 1, 2 to 3, 4 to 7, and so on."""
    codes: NDArray[np.int64] = _POSITION_CODES.take(positions, mode="clip")
    return codes


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
    together, owners = _joined(triggers)
    return {
        "trigger_vectors": trigger_vectors.take(together.rows, axis=0),
        "trigger_owner": owners,
        "trigger_type": together.types,
        "trigger_count": count_codes(together.counts),
        "trigger_position": position_codes(together.positions),
        **transforms.inputs(contexts),
    }


def _joined(triggers: Sequence[Triggers]) -> tuple[Triggers, NDArray[np.int64]]:
    """All users' triggers in turn, and whose each is."""
    if len(triggers) == 1:
        return triggers[0], np.zeros(len(triggers[0].rows), dtype=np.int64)
    owners = np.repeat(np.arange(len(triggers)), [len(each.rows) for each in triggers])
    columns = zip(*((each.rows, each.types, each.counts, each.positions) for each in triggers), strict=True)
    return Triggers(*(np.concatenate(column) for column in columns)), owners


def direct_inputs(contexts: Sequence[UserContext], transforms: Transforms) -> Mapping[str, NDArray[Any]]:
    """Make the direct user tower's inputs: the users' features (B,)."""
    return transforms.inputs(contexts)
