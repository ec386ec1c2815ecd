"""Interactions as arrays: what the numeric steps (LED, metrics, assembly) read instead of tables.

Made from the run directory's parquet files; the order user, time, item, type is already there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Log:
    """All kept interactions, ordered by user, then time. Row r of every (n,) array is one interaction.

    users: sorted, user u has rows offsets[u]:offsets[u + 1]. items: (n,) int64, the item's place in items.parquet.
    types: (n,) int8. countries: sorted codes; country: (n,) int64 places in it. split: (U,) "train", ...
    times_ms: (n,) int64, milliseconds since 1970.
    """

    users: Sequence[str]
    offsets: Rows
    items: Rows
    types: NDArray[np.int8]
    countries: Sequence[str]
    country: Rows
    split: NDArray[np.str_]
    times_ms: Rows

    @classmethod
    def of(cls, interactions: pa.Table, item_keys: pa.ChunkedArray, splits: pa.Table) -> "Log":
        """Read the canonical tables; `splits` has one row per user, ordered by user."""
        user = index_in(interactions["user"], splits["user"])
        if np.any(np.diff(user) < 0):
            message = "interactions are not ordered by user"
            raise ValueError(message)
        coded = interactions["country"].combine_chunks().dictionary_encode()
        countries, place = np.unique(np.asarray(coded.dictionary.to_pylist()), return_inverse=True)
        return cls(
            users=splits["user"].to_pylist(),
            offsets=np.searchsorted(user, np.arange(splits.num_rows + 1)).astype(np.int64),
            items=index_in(interactions["item"], item_keys),
            types=interactions["type"].to_numpy().astype(np.int8),
            countries=countries.tolist(),
            country=place[coded.indices.to_numpy()].astype(np.int64),
            split=np.asarray(splits["split"].to_pylist()),
            times_ms=interactions["time"].cast(pa.timestamp("ms"), safe=False).cast(pa.int64()).to_numpy(),
        )

    def members(self, *splits: str) -> Rows:
        """List the users of some splits, ascending."""
        return np.flatnonzero(np.isin(self.split, splits)).astype(np.int64)

    def rows_of(self, user: int) -> slice:
        """Give the places of one user's interactions."""
        return slice(int(self.offsets[user]), int(self.offsets[user + 1]))

    def homes(self) -> Rows:
        """Give each user the country of the newest interaction, as a place in `countries`: (U,) int64."""
        return self.country[self.offsets[1:] - 1]

    def is_train(self) -> NDArray[np.bool_]:
        """Mark the interactions of training users: (n,) bool."""
        return np.repeat(self.split == "train", np.diff(self.offsets))


def index_in(values: pa.ChunkedArray, wanted: pa.ChunkedArray) -> Rows:
    """Find each value's place among the wanted ones, all of which are there: (n,) int64."""
    places = pc.index_in(values, value_set=wanted)
    if places.null_count:
        message = "a table names a user or an item that its partner table does not have"
        raise ValueError(message)
    found: Rows = places.to_numpy().astype(np.int64)
    return found


def vocabulary(log: Log) -> Rows:
    """List the items that training users interacted with, as ascending places in items.parquet: (I,) int64."""
    return np.unique(log.items[log.is_train()]).astype(np.int64)


def distinct_histories(log: Log, users: Rows, vocabulary_items: Rows) -> list[Rows]:
    """Give each user's distinct items as vocabulary rows 0..I-1, by first interaction, without unknown ones."""
    lookup = np.full(int(max(log.items.max(initial=0), vocabulary_items.max(initial=0))) + 1, -1, dtype=np.int64)
    lookup[vocabulary_items] = np.arange(len(vocabulary_items))
    histories = []
    for user in users:
        rows = lookup[log.items[log.rows_of(int(user))]]
        rows = rows[rows >= 0]
        _, first = np.unique(rows, return_index=True)
        histories.append(rows[np.sort(first)])
    return histories


def incidence(histories: Sequence[Rows], size: int) -> sp.csr_matrix:
    """Turn histories into a (U, I) float32 matrix with 1 where the user has the item."""
    lengths = [len(history) for history in histories]
    indptr = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    indices = np.concatenate(histories) if histories else np.zeros(0, dtype=np.int64)
    return sp.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=(len(histories), size))
