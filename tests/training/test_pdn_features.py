"""What PDN sees of the log: statistics, buckets, folds and profiles."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from shortlist_training.baselines import gram
from shortlist_training.neighbourhood import LinearConfig, ease_and_slim
from shortlist_training.pdn.cooccurrence import BUCKETS, STATISTICS, edges, pairs, statistics
from shortlist_training.pdn.features import activity_codes, count_codes, popularity_codes, read_profiles
from shortlist_training.pdn.views import look, views

LINEAR = LinearConfig(l2=2.0, l1=0.1, rho=1.0)


def log(users: int = 50, items: int = 12) -> sp.csr_matrix:
    return sp.csr_matrix((np.random.default_rng(7).random((users, items)) < 0.25).astype(np.float32))


def test_statistics_by_their_definitions() -> None:
    """Cosine, share of users and PMI of one pair, and the mean of EASE's and SLIM's weights."""
    history = log()
    found, together = statistics(history, LINEAR)
    dense = history.toarray()
    both, j_users, i_users = (dense[:, 2] * dense[:, 5]).sum(), dense[:, 2].sum(), dense[:, 5].sum()
    named = dict(zip(STATISTICS, found[:, 2, 5].tolist(), strict=True))
    assert together[2, 5] == (both > 0)
    np.testing.assert_allclose(named["cosine"], both / np.sqrt(j_users * i_users), rtol=1e-5)
    np.testing.assert_allclose(named["count"], both / 50, rtol=1e-5)
    np.testing.assert_allclose(named["lift"], np.log(50 * both / (j_users * i_users)), rtol=1e-5)
    np.testing.assert_allclose(found[STATISTICS.index("linear")], ease_and_slim(gram(history), LINEAR))


def test_buckets_keep_the_order_of_values() -> None:
    """A larger value never lies in a lower bucket, and pairs that nobody has are bucket 0 of all but the linear one."""
    found, together = statistics(log(), LINEAR)
    buckets = pairs(found, together, edges(found, together))
    for place in range(len(STATISTICS)):
        order = np.argsort(found[place][together])
        assert (np.diff(buckets[place][together][order].astype(int)) >= 0).all()
    assert not buckets[1:, ~together].any()
    assert buckets[0].min() >= 1
    assert buckets.max() <= BUCKETS


def test_linear_means_lie_between_their_cuts() -> None:
    """A bucket's mean is a value of that bucket."""
    found, together = statistics(log(200, 40), LINEAR)
    cut = edges(found, together)
    values = found[0].ravel()
    for bucket in range(BUCKETS):
        inside = values[np.searchsorted(cut.cuts[0], values, side="right") == bucket]
        if len(inside):
            np.testing.assert_allclose(cut.linear_means[bucket], inside.mean(dtype=np.float64), atol=1e-6)


def test_a_users_own_history_is_not_in_the_view_of_its_fold() -> None:
    """Changing a user's history changes no statistic that this user is trained with."""
    before = log()
    after = before.copy().tolil()
    after[4] = 1 - before[4].toarray()
    first = views(before, 5, LINEAR, 2, lambda _a, _b, _c: None)
    fold = int(first.fold[4])
    second = look(sp.csr_matrix(after)[first.fold != fold], LINEAR.of_part(4 / 5), first.edges)
    np.testing.assert_array_equal(first.held_out[fold].buckets, second.buckets)
    np.testing.assert_array_equal(first.held_out[fold].popularity, second.popularity)


def test_every_user_is_in_one_fold_of_even_size() -> None:
    """Folds differ by one user at most."""
    found = views(log(), 4, LINEAR, 2, lambda _a, _b, _c: None)
    assert np.ptp(np.bincount(found.fold)) <= 1
    assert len(found.held_out) == 4


def test_count_codes_grow_with_counts() -> None:
    """0 has its own code, codes rise with the count and end at the last one."""
    codes = count_codes(np.array([0, 1, 2, 10, 1e9], dtype=np.float32))
    assert codes[0] == 0
    assert (np.diff(codes) >= 0).all()
    assert codes[1] == 1
    assert codes[-1] == 23


def test_popularity_does_not_depend_on_the_number_of_users() -> None:
    """The same log twice has the same popularity codes, and activity counts each user's items."""
    history = log()
    np.testing.assert_array_equal(popularity_codes(history), popularity_codes(sp.vstack([history, history]).tocsr()))
    np.testing.assert_array_equal(activity_codes(history), count_codes(np.diff(history.indptr).astype(np.float32)))


def test_profiles_follow_the_rows_of_the_log(tmp_path: Path) -> None:
    """Users and films are looked up by MovieLens id and come in NCF's order; genres are averaged."""
    pq.write_table(
        pa.table({"user_id": [9, 4], "movie_id": [70, 30], "ncf_user": [0, 1], "ncf_item": [1, 0]}),
        tmp_path / "log.parquet",
    )
    people = {"user_id": [4, 9], "gender": ["F", "M"], "age": [25, 50], "occupation": [3, 3]}
    pq.write_table(pa.table(people), tmp_path / "users.parquet")
    films = {"movie_id": [30, 70], "title": ["x", "y"], "genres": ["Drama", "Comedy|Drama"], "year": [1994, 1921]}
    pq.write_table(pa.table(films), tmp_path / "movies.parquet")
    found = read_profiles(*(tmp_path / f"{name}.parquet" for name in ("log", "users", "movies")))
    np.testing.assert_array_equal(found.users.codes, [[1, 1, 0], [0, 0, 0]])
    assert found.users.sizes == (2, 2, 1)
    assert found.genre_names == ("Comedy", "Drama")
    np.testing.assert_array_equal(found.genres, [[0.0, 1.0], [0.5, 0.5]])
    np.testing.assert_array_equal(found.items.codes[:, 0], [16, 2])
