"""A small world for the sources' tests: users who stay within one colour of items, in two countries."""

import numpy as np

from shortlist_training.catalogue import Catalogue
from shortlist_training.histories import Histories
from shortlist_training.sources.base import Learning

COLOURS, PER_COLOUR = ("red", "blue", "green"), 8
ITEMS = len(COLOURS) * PER_COLOUR
HOUR_MS = 3_600_000


def learning(users: int = 90, seed: int = 0) -> Learning:
    """Make users of one colour each; one in five is for validation. Titles name the colour, categories a shelf."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 9, size=users)
    rows = [rng.permutation(PER_COLOUR)[: lengths[user]] + PER_COLOUR * (user % len(COLOURS)) for user in range(users)]
    histories = Histories(
        offsets=np.r_[0, np.cumsum(lengths)],
        rows=np.concatenate(rows).astype(np.int64),
        types=rng.choice([1, 5], size=int(lengths.sum())),
        times_ms=np.concatenate([np.arange(length) * HOUR_MS + HOUR_MS for length in lengths]),
        homes=np.arange(users) % 2,
        countries=["BE", "NL"],
        split=np.array(["validation" if user % 5 == 4 else "train" for user in range(users)]),
        features=[{"segment": "gold" if user % 4 else "iron", "age": float(user % 7)} for user in range(users)],
        items=ITEMS,
    )
    catalogue = Catalogue(
        item_ids=np.arange(ITEMS, dtype=np.uint64) * 7 % 101 + 1000,
        keys=None,
        titles=[f"{COLOURS[row // PER_COLOUR]} thing {row}" for row in range(ITEMS)],
        merchants=None,
        categories=[f"shelf {row % 3}" for row in range(ITEMS)],
        prices=np.where(np.arange(ITEMS) % 4 == 3, np.nan, np.arange(ITEMS)).astype(np.float32),
    )
    return Learning(histories, catalogue, rng.standard_normal((ITEMS, 6)).astype(np.float32))
