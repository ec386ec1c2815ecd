"""MovieLens-1M under the protocol of the Mult-VAE paper: implicit feedback, held-out users, 80/20 fold-in.

The paper's ML-20M keeps ratings of four and higher. The ML-1M at hand tells only three and higher (`rating_ge3`), so
that is the threshold here.
"""

from dataclasses import dataclass
from pathlib import Path

import ibis
import numpy as np
import scipy.sparse as sp
from ibis import ir
from numpy.typing import NDArray

from shortlist_training.config import CooccurrenceConfig, SplitConfig, SvdConfig
from shortlist_training.cooccurrence import pair_counts
from shortlist_training.evaluate import held_out
from shortlist_training.pmi import pmi_matrix, svd_vectors
from shortlist_training.splits import distinct_items, split_users
from shortlist_training.timelines import Rows, incidence, index_in
from shortlist_training.train import Validation

INPUT = "ml-1m/interactions.parquet"
MIN_ITEMS, HELD_OUT, INPUT_SHARE = 5, 0.1, 0.8
SETTINGS = {"rating": "3 and higher", "min_items": MIN_ITEMS, "held_out": HELD_OUT, "input_share": INPUT_SHARE}
WHOLE_TIMELINE = 1_000_000
"""More than any user has: this data has no times, so no part of a timeline is its newest."""


@dataclass(frozen=True)
class Movies:
    """The data in rows 0..items-1, the movies that training users liked, ascending by movie id.

    train: each training user's distinct rows. validation and test: held-out users' (U, I) inputs and targets.
    """

    train: list[Rows]
    validation: Validation
    test: Validation
    items: int

    @property
    def matrix(self) -> sp.csr_matrix:
        """The training users as a (U, I) matrix of ones."""
        return incidence(self.train, self.items)


def load(data: Path, seed: int) -> Movies:
    """Read, filter and split; `seed` decides the split and the fold-in."""
    connection = ibis.duckdb.connect()
    liked, splits = _tables(connection, data, seed)
    vocabulary = _of(liked, splits, "train").select("item").distinct().order_by("item").to_pyarrow()["item"]

    def histories(split: str) -> list[Rows]:
        chosen = _of(liked, splits, split)
        known = chosen.semi_join(_of(liked, splits, "train"), "item").order_by("user", "item").to_pyarrow()
        _, starts = np.unique(known["user"].to_numpy(), return_index=True)
        return [np.asarray(part) for part in np.split(index_in(known["item"], vocabulary), starts[1:])]

    size = len(vocabulary)
    validation = held_out(histories("validation"), size, INPUT_SHARE, seed)
    test = held_out(histories("test"), size, INPUT_SHARE, seed + 1)
    return Movies(histories("train"), validation, test, size)


def pmi_vectors(data: Path, seed: int, dim: int) -> NDArray[np.float32]:
    """Factorize the PMI of all training users' movies (section 5.1): (I, dim) float32, rows as in `Movies`."""
    connection = ibis.duckdb.connect()
    liked, splits = _tables(connection, data, seed)
    timelines = _of(liked, splits, "train")
    keys = timelines.select("item").distinct().order_by("item").to_pyarrow()["item"]
    placed = timelines.mutate(time=ibis.timestamp("2000-01-01"), type=ibis.literal(1), country=ibis.literal("ZZ"))
    pairs = pair_counts(placed, CooccurrenceConfig(max_history=WHOLE_TIMELINE), gap_s=1).to_pyarrow()
    matrix = pmi_matrix(
        index_in(pairs["item_i"], keys),
        index_in(pairs["item_j"], keys),
        pairs["count"].to_numpy().astype(np.int64),
        len(keys),
        context_power=SvdConfig().context_power,
        positive=False,
    )
    return svd_vectors(matrix, SvdConfig(dim=dim), seed)


def _tables(connection: ibis.BaseBackend, data: Path, seed: int) -> tuple[ir.Table, ir.Table]:
    """Give the liked movies of users that have enough of them, and these users' splits."""
    raw = connection.read_parquet(data / INPUT)
    liked = raw.filter(raw.rating_ge3).select(user=raw.user_id.cast("string"), item=raw.movie_id.cast("int64"))
    counts = distinct_items(liked.distinct())
    enough = counts.filter(counts["items"] >= MIN_ITEMS)
    liked = connection.create_table("liked", liked.distinct().semi_join(enough, "user"))
    users = distinct_items(liked).to_pyarrow()
    config = SplitConfig(validation=HELD_OUT, test=HELD_OUT, min_items=MIN_ITEMS)
    splits = split_users(users["user"].to_pylist(), users["items"].to_pylist(), config, seed)
    return liked, ibis.memtable(splits)


def _of(liked: ir.Table, splits: ir.Table, split: str) -> ir.Table:
    return liked.semi_join(splits.filter(splits.split == split), "user")
