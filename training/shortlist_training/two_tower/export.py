"""The query tower as ONNX, compared with torch before anyone may use it.

Inputs are the features' ids under the features' names, each (B,) or (B, L); the output `user_vector` is (B, K). Items
are encoded offline and indexed (section 4.3), so the item tower needs no graph.
"""

import logging
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from shortlist_training.errors import ExportError
from shortlist_training.export import OPSET, TOLERANCE
from shortlist_training.two_tower.features import FeatureTable
from shortlist_training.two_tower.towers import Tower

OUTPUT = "user_vector"
PARITY_ROWS = 7


class _Positional(nn.Module):
    """A tower whose features come in the order of its specs: a graph's inputs are a list."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, *columns: Tensor) -> Tensor:
        names = [spec.name for spec in self.tower.specs]
        vectors: Tensor = self.tower(dict(zip(names, columns, strict=True)))
        return vectors


def export_query_tower(tower: Tower, example: FeatureTable) -> bytes:
    """Export a tower; `example` gives its columns' types and widths, and rows to compare torch and onnxruntime on.

    `ExportError` if any component differs by more than `TOLERANCE`, at one row and at several.
    """
    names = [spec.name for spec in tower.specs]
    columns = tuple(example.columns[name][:PARITY_ROWS] for name in names)
    graph = _export(tower.eval(), names, columns)
    session = onnxruntime.InferenceSession(graph)
    for size in (1, len(columns[0])):
        rows = [column[:size] for column in columns]
        served = session.run([OUTPUT], {name: row.numpy() for name, row in zip(names, rows, strict=True)})[0]
        with torch.no_grad():
            trained = tower(dict(zip(names, rows, strict=True))).numpy()
        worst = float(np.abs(served - trained).max())
        if not worst <= TOLERANCE:
            message = f"exported query tower differs by {worst:.2e}; at most {TOLERANCE:.0e} is allowed"
            raise ExportError(message)
    return graph


def _export(tower: Tower, names: list[str], columns: tuple[Tensor, ...]) -> bytes:
    batch = torch.export.Dim("B")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, nothing that a user could act on
        program = torch.onnx.export(
            _Positional(tower),
            columns,
            input_names=names,
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(tuple({0: batch} for _ in columns),),
            verbose=False,
        )
    if program is None:
        message = "the exporter gave no graph"
        raise ExportError(message)
    graph = program.model_proto
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString(deterministic=True)
