"""The one-hot and multi-hot fields of users and items that PDN embeds (section 4.2): dense features are cut first."""

from dataclasses import dataclass
from pathlib import Path

import ibis
import numpy as np
import scipy.sparse as sp
from ibis import ir
from numpy.typing import NDArray

from shortlist_training.timelines import Rows

DECADE_FROM, YEARS_PER_CODE = 1910, 5
COUNT_CODES = 24
DAY_S = 86_400
GROWTH = 1.5
"""Each class of counts is wider than the one before by this factor."""


@dataclass(frozen=True)
class Fields:
    """One-hot fields. codes: (N, F) int64, one column per field; sizes: (F,) how many values each field can take."""

    codes: Rows
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Behaviour:
    """What users did with items beside taking them, and whether they are back.

    disliked: (D,) int64 ascending, user row * I + item row of each pair of the training log that was rated below 3.
    returned: (U,) bool, the request comes more than a day after sign-up: the newest items are not the last of the
    first visit then, and lateness says nothing of them. items: I.
    """

    disliked: Rows
    returned: NDArray[np.bool_]
    items: int


@dataclass(frozen=True)
class Profiles:
    """What is known without the log. users: gender, age, occupation. items: year, 5 years to a code.

    genres: (I, G) float32, each item's genres with weight 1 / their number. genre_names: (G,). behaviour: None where
    the log has takings only.
    """

    users: Fields
    items: Fields
    genres: NDArray[np.float32]
    genre_names: tuple[str, ...]
    behaviour: Behaviour | None = None


def read_profiles(interactions: Path, users: Path, movies: Path) -> Profiles:
    """Read MovieLens' user and movie tables in the order of NCF's rows; each NCF row names its MovieLens id."""
    connection = ibis.duckdb.connect()
    log = connection.read_parquet(interactions)
    user_ids = log.select("ncf_user", "user_id").distinct()
    item_ids = log.select("ncf_item", "movie_id").distinct()
    people = user_ids.join(connection.read_parquet(users), "user_id").order_by("ncf_user")
    films = item_ids.join(connection.read_parquet(movies), "movie_id").order_by("ncf_item")
    films = films.select("ncf_item", "year", genre=films.genres.split("|")).to_pyarrow()
    lists = films["genre"].to_pylist()
    names = tuple(sorted({name for genres in lists for name in genres}))
    years = (films["year"].to_numpy().astype(np.int64) - DECADE_FROM) // YEARS_PER_CODE
    return Profiles(
        users=_one_hot(people, "gender", "age", "occupation"),
        items=Fields(years[:, None], (int(years.max()) + 1,)),
        genres=np.array([[(name in genres) / len(genres) for name in names] for genres in lists], dtype=np.float32),
        genre_names=names,
    )


def read_behaviour(interactions: Path, requests: Path) -> Behaviour:
    """Read which pairs of the training log were disliked, and who is back by the time of the request.

    interactions: (ncf_user, ncf_item, is_test, rating_ge3). requests: (ncf_user, user_id, timestamp), one row per user.
    Of the test rows only the time is read: a request has one. What was asked for and how it was rated is not.
    """
    connection = ibis.duckdb.connect()
    log = connection.read_parquet(interactions)
    items = int(log.ncf_item.max().to_pyarrow().as_py()) + 1
    below = log.filter(~log.is_test & ~log.rating_ge3).select("ncf_user", "ncf_item").distinct().to_pyarrow()
    pairs = below["ncf_user"].to_numpy().astype(np.int64) * items + below["ncf_item"].to_numpy()
    asked = (
        connection.read_parquet(requests).select("ncf_user", "user_id", "timestamp").order_by("user_id").to_pyarrow()
    )
    returned = np.zeros(len(asked), dtype=np.bool_)
    returned[asked["ncf_user"].to_numpy()] = returned_users(asked["timestamp"].to_numpy().astype(np.int64))
    return Behaviour(np.sort(pairs), returned, items)


def returned_users(requests: Rows) -> NDArray[np.bool_]:
    """Say who asks more than a day after signing up: (U,) bool.

    requests: (U,) int64 seconds, users in order of sign-up, the last to sign up first, as MovieLens-1M numbers them.
    Nobody signed up after those before them in this order did, and nobody asks before signing up: the earliest
    request so far is the latest that a user can have signed up.
    """
    return np.asarray(requests - np.minimum.accumulate(requests) > DAY_S)


def count_codes(counts: NDArray[np.float32]) -> Rows:
    """Cut counts into `COUNT_CODES` classes that widen by a half from one to the next; 0 is a class of its own."""
    grown = np.floor(np.log(np.maximum(counts, 1.0)) / np.log(GROWTH)) + 1
    return np.where(counts > 0, np.minimum(grown, COUNT_CODES - 1), 0).astype(np.int64)


def popularity_codes(history: sp.csr_matrix) -> Rows:
    """Cut how large a part of the users each item has: (I,) int64. Counts are per 10,000 users, so folds compare."""
    share = np.asarray(history.sum(axis=0)).ravel() * (10_000 / history.shape[0])
    return count_codes(share)


def activity_codes(history: sp.csr_matrix) -> Rows:
    """Cut how many items each user has: (U,) int64."""
    return count_codes(np.diff(history.indptr).astype(np.float32))


def _one_hot(table: ir.Table, *columns: str) -> Fields:
    found = table.select(*columns).to_pyarrow()
    coded = [np.unique(found[name].to_numpy(), return_inverse=True) for name in columns]
    codes = np.stack([places for _, places in coded], axis=1).astype(np.int64)
    return Fields(codes, tuple(len(values) for values, _ in coded))
