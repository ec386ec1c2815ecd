"""Draws a job: catalogue, users, the encoder, and the exact answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from index_store.index import exact_top_k
from loadtest.catalogue import REFERENCE, draw
from loadtest.peers.job import HISTORY, JUDGED, Job, K
from models.encoder import OnnxEncoder
from models.led import led_inputs
from models.spec import EncoderSpec, encode_spec, led_spec

_USERS = 2_000
_CHUNK = 50
_OPSET = 17
_SEED = 11
_TIE = 1e-5

Progress = Callable[[str, int, int], None]


def made_job(directory: Path, items: int, progress: Progress, *, users: int = _USERS) -> Job:
    """Open the job of so many items, or draw it and keep it in `directory`; so many `users` ask."""
    job = Job(directory)
    if (directory / "bars.npy").exists():
        return job
    directory.mkdir(parents=True, exist_ok=True)
    progress("drawing the catalogue", 0, 1)
    drawn = draw(REFERENCE.of_size(items))
    rng = np.random.default_rng(_SEED)
    histories = np.stack(drawn.histories(max(users, JUDGED), (HISTORY, HISTORY), _SEED))
    spec = led_spec(drawn.vectors.shape[1], HISTORY, _OPSET)
    graph = led_graph(spec)
    (directory / "led.json").write_bytes(encode_spec(spec))
    (directory / "led.onnx").write_bytes(graph)
    vectors = OnnxEncoder.open(graph, spec).encode(led_inputs(drawn.vectors, list(histories), HISTORY))[:, :-1]
    arrays = {
        "vectors": drawn.vectors,
        "item_ids": rng.permutation(items).astype(np.uint64) * np.uint64(977) + np.uint64(11),
        "histories": histories,
        "users": vectors,
        "bars": _bars(drawn.vectors, vectors[:JUDGED], progress),
    }
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)
    return job


def _bars(vectors: NDArray[np.float32], users: NDArray[np.float32], progress: Progress) -> NDArray[np.float32]:
    bars = []
    for start in range(0, len(users), _CHUNK):
        worst = exact_top_k(vectors, users[start : start + _CHUNK], K).scores[:, -1]
        # sums in another order differ by so much
        bars.append(worst - _TIE * np.maximum(1.0, np.abs(worst)))
        progress("exact answers", min(start + _CHUNK, len(users)), len(users))
    return np.concatenate(bars).astype(np.float32)


def led_graph(spec: EncoderSpec) -> bytes:
    """Write LED's encoder, `[mean(v_h), 1]`, as ONNX."""
    nodes = [
        helper.make_node("Unsqueeze", ["history_weights", "last"], ["column"]),
        helper.make_node("Mul", ["history_vectors", "column"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "middle"], ["summed"], keepdims=0),
        helper.make_node("ReduceSum", ["history_weights", "middle"], ["total"], keepdims=1),
        helper.make_node("Max", ["total", "one"], ["count"]),
        helper.make_node("Div", ["summed", "count"], ["mean"]),
        helper.make_node("Mul", ["total", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["ones"]),
        helper.make_node("Concat", ["mean", "ones"], ["user_vector"], axis=1),
    ]
    constants: dict[str, NDArray[Any]] = {
        "last": np.array([2], dtype=np.int64),
        "middle": np.array([1], dtype=np.int64),
        "one": np.array([1], dtype=np.float32),
        "zero": np.array([0], dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "led",
        [helper.make_tensor_value_info(each.name, TensorProto.FLOAT, each.shape) for each in spec.inputs],
        [helper.make_tensor_value_info(spec.output.name, TensorProto.FLOAT, spec.output.shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", spec.opset)], ir_version=9)
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised
