"""The extreme inputs that a spec allows, to run a graph once before anyone relies on it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.interactions import InteractionType
from models.pdn import COUNT_CODES, POSITION_CODES
from models.spec import EncoderSpec, TensorSpec

PROBES = 2
"""Rows of every probe: the lowest id of each input, and the highest."""


def probe_inputs(spec: EncoderSpec) -> dict[str, NDArray[Any]]:
    """Make every input of a graph: zeros, and the lowest and highest ids for those that are ids.

    Two users with one padded item each, or two triggers of two users.
    """
    highest = {feature.name: feature.size - 1 for feature in spec.features} | {
        "trigger_owner": PROBES - 1,
        "trigger_type": max(InteractionType),
        "trigger_count": COUNT_CODES - 1,
        "trigger_position": POSITION_CODES - 1,
    }
    return {tensor.name: _probe(tensor, highest.get(tensor.name, 0)) for tensor in spec.inputs}


def _probe(tensor: TensorSpec, highest: int) -> NDArray[Any]:
    sizes = [size if isinstance(size, int) else PROBES if place == 0 else 1 for place, size in enumerate(tensor.shape)]
    found = np.zeros(sizes, dtype=tensor.dtype)
    if tensor.dtype == "int64":
        found[-1:] = highest
    return found
