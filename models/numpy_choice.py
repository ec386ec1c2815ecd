"""Whether an encoder runs in numpy, and for how many rows: where it gives the same, and sooner.

For one user numpy needs less than onnxruntime, which looks at every input's name, type and shape first; for many users
its products are slower than onnxruntime's packed ones. Where the line is depends on the graph and on the machine.
"""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.errors import EncoderSpecError
from models.numpy_graph import NumpyGraph
from models.onnx_file import read_onnx
from models.probe import random_inputs
from models.spec import EncoderSpec

_LOG = logging.getLogger(__name__)
Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]

_TOLERANCE = 1e-5
_PARITY_ROWS = (1, 2, 9)
_HISTORY = 20
_RACED_ROWS = (1, 8, 64, 256)
_ROUNDS = 9
# after a search has emptied the caches numpy needs a quarter less than onnxruntime (`loadtest.bench_encoders`), and
# the race is run with warm ones
_SLOWER_AT_MOST = 1.1
_SEED = 5


class NumpyChoice(msgspec.Struct, frozen=True):
    """Run `graph` for up to `rows` rows, and onnxruntime's session for more."""

    graph: NumpyGraph
    rows: int


def choose(source: Path | bytes, spec: EncoderSpec, reference: Run) -> NumpyChoice | None:
    """Compare numpy with `reference`, onnxruntime's run of the same graph; None where it is not to be used.

    Takes some milliseconds. The outputs must agree within 1e-5 of the larger of 1 and their largest component.
    """
    raw = source.read_bytes() if isinstance(source, Path) else source
    try:
        graph = NumpyGraph(read_onnx(raw), [each.name for each in spec.inputs], spec.output.name)
    except EncoderSpecError as error:
        _LOG.debug("encoder %s stays with onnxruntime: %s", spec.encoder, error)
        return None
    rng = np.random.default_rng(_SEED)
    for rows in _PARITY_ROWS:
        difference = _difference(graph, reference, random_inputs(spec, rng, rows, _HISTORY))
        if not difference <= _TOLERANCE:
            _LOG.debug("encoder %s stays with onnxruntime: numpy differs by %g", spec.encoder, difference)
            return None
    rows = _rows(graph, reference, spec, rng)
    _LOG.debug("encoder %s runs in numpy for up to %d rows", spec.encoder, rows)
    return NumpyChoice(graph, rows) if rows else None


def _difference(graph: NumpyGraph, reference: Run, inputs: Mapping[str, NDArray[Any]]) -> float:
    """The largest of any component; infinite where it cannot be said."""
    expected = reference(inputs)
    try:
        found = graph.run(inputs)
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        _LOG.debug("numpy fails: %s", error)
        return np.inf
    if found.shape != expected.shape:
        return np.inf
    return float(np.max(np.abs(found - expected)) / max(1.0, float(np.max(np.abs(expected)))))


def _rows(graph: NumpyGraph, reference: Run, spec: EncoderSpec, rng: np.random.Generator) -> int:
    """The last number of rows, of those tried in turn, for which numpy is as fast, warm."""
    fastest = 0
    for rows in _RACED_ROWS:
        inputs = random_inputs(spec, rng, rows, _HISTORY)
        # the two take turns, so that a busy machine slows both
        times = [(_took(graph.run, inputs), _took(reference, inputs)) for _ in range(_ROUNDS)]
        in_numpy, in_onnxruntime = (min(column) for column in zip(*times, strict=True))
        if in_numpy > _SLOWER_AT_MOST * in_onnxruntime:
            break
        fastest = rows
    return fastest


def _took(run: Run, inputs: Mapping[str, NDArray[Any]]) -> int:
    started = time.perf_counter_ns()
    run(inputs)
    return time.perf_counter_ns() - started
