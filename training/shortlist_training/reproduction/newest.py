"""How much rarer a user's newest item is than the user's others: what a log without times can not tell of itself.

NCF's test item is each user's newest, and people take what is popular first. A random held-out item is no stand-in
for it: settings that are best there lean on popularity. MovieLens-1M's log has no times here, but MovieLens-100k's has.
"""

from pathlib import Path

import ibis
import numpy as np
from numpy.typing import NDArray

_MOST, _STEPS = 4.0, 40


def newest_rarity(interactions: Path) -> float:
    """Find the r for which one own item of each user, drawn by count^-r, is as popular as the newest item.

    interactions: (user_id, item_id, timestamp). "As popular": in mean logarithm of the item's count, users alike. Items
    of one second count by their mean. 0 where the newest are no rarer than the others.
    """
    rows = ibis.duckdb.connect().read_parquet(interactions).select("user_id", "item_id", "timestamp").distinct()
    found = rows.to_pyarrow()
    users, items = (np.unique(found[name].to_numpy(), return_inverse=True)[1] for name in ("user_id", "item_id"))
    time = found["timestamp"].to_numpy()
    count = np.log(np.bincount(items)[items])
    latest = np.full(users.max() + 1, time.min())
    np.maximum.at(latest, users, time)
    return _rarity(users, count, float(_mean(users, count, (time == latest[users]).astype(np.float64))))


def _rarity(users: NDArray[np.int64], count: NDArray[np.float64], wanted: float) -> float:
    low, high = 0.0, _MOST
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _mean(users, count, np.exp(-middle * count)) > wanted else (low, middle)
    return low


def _mean(users: NDArray[np.int64], values: NDArray[np.float64], weight: NDArray[np.float64]) -> np.float64:
    """Average each user's values by weight, then the users."""
    return np.float64((np.bincount(users, weight * values) / np.bincount(users, weight)).mean())
