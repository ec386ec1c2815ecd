"""Inputs that a spec allows, to run a graph before anyone relies on it: the extreme ones, and random ones."""

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
    highest = _highest(spec, PROBES)
    return {tensor.name: _probe(tensor, highest.get(tensor.name, 0)) for tensor in spec.inputs}


def random_inputs(spec: EncoderSpec, rng: np.random.Generator, rows: int, history: int) -> dict[str, NDArray[Any]]:
    """Draw every input of a graph: `rows` users with `history` items each, or as many triggers of as many users."""
    highest = _highest(spec, rows)
    inputs: dict[str, NDArray[Any]] = {}
    for tensor in spec.inputs:
        shape = _sizes(tensor, rows, history)
        if tensor.dtype == "int64":
            inputs[tensor.name] = rng.integers(0, highest.get(tensor.name, 0) + 1, shape)
        else:
            # weights of a history are not negative
            inputs[tensor.name] = np.abs(rng.normal(size=shape)).astype(np.float32)
    return inputs


def _highest(spec: EncoderSpec, rows: int) -> dict[str, int]:
    return {feature.name: feature.size - 1 for feature in spec.features} | {
        "trigger_owner": rows - 1,
        "trigger_type": max(InteractionType),
        "trigger_count": COUNT_CODES - 1,
        "trigger_position": POSITION_CODES - 1,
    }


def _sizes(tensor: TensorSpec, rows: int, others: int) -> list[int]:
    return [size if isinstance(size, int) else others if place else rows for place, size in enumerate(tensor.shape)]


def _probe(tensor: TensorSpec, highest: int) -> NDArray[Any]:
    found = np.zeros(_sizes(tensor, PROBES, 1), dtype=tensor.dtype)
    if tensor.dtype == "int64":
        found[-1:] = highest
    return found
