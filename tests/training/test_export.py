"""The exported encoder: the spec's names and shapes, and the same numbers as the trained model."""

import numpy as np
import onnx
import pytest
import torch

from models.encoder import OnnxEncoder
from models.led import led_inputs
from models.spec import led_spec
from shortlist_training.errors import ExportError
from shortlist_training.export import OPSET, check_parity, export_led, trained_model, user_vectors
from shortlist_training.led import Led


@pytest.fixture(scope="module")
def model() -> Led:
    torch.manual_seed(3)
    return trained_model(torch.randn(30, 6).numpy(), torch.randn(30).numpy())


@pytest.fixture(scope="module")
def graph(model: Led) -> bytes:
    return export_led(model, max_history=5, seed=1)[0]


def test_graph_is_what_the_spec_promises(graph: bytes) -> None:
    """Names, dynamic dimensions and opset are those of `led_spec`, and the server's own check accepts the graph."""
    spec = led_spec(6, 5, OPSET)
    OnnxEncoder.open(graph, spec)
    loaded = onnx.load_from_string(graph)
    assert loaded.opset_import[0].version == OPSET
    shapes = {
        node.name: [dim.dim_param or dim.dim_value for dim in node.type.tensor_type.shape.dim]
        for node in [*loaded.graph.input, *loaded.graph.output]
    }
    assert shapes == {
        "history_vectors": ["B", "T", 6],
        "history_weights": ["B", "T"],
        "user_vector": ["B", 7],
    }


@pytest.mark.parametrize("lengths", [[0], [1], [9], [0, 3, 5, 12, 1, 0, 2]])
def test_served_vectors_are_the_trained_ones(model: Led, graph: bytes, lengths: list[int]) -> None:
    """Onnxruntime gives the mean of the last `max_history` vectors and 1; an empty history gives zeros and 1."""
    rng = np.random.default_rng(4)
    vectors = model.item_vectors().detach().numpy()
    histories = [rng.integers(30, size=length) for length in lengths]
    encoder = OnnxEncoder.open(graph, led_spec(6, 5, OPSET))
    served = encoder.encode(led_inputs(vectors, histories, 5))
    means = [vectors[history[-5:]].mean(0) if len(history) else np.zeros(6) for history in histories]
    np.testing.assert_allclose(served, np.column_stack([means, np.ones(len(lengths))]), atol=1e-5)
    np.testing.assert_allclose(served, user_vectors(model, histories, 5), atol=1e-5)


def test_a_graph_that_disagrees_is_refused(model: Led, graph: bytes) -> None:
    """When the model is not the one that the inputs are gathered from, nothing is exported and the gap is named."""
    other = trained_model(model.item_vectors().detach().numpy() + 0.01, np.zeros(30, dtype=np.float32))
    with pytest.raises(ExportError, match=r"differs from the trained model by 1\.0\de-02 at batch 1"):
        check_parity(graph, led_spec(6, 5, OPSET), other, model.item_vectors().detach().numpy(), seed=1)


def test_the_graph_says_nothing_of_where_it_was_made(graph: bytes) -> None:
    """No path of the exporting machine is in the graph, so that two machines export the same bytes."""
    assert b".py" not in graph
    assert b"site-packages" not in graph
