"""Feature columns and their vocabularies: what the towers read instead of raw values.

A value becomes an id of its vocabulary; one that the vocabulary does not have becomes `UNKNOWN`, never an error, since
serving meets countries, words and items that training did not.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PADDING = 0
UNKNOWN = 1
FIRST_KNOWN = 2

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class FeatureSpec:
    """One input of a tower.

    kind "sparse": an id (N,). "multi": ids (N, L), 0 is padding; their embeddings are averaged. "dense": a number (N,).
    vocabulary: name of the embedding table, shared by all features that name it; dim: its width. Unused when dense.
    """

    name: str
    kind: Literal["sparse", "multi", "dense"]
    vocabulary: str = ""
    dim: int = 1


@dataclass(frozen=True)
class Vocabulary:
    """Known values and their ids: value v has id `FIRST_KNOWN` + its place; `PADDING` and `UNKNOWN` are no values."""

    places: Mapping[str, int]

    @classmethod
    def build(cls, values: Iterable[str], min_count: int = 1) -> "Vocabulary":
        """Take every value that occurs `min_count` times or more, in sorted order."""
        counts = Counter(values)
        known = sorted(value for value, count in counts.items() if count >= min_count)
        return cls({value: place for place, value in enumerate(known, FIRST_KNOWN)})

    @property
    def size(self) -> int:
        """Rows of the embedding table: known values, padding and unknown."""
        return len(self.places) + FIRST_KNOWN

    def encode(self, values: Iterable[str]) -> Ids:
        """Give each value its id: (N,) int64."""
        return np.fromiter((self.places.get(value, UNKNOWN) for value in values), dtype=np.int64)


def pad(lists: Sequence[Ids], length: int) -> Ids:
    """Write the first `length` ids of every list into a row, then zeros: (N, length) int64."""
    padded = np.full((len(lists), length), PADDING, dtype=np.int64)
    for row, ids in enumerate(lists):
        padded[row, : min(len(ids), length)] = ids[:length]
    return padded


def bucket_bounds(values: NDArray[np.float64], buckets: int) -> NDArray[np.float64]:
    """Find the bounds of equally full buckets: ascending, at most buckets - 1 of them."""
    known = values[np.isfinite(values)]
    return np.unique(np.quantile(known, np.arange(1, buckets) / buckets))


def bucketize(values: NDArray[np.float64], bounds: NDArray[np.float64]) -> Ids:
    """Give each number its bucket's id, `FIRST_KNOWN` for the lowest; what is no number is `UNKNOWN`: (N,) int64."""
    ids = np.searchsorted(bounds, values, side="right") + FIRST_KNOWN
    return np.where(np.isfinite(values), ids, UNKNOWN).astype(np.int64)


@dataclass(frozen=True)
class FeatureTable:
    """Columns of N queries or items by feature name: int64 (N,) or (N, L), float32 (N,)."""

    columns: Mapping[str, Tensor]

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[np.int64] | NDArray[np.float32]]) -> "FeatureTable":
        """Take over arrays; `ValueError` if their lengths differ."""
        if len({len(column) for column in columns.values()}) != 1:
            found = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
            message = f"columns of one table need one length, found {found}"
            raise ValueError(message)
        return cls({name: torch.from_numpy(column) for name, column in columns.items()})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self, rows: Tensor) -> dict[str, Tensor]:
        """Gather some rows of every column."""
        return {name: column[rows] for name, column in self.columns.items()}
