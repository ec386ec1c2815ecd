"""The LED encoder as ONNX, compared with the trained model before anyone may use it.

The graph holds no item vectors (the server gathers them from its index), only the mean and the constant 1 that picks
up the bias; so one graph serves all countries and dimensions stay checked by `models.spec`.
"""

import logging
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.encoder import OnnxEncoder
from models.history_weights import DAY_MS, HistoryWeights
from models.interactions import InteractionType
from models.led import led_inputs, weights_of
from models.spec import EncoderSpec, led_spec
from shortlist_training.errors import ExportError
from shortlist_training.histories import History
from shortlist_training.led import Led

OPSET = 18
TOLERANCE = 1e-5  # largest allowed difference of any component, torch against onnxruntime
PARITY_BATCHES = (1, 7)
_TIMED = 0.9


class ServingEncoder(nn.Module):
    """What serving computes: history_vectors (B, T, d), history_weights (B, T) -> user_vector (B, d + 1)."""

    def forward(self, history_vectors: Tensor, history_weights: Tensor) -> Tensor:
        """Take the weighted mean, zeros where all weights are 0, and append 1."""
        total = history_weights.sum(dim=1, keepdim=True)
        summed = (history_vectors * history_weights.unsqueeze(-1)).sum(dim=1)
        mean = summed / torch.clamp(total, min=1.0)
        return torch.cat([mean, torch.ones_like(total)], dim=1)


def shares_of(weights: HistoryWeights, types: NDArray[np.int64], times_ms: NDArray[np.int64]) -> NDArray[np.float32]:
    """Compute each interaction's share w_h / sum w_h by the definition, for comparison with the serving code: (T,)."""
    newest, oldest = max(times_ms, default=0), min((time for time in times_ms if time), default=0)
    found = []
    for kind, time in zip(types, times_ms, strict=True):
        weight = weights.types.get(InteractionType(int(kind)).name, 1.0)
        if weights.half_life_days is not None and newest:
            weight *= 0.5 ** (float(newest - (time or oldest)) / DAY_MS / weights.half_life_days)
        found.append(weight)
    return np.array([weight / sum(found) for weight in found], dtype=np.float32)


def weighted_user_vectors(
    model: Led, histories: Sequence[History], max_history: int, weights: HistoryWeights | None
) -> NDArray[np.float32]:
    """Compute [sum w_h v_h / sum w_h, 1] for histories, oldest first, with the trained model: (B, d + 1) float32."""
    recent = [history.recent(max_history) for history in histories]
    if weights is None:
        return user_vectors(model, [history.rows for history in recent], max_history)
    shares = [shares_of(weights, history.types, history.times_ms) for history in recent]
    return user_vectors(model, [history.rows for history in recent], max_history, shares)


def user_vectors(
    model: Led,
    histories: Sequence[NDArray[np.int64]],
    max_history: int,
    shares: Sequence[NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """Compute [mean(v_h), 1] for histories of rows, oldest first, with the trained model: (B, d + 1) float32.

    shares: of each of the last `max_history`, adding up to 1; None is 1/T.
    """
    recent = [torch.from_numpy(history[-max_history:].astype(np.int64)) for history in histories]
    offsets = torch.tensor([0, *np.cumsum([len(history) for history in recent])[:-1]], dtype=torch.int64)
    with torch.no_grad():
        given = None if shares is None else torch.from_numpy(np.concatenate(shares))
        means = model.encode(torch.cat(recent), offsets, given)
    return torch.cat([means, torch.ones(len(recent), 1)], dim=1).numpy()


def trained_model(vectors: NDArray[np.float32], biases: NDArray[np.float32]) -> Led:
    """Rebuild a LED model from its final vectors (projected ones too: then P is part of them)."""
    model = Led(torch.from_numpy(vectors), "train")
    with torch.no_grad():
        model.bias.copy_(torch.from_numpy(biases))
    return model


def export_led(
    model: Led, max_history: int, seed: int, weights: HistoryWeights | None = None
) -> tuple[bytes, EncoderSpec]:
    """Export the encoder and its spec; `ExportError` if onnxruntime and torch differ by more than `TOLERANCE`."""
    with torch.no_grad():
        vectors = model.item_vectors().numpy()
    spec = led_spec(vectors.shape[1], max_history, OPSET, weights)
    graph = _export(vectors.shape[1], spec)
    check_parity(graph, spec, model, vectors, seed)
    return graph, spec


def check_parity(graph: bytes, spec: EncoderSpec, model: Led, vectors: NDArray[np.float32], seed: int) -> None:
    """Run random, empty and too long histories through the serving path and through torch, and compare."""
    encoder = OnnxEncoder.open(graph, spec)
    rng = np.random.default_rng(seed)
    for size in PARITY_BATCHES:
        lengths = rng.integers(1, spec.max_history + 5, size=size)
        histories = [rng.integers(len(vectors), size=length) for length in lengths]
        empty = np.zeros(0, dtype=np.int64)
        for rows in (histories, [empty, *histories[1:]], [empty] * size):
            batch = [_history(each, rng) for each in rows]
            weights = weights_of(spec, [each.types for each in batch], [each.times_ms for each in batch])
            served = encoder.encode(led_inputs(vectors, rows, spec.max_history, weights))
            trained = weighted_user_vectors(model, batch, spec.max_history, spec.weights or None)
            worst = float(np.abs(served - trained).max())
            if not worst <= TOLERANCE:
                message = (
                    f"exported encoder differs from the trained model by {worst:.2e} at batch {size}; "
                    f"at most {TOLERANCE:.0e} is allowed. Nothing was published"
                )
                raise ExportError(message)


def _history(rows: NDArray[np.int64], rng: np.random.Generator) -> History:
    """Rows with random types, and times within a month, some of them not known."""
    times = np.sort(rng.integers(1, 30 * DAY_MS, len(rows))) * (rng.random(len(rows)) < _TIMED)
    return History(rows, rng.integers(0, len(InteractionType), len(rows)), times, "", {})


def _export(dim: int, spec: EncoderSpec) -> bytes:
    batch, length = torch.export.Dim("B"), torch.export.Dim("T")
    example = (torch.zeros(2, 3, dim), torch.zeros(2, 3))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, nothing that a user could act on
        program = torch.onnx.export(
            ServingEncoder().eval(),
            example,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[spec.output.name],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
            verbose=False,
        )
    if program is None:
        message = "the exporter gave no graph; nothing was published"
        raise ExportError(message)
    graph = program.model_proto
    strip_origins(graph)
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString(deterministic=True)


def strip_origins(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes on where each node comes from: they hold this machine's paths and stack traces."""
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    model.graph.ClearField("doc_string")
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
