"""`python -m loadtest.bench_encoders`: what each encoder costs in onnxruntime and in numpy, microseconds of CPU.

Encoders of published shapes with random weights, or a bundle's. Both run the same inputs in turns, each with caches as
they are when nothing else runs (warm), and after reading as much memory as empties them (cold), as a search of a large
graph does in part. Medians.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from index_store.bundle import load_bundle
from index_store.content import EncoderContent
from loadtest.synthetic import DIM, DIRECT_DIM, ITEM_DIM
from loadtest.synthetic_encoders import encoder_contents
from models.numpy_graph import NumpyGraph
from models.onnx_file import read_onnx
from models.probe import random_inputs

_ROWS = (1, 8, 64)
_HISTORY = 20
_EMPTYING_BYTES = 64 << 20
_SEED = 11
Run = Callable[[Mapping[str, NDArray[Any]]], object]


def main(
    bundle: Annotated[Path | None, typer.Option(help="Measure this bundle's encoders.")] = None,
    rounds: Annotated[int, typer.Option(help="Timed calls, a tenth of them cold.")] = 500,
) -> None:
    """Measure and print a table."""
    contents = _of(bundle) if bundle else encoder_contents(DIM, DIM + 1, ITEM_DIM, DIRECT_DIM)
    table = Table(title="an encoder's run, µs of CPU")
    for heading in ("encoder", "rows", "caches", "onnxruntime", "numpy"):
        table.add_column(heading, justify="right")
    for name, content in contents.items():
        for rows in _ROWS:
            for caches, median in _medians(content, rows, rounds):
                table.add_row(name, str(rows), caches, *(f"{value:,.1f}" for value in median))
    Console().print(table)


def _of(bundle: Path) -> Mapping[str, EncoderContent]:
    opened = load_bundle(bundle)
    return {
        name: EncoderContent((opened.path / each.graph).read_bytes(), opened.specs[name])
        for name, each in opened.manifest.encoders.items()
    }


def _medians(content: EncoderContent, rows: int, rounds: int) -> Iterator[tuple[str, tuple[float, float]]]:
    spec = content.spec
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content.graph, options, providers=["CPUExecutionProvider"])
    graph = NumpyGraph(read_onnx(content.graph), [each.name for each in spec.inputs], spec.output.name)
    runs: tuple[Run, Run] = lambda given: session.run([spec.output.name], dict(given)), graph.run
    inputs = random_inputs(spec, np.random.default_rng(_SEED), rows, _HISTORY)
    emptying = np.zeros(_EMPTYING_BYTES, dtype=np.uint8)
    for caches, count in (("warm", rounds), ("cold", rounds // 10)):
        spent: tuple[list[float], list[float]] = [], []
        for _ in range(count):
            for run, times in zip(runs, spent, strict=True):
                if caches == "cold":
                    emptying += 1
                times.append(_took(run, inputs))
        yield caches, (float(np.median(spent[0])), float(np.median(spent[1])))


def _took(run: Run, inputs: Mapping[str, NDArray[Any]]) -> float:
    started = time.thread_time_ns()
    run(inputs)
    return (time.thread_time_ns() - started) / 1000


if __name__ == "__main__":
    typer.run(main)
