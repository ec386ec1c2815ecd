"""Runs one ONNX encoder. A session is opened after the fork, once per worker, and never inside a request.

For few rows the graph may run in numpy instead: see `models.numpy_choice`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.errors import EncoderError, EncoderSpecError
from models.features import Transforms
from models.numpy_choice import NumpyChoice, choose
from models.probe import PROBES, probe_inputs
from models.spec import EncoderSpec

if TYPE_CHECKING:
    import onnxruntime

_FATAL = 4
_ONNX_TYPE = {"float32": "tensor(float)", "int64": "tensor(int64)"}


class OnnxEncoder:
    """An opened graph with the spec it was checked against. `transforms` makes its feature inputs."""

    def __init__(self, session: "onnxruntime.InferenceSession", spec: EncoderSpec) -> None:
        self._session = session
        self._output_names = [spec.output.name]
        self._row_inputs = [each.name for each in spec.inputs if each.shape[0] == spec.output.shape[0]]
        self._numpy: NumpyChoice | None = None
        self.spec = spec
        self.transforms = Transforms(spec.features)

    @classmethod
    def open(cls, graph: Path | bytes, spec: EncoderSpec) -> "OnnxEncoder":
        """Open a graph on one thread without spinning; `EncoderSpecError` if it is not what `spec` says.

        The graph is run once, with the lowest and the highest id of every input: an embedding table that is smaller
        than the spec says would fail at some later request.
        """
        # importing it starts a thread, and whoever loads a bundle is about to fork
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # a spinning pool would burn the core that the search of the next request needs
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # what goes wrong is raised, and whoever catches it logs it
        options.log_severity_level = _FATAL
        source = str(graph) if isinstance(graph, Path) else graph
        try:
            session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of unexported types
            message = f"encoder {spec.encoder}: onnxruntime cannot open the graph: {error}"
            raise EncoderSpecError(message) from error
        _check_graph(session, spec)
        encoder = cls(session, spec)
        encoder._probe()
        encoder._numpy = choose(graph, spec, encoder._in_onnxruntime)
        return encoder

    @property
    def session_options(self) -> "onnxruntime.SessionOptions":
        """What the session was opened with."""
        return self._session.get_session_options()

    def encode(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Compute the (B, D) or (L,) float32 output; `EncoderError` if the graph fails or gives a non-finite value.

        No user, or no trigger, gives no row: the graph is not asked.
        """
        rows = min([len(inputs[name]) for name in self._row_inputs if name in inputs], default=1)
        if not rows:
            shape = (0, *(int(size) for size in self.spec.output.shape[1:]))
            return np.zeros(shape, dtype=np.float32)
        try:
            vectors = self._run(inputs, rows)
        except Exception as error:  # as above
            message = f"encoder {self.spec.encoder} failed: {error}"
            raise EncoderError(message) from error
        if not np.logical_and.reduce(np.isfinite(vectors), axis=None):
            message = f"encoder {self.spec.encoder} gave a vector with NaN or infinity"
            raise EncoderError(message)
        return np.asarray(vectors, dtype=np.float32)

    def _run(self, inputs: Mapping[str, NDArray[Any]], rows: int) -> NDArray[Any]:
        if self._numpy is not None and rows <= self._numpy.rows:
            return self._numpy.graph.run(inputs)
        return self._in_onnxruntime(inputs)

    def _in_onnxruntime(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        (vectors,) = self._session.run(self._output_names, dict(inputs))
        return np.asarray(vectors)

    def _probe(self) -> None:
        expected = (PROBES, *self.spec.output.shape[1:])
        try:
            found = self.encode(probe_inputs(self.spec)).shape
        except EncoderError as error:
            message = f"{error}, with zeros and with the highest ids that its spec allows"
            raise EncoderSpecError(message) from error
        if found != expected:
            message = f"encoder {self.spec.encoder}: expected an output of shape {expected}, the graph gave {found}"
            raise EncoderSpecError(message)


def _check_graph(session: "onnxruntime.InferenceSession", spec: EncoderSpec) -> None:
    found = {node.name: node for node in session.get_inputs()}
    expected = {tensor.name: tensor for tensor in spec.inputs}
    if found.keys() != expected.keys():
        message = f"encoder {spec.encoder}: expected inputs {sorted(expected)}, the graph has {sorted(found)}"
        raise EncoderSpecError(message)
    nodes = [(found[name], tensor) for name, tensor in expected.items()]
    outputs = {node.name: node for node in session.get_outputs()}
    if spec.output.name not in outputs:
        message = f"encoder {spec.encoder}: expected output {spec.output.name}, the graph has {sorted(outputs)}"
        raise EncoderSpecError(message)
    for node, tensor in [*nodes, (outputs[spec.output.name], spec.output)]:
        fixed = [size if isinstance(size, int) else None for size in tensor.shape]
        actual = [size if isinstance(size, int) else None for size in node.shape]
        same_shape = len(fixed) == len(actual) and all(e is None or e == a for e, a in zip(fixed, actual, strict=True))
        if node.type != _ONNX_TYPE[tensor.dtype] or not same_shape:
            message = (
                f"encoder {spec.encoder}: {tensor.name} should be {tensor.dtype} {tensor.shape}, "
                f"the graph has {node.type} {tuple(node.shape)}"
            )
            raise EncoderSpecError(message)
