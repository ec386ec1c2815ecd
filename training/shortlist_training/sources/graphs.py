"""Torch modules as ONNX graphs of a spec, compared with torch before anyone may use them."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from index_store.content import EncoderContent
from models.encoder import OnnxEncoder
from models.spec import EncoderSpec
from shortlist_training.errors import ExportError
from shortlist_training.export import TOLERANCE, strip_origins

Inputs = Mapping[str, NDArray[np.generic]]


def export_encoder(
    module: nn.Module, spec: EncoderSpec, examples: Sequence[Inputs], compute: Callable[[Inputs], NDArray[np.float32]]
) -> EncoderContent:
    """Export a module whose arguments are the spec's inputs in their order; the first example shapes the graph.

    `ExportError` if onnxruntime and `compute`, the model as it was trained, differ on any example in any component by
    more than `TOLERANCE` times the larger of 1 and the value.
    """
    graph = _graph(module.eval(), spec, examples[0])
    encoder = OnnxEncoder.open(graph, spec)
    for inputs in examples:
        served, trained = encoder.encode(inputs), compute(inputs)
        worst = float((np.abs(served - trained) / np.maximum(1.0, np.abs(trained))).max(initial=0.0))
        if not worst <= TOLERANCE:
            message = (
                f"exported encoder {spec.encoder} differs from the trained model by {worst:.2e}; at most "
                f"{TOLERANCE:.0e} is allowed. Nothing was published"
            )
            raise ExportError(message)
    return EncoderContent(graph, spec)


def run_torch(module: nn.Module, spec: EncoderSpec) -> Callable[[Inputs], NDArray[np.float32]]:
    """Run the module itself, for `export_encoder`."""

    def compute(inputs: Inputs) -> NDArray[np.float32]:
        with torch.no_grad():
            found = module(*(torch.from_numpy(np.ascontiguousarray(inputs[each.name])) for each in spec.inputs))
        return np.asarray(found.numpy())

    return compute


def _graph(module: nn.Module, spec: EncoderSpec, example: Inputs) -> bytes:
    names = {name for each in spec.inputs for name in each.shape if isinstance(name, str)}
    varying = {name: torch.export.Dim(name, min=1) for name in names}
    shapes = tuple(
        {place: varying[size] for place, size in enumerate(each.shape) if isinstance(size, str)} for each in spec.inputs
    )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, nothing that a user could act on
        program = torch.onnx.export(
            module,
            tuple(torch.from_numpy(np.ascontiguousarray(example[each.name])) for each in spec.inputs),
            input_names=[each.name for each in spec.inputs],
            output_names=[spec.output.name],
            opset_version=spec.opset,
            dynamo=True,
            # a module that takes *features sees them as one tuple
            dynamic_shapes=_grouped(module, shapes),
            verbose=False,
        )
    if program is None:
        message = f"the exporter gave no graph of {spec.encoder}; nothing was published"
        raise ExportError(message)
    graph = program.model_proto
    strip_origins(graph)
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString(deterministic=True)


def _grouped(module: nn.Module, shapes: tuple[object, ...]) -> tuple[object, ...]:
    fixed = module.forward.__code__.co_argcount - 1
    return (*shapes[:fixed], shapes[fixed:])
