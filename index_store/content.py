"""What training hands to the publisher: one value that holds all that will be in a bundle.

`index_store.publish.publish` turns it into a verified directory. Everything is in memory as numpy arrays; nothing here
knows about files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.manifest import Space
from models.spec import EncoderSpec


@dataclass(frozen=True)
class CountryContent:
    """One country's catalogue and LED vectors. Row r of every array and list is the same item.

    item_ids: (N,) uint64, unique, in any order. keys: the catalogue's own string keys, unique, or None where it has
    none. titles, merchants, categories: display strings, or None where the data has them not; "" means unknown.
    popularity: (N,) int64, the number of training interactions in this country.
    led_vectors: (N, d) float32, v_i. led_biases: (N,) float32, b_i.
    calibration_queries: (Q, d + 1) float32 user vectors of held-out users, own country first; `own_queries` of them
    are users of this country, the rest come from other countries to steady the estimate.
    """

    item_ids: NDArray[np.uint64]
    keys: Sequence[str] | None
    titles: Sequence[str] | None
    merchants: Sequence[str] | None
    categories: Sequence[str] | None
    popularity: NDArray[np.int64]
    led_vectors: NDArray[np.float32]
    led_biases: NDArray[np.float32]
    calibration_queries: NDArray[np.float32]
    own_queries: int


@dataclass(frozen=True)
class GoldenCase:
    """A request with the answer that training computed without any of the serving code.

    history: item ids, oldest first (may be empty). user_vector: (d + 1,) float32, from the trained model.
    item_ids and scores: the exact top k over the country, best first (higher is closer), equal scores by lower
    item id, history not excluded.
    """

    country: str
    history: Sequence[int]
    k: int
    user_vector: NDArray[np.float32]
    item_ids: Sequence[int]
    scores: Sequence[float]


@dataclass(frozen=True)
class Timeline:
    """A sample user for `shortlist query --user`: item ids oldest first, types as `models.InteractionType` values."""

    user: str
    country: str
    item_ids: Sequence[int]
    types: Sequence[int]


@dataclass(frozen=True)
class BundleContent:
    """Everything of one bundle. `metrics` and `config` are JSON-able and go into the manifest as they are.

    data_fingerprint: sha256 (hex) over the training data files. `metrics` maps a model's name to metric names and
    values, e.g. {"led": {"recall@20": 0.28}, "popularity": {...}}.
    """

    led_onnx: bytes
    led_spec: EncoderSpec
    countries: Mapping[str, CountryContent]
    golden: Sequence[GoldenCase]
    timelines: Sequence[Timeline]
    data_fingerprint: str
    seed: int
    metrics: Mapping[str, Mapping[str, float]]
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class IndexPolicy:
    """How the publisher chooses an index per country.

    A country with fewer than `exact_below` items is searched exactly. Others get an HNSW graph for each space, and
    the smallest ef of `ef_grid`, but at least `recall_k`, that reaches `recall_target` of recall@`recall_k` against
    exact search wins.
    """

    recall_target: float = 0.95
    recall_k: int = 100
    exact_below: int = 2_000
    m: int = 16
    ef_construction: int = 200
    ef_grid: tuple[int, ...] = (100, 128, 192, 256, 384, 512, 768, 1024, 2048)
    spaces: tuple[Space, ...] = ("ip", "l2_augmented")
    seed: int = 7
