"""The LED source of one country, loaded: vectors, index, bias order; histories in, neighbours out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.index import Index, Neighbours
from index_store.index_entry import VectorEntry
from index_store.layout import led_vectors
from index_store.manifest import CountryEntry
from index_store.vectors import load_index, load_vectors
from models.encoder import OnnxEncoder
from models.led import Weights, led_inputs


@dataclass(frozen=True)
class LedShard:
    """One country's LED.

    vectors: (N, D) float32, `[v_i, b_i]`. bias_order: (N,) int64, rows by descending bias, equal ones by row: the
    answer to the null user vector (Koch et al. 2020, section 7.2).
    """

    entry: VectorEntry
    vectors: NDArray[np.float32]
    index: Index
    bias_order: NDArray[np.int64]

    @classmethod
    def of(cls, entry: VectorEntry, vectors: NDArray[np.float32], index: Index) -> "LedShard":
        """Derive the bias order."""
        return cls(entry, vectors, index, np.argsort(-vectors[:, -1], kind="stable"))

    @classmethod
    def load(cls, directory: Path, country: str, entry: CountryEntry) -> "LedShard":
        """Map the vectors, load the index, and check M12 and M16 to M18."""
        vectors = load_vectors(directory / led_vectors(country), entry.items, entry.led.dim)
        return cls.of(entry.led, vectors, load_index(directory / led_vectors(country), entry.led, vectors))

    @property
    def dim(self) -> int:
        """D, dimensions of a user vector."""
        return self.entry.dim

    @property
    def biases(self) -> NDArray[np.float32]:
        """b_i, (N,) float32."""
        biases: NDArray[np.float32] = self.vectors[:, -1]
        return biases

    def encode(
        self, encoder: OnnxEncoder, histories: Sequence[NDArray[np.int64]], weights: Weights = None
    ) -> NDArray[np.float32]:
        """Compute user vectors (B, D) of B histories, oldest first, weighted as in `models.led.led_inputs`."""
        return encoder.encode(led_inputs(self.vectors[:, :-1], histories, encoder.spec.max_history, weights))

    def search(self, user_vectors: NDArray[np.float32], k: int) -> Neighbours:
        """Find the min(k, N) best rows for user vectors (B, D)."""
        return self.index.search(user_vectors, k)
