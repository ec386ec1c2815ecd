"""What a bench bundle holds: LED over a drawn catalogue, or over any vectors. Golden answers are plain numpy's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_store.content import BundleContent, CountryContent, GoldenCase
from loadtest.catalogue import Catalogue
from loadtest.synthetic_encoders import encoder_contents

COUNTRY = "XX"
MERCHANTS: Mapping[str, float] = {"half": 0.5, "tenth": 0.1, "hundredth": 0.01}
"""Merchants and their share of the catalogue; the rest belongs to others."""
INPUT_DIM = 64
DIRECT_DIM = 33
# enough that an index which reaches its target on the calibration reaches it on these
_GOLDEN, _GOLDEN_K = 64, 100
_SEED = 20


@dataclass(frozen=True)
class Asked:
    """Histories (rows, oldest first): of users that calibrate, and of others that the bench asks for."""

    calibration: Sequence[NDArray[np.int64]]
    bench: Sequence[NDArray[np.int64]]


def led_content(catalogue: Catalogue, asked: Asked) -> BundleContent:
    """Make the content of a bundle with LED in the one country "XX"."""
    dim = catalogue.vectors.shape[1]
    led = encoder_contents(dim, dim + 1, INPUT_DIM, DIRECT_DIM)["led"]
    country = _country(catalogue, asked)
    return BundleContent(
        led_onnx=led.graph,
        led_spec=led.spec,
        countries={COUNTRY: country},
        golden=[_golden(country, catalogue, history) for history in asked.calibration[:_GOLDEN]],
        timelines=[],
        data_fingerprint="0" * 64,
        seed=_SEED,
        metrics={},
        config={"note": "drawn for a bench"},
    )


def user_vectors(vectors: NDArray[np.float32], histories: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    """LED's users (Q, d + 1) over `vectors` (N, d): the mean of the history, and a 1 for the bias."""
    means = np.stack([vectors[history].mean(axis=0) for history in histories])
    return np.column_stack([means, np.ones(len(means))]).astype(np.float32)


def _country(catalogue: Catalogue, asked: Asked) -> CountryContent:
    rng = np.random.default_rng(_SEED)
    count = len(catalogue.vectors)
    ids = np.unique(rng.integers(1, 2**63, count + count // 2 + 10, dtype=np.uint64))
    names = np.array([*MERCHANTS, "others"])
    owners = np.searchsorted(np.cumsum(list(MERCHANTS.values())), rng.random(count), side="right")
    queries = user_vectors(catalogue.vectors, asked.calibration)
    return CountryContent(
        item_ids=rng.permutation(ids)[:count],
        keys=None,
        titles=None,
        merchants=names[owners].tolist(),
        categories=None,
        popularity=catalogue.popularity,
        led_vectors=catalogue.vectors,
        led_biases=catalogue.biases,
        calibration_queries=queries,
        own_queries=len(queries),
    )


def _golden(country: CountryContent, catalogue: Catalogue, history: NDArray[np.int64]) -> GoldenCase:
    user = user_vectors(catalogue.vectors, [history])[0]
    scores = catalogue.vectors @ user[:-1] + catalogue.biases
    best = np.lexsort((country.item_ids, -scores))[: min(_GOLDEN_K, len(scores))]
    ids = country.item_ids
    return GoldenCase(COUNTRY, ids[history].tolist(), len(best), user, ids[best].tolist(), scores[best].tolist())
