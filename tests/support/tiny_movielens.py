"""A tiny MovieLens-1M in the form of PDN's reproduction, and settings that are through with it at once."""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shortlist_training.neighbourhood import LinearConfig
from shortlist_training.pdn.comparison import BaselineConfig
from shortlist_training.pdn.model import PdnConfig
from shortlist_training.pdn.towers import TowerConfig
from shortlist_training.pdn.train import TrainConfig
from shortlist_training.pdn.warm_start import FactorConfig
from shortlist_training.reproduction.parts import PartContext
from shortlist_training.reproduction.pdn_data import Settings
from shortlist_training.reproduction.pdn_greedy import GreedySettings

USERS, ITEMS, PER_USER = 30, 130, 8


def tiny_movielens(tmp_path: Path) -> PartContext:
    """Write the log, its requests, negatives and profiles, and give a part's context for them."""
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    rng = np.random.default_rng(3)
    rows = [(user, int(item)) for user in range(USERS) for item in rng.choice(ITEMS, PER_USER, replace=False)]
    rows += [(0, item) for item in set(range(ITEMS)) - {item for _, item in rows}]  # every item occurs
    users, items = (np.array(column) for column in zip(*rows, strict=True))
    is_test = np.r_[True, users[1:] != users[:-1]] & (np.arange(len(rows)) < USERS * PER_USER)
    pq.write_table(
        pa.table(
            {
                "ncf_user": users,
                "ncf_item": items,
                "user_id": users,
                "movie_id": items,
                "is_test": is_test,
                "rating_ge3": items % 3 > 0,
            }
        ),
        folder / "interactions.parquet",
    )
    requests = {"ncf_user": range(USERS), "user_id": range(USERS), "timestamp": range(0, -9 * USERS, -9)}
    pq.write_table(pa.table(requests), folder / "ncf_test.parquet")
    drawn = [np.setdiff1d(np.arange(ITEMS), items[users == user])[:99].tolist() for user in range(USERS)]
    drawn[0] = (drawn[0] * 99)[:99] or [0] * 99
    pq.write_table(pa.table({"ncf_user": range(USERS), "negatives": drawn}), folder / "ncf_test_negatives.parquet")
    people = {"user_id": range(USERS), "gender": ["F", "M"] * 15, "age": [1] * USERS, "occupation": [2, 3] * 15}
    pq.write_table(pa.table(people), folder / "users.parquet")
    genres = ["Action|Drama", "Comedy"] * 65
    films = {"movie_id": range(ITEMS), "title": ["x"] * ITEMS, "genres": genres, "year": [1990, 1971] * 65}
    pq.write_table(pa.table(films), folder / "movies.parquet")
    (tmp_path / "ml-100k").mkdir()
    timed = {"user_id": users, "item_id": items, "timestamp": np.arange(len(users))}
    pq.write_table(pa.table(timed), tmp_path / "ml-100k/interactions.parquet")
    (tmp_path / "work").mkdir()
    return PartContext(tmp_path, tmp_path / "work", 1, 1, lambda _label, _done, _total: None)


def small() -> Settings:
    """Make every model tiny and training an epoch."""
    tower = TowerConfig("dssm", id_dim=4, field_dim=2, hidden=4, dim=4, epochs=1, pool=32, batch_users=16)
    return Settings(
        pdn=PdnConfig(id_dim=4, field_dim=2, hidden=4, direct_dim=4),
        factors=FactorConfig(factors=4, iterations=2),
        fitting=TrainConfig(epochs=1, pool=32),
        baselines=BaselineConfig(
            neighbours=(5,),
            shrinkage=(0.0,),
            ease_lambdas=(5.0,),
            slim=((5.0, 0.1),),
            late_powers=(0.0, 0.5),
            ials=(FactorConfig(4, 2.0, 1.0, 2), FactorConfig(2, 2.0, 1.0, 2)),
            dssm=tower,
            youtube=msgspec.structs.replace(tower, kind="youtube"),
        ),
        folds=2,
        linear=LinearConfig(3.0, 0.1, 2.0),
        greedy=GreedySettings(default=(2, 20), triggers=(2, 100), items=(3, 20), by_log=20, by_profile=20),
        genre_pairs=50,
    )
