"""Tiny bundles for tests, built from a seed: no training, no files, the same shape as a real one.

FR: 300 items with keys and all details, an HNSW graph when published with `POLICY`. US: 120 items with keys only.
DE: 40 items with neither keys nor details, searched exactly. Item ids use the whole unsigned 64-bit range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from index_store.content import BundleContent, CountryContent, GoldenCase, IndexPolicy, Timeline
from models.spec import EncoderSpec, led_spec

DIM = 8
MAX_HISTORY = 50
OPSET = 17
SIZES: Mapping[str, int] = {"DE": 40, "FR": 300, "US": 120}
WITH_KEYS = frozenset({"FR", "US"})
WITH_DETAILS = frozenset({"FR"})
QUERIES = 40

# small enough that FR and US get a graph and DE an exact search; few efs, so that publishing takes no time; a margin so
# wide that the clock decides nothing
POLICY = IndexPolicy(
    recall_k=10, exact_below=50, engines=("hnsw",), margin=1e9, m=8, ef_construction=64, ef_grid=(16, 32, 64, 128, 256)
)


def tiny_content(
    seed: int = 0, *, sizes: Mapping[str, int] | None = None, dim: int = DIM, max_history: int = MAX_HISTORY
) -> BundleContent:
    """Build a whole bundle's content from `seed`; `sizes` maps country codes to numbers of items."""
    rng = np.random.default_rng(seed)
    countries = {code: tiny_country(rng, code, size, dim) for code, size in (sizes or SIZES).items()}
    spec = led_spec(dim, max_history, OPSET)
    return BundleContent(
        led_onnx=led_graph(spec),
        led_spec=spec,
        countries=countries,
        golden=[case for code in countries for case in golden_cases(rng, code, countries[code])],
        timelines=[
            Timeline(f"{code}-sample", code, [int(i) for i in country.item_ids[:3]], [1, 2, 5])
            for code, country in countries.items()
        ],
        data_fingerprint=f"{seed:064x}",
        seed=seed,
        metrics={"led": {"recall@20": 0.25}, "popularity": {"recall@20": 0.1}},
        config={"note": "synthetic"},
    )


def tiny_country(rng: np.random.Generator, code: str, size: int, dim: int = DIM) -> CountryContent:
    """One country's `size` items with random unit-scale vectors and biases."""
    vectors = rng.normal(size=(size, dim)).astype(np.float32)
    biases = rng.normal(scale=0.5, size=size).astype(np.float32)
    details = code in WITH_DETAILS
    return CountryContent(
        item_ids=unique_ids(rng, size),
        keys=[f"{code.lower()}-{row:04d}" for row in range(size)] if code in WITH_KEYS else None,
        titles=[f"Title {row} é" for row in range(size)] if details else None,
        merchants=[f"merchant-{row % 7}" for row in range(size)] if details else None,
        categories=[f"category-{row % 5}" for row in range(size)] if details else None,
        popularity=rng.integers(1, 1000, size=size, dtype=np.int64),
        led_vectors=vectors,
        led_biases=biases,
        calibration_queries=np.stack([user_vector(vectors, random_history(rng, size)) for _ in range(QUERIES)]),
        own_queries=QUERIES,
    )


def unique_ids(rng: np.random.Generator, size: int) -> NDArray[np.uint64]:
    """(size,) distinct ids in random order, small ones and ones above 2**63 among them."""
    wide = rng.integers(2**20, 2**64, size=4 * size, dtype=np.uint64)
    ids = np.unique(wide)
    ids = rng.permutation(ids)[:size]
    ids[0], ids[-1] = 7, 2**64 - 1
    return ids


def random_history(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """1 to 6 rows of a catalogue of `size`."""
    return rng.integers(0, size, size=rng.integers(1, 7), dtype=np.int64)


def user_vector(vectors: NDArray[np.float32], history: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """The (dim + 1,) float32 vector LED gives: the history's mean and a 1 for the item bias."""
    pooled = vectors[np.asarray(history, dtype=np.int64)]
    mean = pooled.mean(axis=0) if len(pooled) else np.zeros(vectors.shape[1])
    return np.append(mean, 1.0).astype(np.float32)


def golden_cases(rng: np.random.Generator, code: str, country: CountryContent) -> list[GoldenCase]:
    """Three requests, the last with an empty history, with their exact answers."""
    size = len(country.item_ids)
    histories = [random_history(rng, size), random_history(rng, size), np.empty(0, dtype=np.int64)]
    return [_golden(code, country, history, k=min(10, size)) for history in histories]


def _golden(code: str, country: CountryContent, history: NDArray[np.int64], k: int) -> GoldenCase:
    user = user_vector(country.led_vectors, history)
    scores = exact_scores(country, user)
    best = np.lexsort((country.item_ids, -scores))[:k]
    return GoldenCase(
        country=code,
        history=[int(country.item_ids[row]) for row in history],
        k=k,
        user_vector=user,
        item_ids=[int(country.item_ids[row]) for row in best],
        scores=[float(scores[row]) for row in best],
    )


def exact_scores(country: CountryContent, user: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) float32 `<u, v_i> + b_i`, higher is closer."""
    return (country.led_vectors @ user[:-1] + country.led_biases * user[-1]).astype(np.float32)


def led_graph(spec: EncoderSpec) -> bytes:
    """The LED encoder as ONNX, exactly with the inputs and output that `models.spec.led_spec` promises."""
    dim = spec.output_dim - 1
    constants = {"last": [2], "middle": [1]}
    nodes = [
        helper.make_node("Unsqueeze", ["history_weights", "last"], ["weights"]),
        helper.make_node("Mul", ["history_vectors", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "middle"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["history_weights", "middle"], ["count"], keepdims=1),
        helper.make_node("Max", ["count", "one"], ["divisor"]),
        helper.make_node("Div", ["total", "divisor"], ["mean"]),
        helper.make_node("Mul", ["count", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["ones"]),
        helper.make_node("Concat", ["mean", "ones"], ["user_vector"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "led",
        [
            helper.make_tensor_value_info("history_vectors", TensorProto.FLOAT, ["B", "T", dim]),
            helper.make_tensor_value_info("history_weights", TensorProto.FLOAT, ["B", "T"]),
        ],
        [helper.make_tensor_value_info("user_vector", TensorProto.FLOAT, ["B", dim + 1])],
        [numpy_helper.from_array(np.array(value, dtype=np.int64), name) for name, value in constants.items()]
        + [
            numpy_helper.from_array(np.array([1.0], dtype=np.float32), "one"),
            numpy_helper.from_array(np.array([0.0], dtype=np.float32), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", spec.opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def with_wrong_golden(content: BundleContent) -> BundleContent:
    """The same content with a golden answer that no correct server can give."""
    first, *rest = content.golden
    wrong = replace(first, user_vector=first.user_vector + np.float32(1.0))
    return replace(content, golden=[wrong, *rest])
