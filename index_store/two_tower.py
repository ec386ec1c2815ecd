"""The two-tower source of one country, loaded: item vectors, their index, and what the query tower takes of an item."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.index import Index, Neighbours
from index_store.layout import two_tower_file
from index_store.manifest import TwoTowerEntry
from index_store.vectors import load_index, load_vectors
from models.encoder import OnnxEncoder
from models.features import UserContext
from models.two_tower import two_tower_inputs


@dataclass(frozen=True)
class TwoTowerShard:
    """One country's two-tower items (Yang et al. 2020).

    vectors: (N, K) float32, v(y) of the item tower; a score is an inner product with the query's u(x).
    input_vectors: (N, e) float32, what the query tower takes of an item.
    """

    entry: TwoTowerEntry
    vectors: NDArray[np.float32]
    input_vectors: NDArray[np.float32]
    index: Index

    @classmethod
    def load(cls, directory: Path, country: str, items: int, entry: TwoTowerEntry) -> "TwoTowerShard":
        """Map the vectors, load the index, and check M12 and M16 to M18."""
        vectors = load_vectors(directory / two_tower_file(country, "vectors.npy"), items, entry.dim)
        taken = load_vectors(directory / two_tower_file(country, "input_vectors.npy"), items, entry.input_dim)
        index = load_index(directory / two_tower_file(country, "vectors.npy"), entry, vectors)
        return cls(entry, vectors, taken, index)

    def encode(
        self,
        encoder: OnnxEncoder,
        histories: Sequence[NDArray[np.int64]],
        seeds: Sequence[int],
        contexts: Sequence[UserContext],
    ) -> NDArray[np.float32]:
        """Compute u(x) (B, K) of B users with the encoder `two_tower_query`, in one call.

        histories: rows, oldest first, any number of them. seeds: rows or `models.two_tower.NO_SEED`. Raises
        `EncoderError`, and `FeatureKindError` where a caller's feature is of the wrong kind.
        """
        return encoder.encode(
            two_tower_inputs(
                self.input_vectors, histories, seeds, contexts, encoder.transforms, encoder.spec.max_history
            )
        )

    def search(self, user_vectors: NDArray[np.float32], k: int) -> Neighbours:
        """Find the min(k, N) best rows for user vectors (B, K)."""
        return self.index.search(user_vectors, k)
