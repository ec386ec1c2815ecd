"""The LED source of one country, loaded: vectors, index, bias order; histories in, neighbours out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.arrays import load_array
from index_store.errors import RecallUnderTarget, VectorsInvalid
from index_store.hnsw import HnswIndex
from index_store.index import ExactIndex, Index, Neighbours
from index_store.layout import led_index, led_vectors
from index_store.manifest import CountryEntry, LedEntry
from models.encoder import OnnxEncoder
from models.led import led_inputs


@dataclass(frozen=True)
class LedShard:
    """One country's LED.

    vectors: (N, D) float32, `[v_i, b_i]`. bias_order: (N,) int64, rows by descending bias, equal ones by row: the
    answer to the null user vector (Koch et al. 2020, section 7.2).
    """

    entry: LedEntry
    vectors: NDArray[np.float32]
    index: Index
    bias_order: NDArray[np.int64]

    @classmethod
    def of(cls, entry: LedEntry, vectors: NDArray[np.float32], index: Index) -> "LedShard":
        """Derive the bias order."""
        return cls(entry, vectors, index, np.argsort(-vectors[:, -1], kind="stable"))

    @classmethod
    def load(cls, directory: Path, country: str, entry: CountryEntry) -> "LedShard":
        """Map the vectors, load the graph, and check M12 and M16 to M18."""
        led = entry.led
        _check_recall(country, led)
        vectors = load_array(directory / led_vectors(country), np.float32, (entry.items, led.dim))
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            message = f"country {country}: expected finite vectors, found NaN or infinity in row {row}"
            raise VectorsInvalid(message)
        if led.engine == "exact":
            return cls.of(led, vectors, ExactIndex(vectors))
        return cls.of(led, vectors, HnswIndex.load(directory / led_index(country), led, vectors))

    @property
    def dim(self) -> int:
        """D, dimensions of a user vector."""
        return self.entry.dim

    @property
    def biases(self) -> NDArray[np.float32]:
        """b_i, (N,) float32."""
        biases: NDArray[np.float32] = self.vectors[:, -1]
        return biases

    def encode(self, encoder: OnnxEncoder, histories: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Compute user vectors (B, D) from B histories of rows, oldest first."""
        return encoder.encode(led_inputs(self.vectors[:, :-1], histories, encoder.spec.max_history))

    def search(self, user_vectors: NDArray[np.float32], k: int) -> Neighbours:
        """Find the min(k, N) best rows for user vectors (B, D)."""
        return self.index.search(user_vectors, k)


def _check_recall(country: str, led: LedEntry) -> None:
    if led.engine == "exact":
        measured = [1.0]
    else:
        measured = [point.recall for point in led.curve if (point.space, point.ef) == (led.space, led.ef)]
    if measured != [led.recall]:
        message = (
            f"country {country}: recall {led.recall} is not what its curve has at {led.space}, ef {led.ef}: {measured}"
        )
        raise RecallUnderTarget(message)
    if led.recall < led.recall_target:
        message = f"country {country}: expected recall of at least {led.recall_target}, the manifest has {led.recall}"
        raise RecallUnderTarget(message)
