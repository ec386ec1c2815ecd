"""The best eligible rows of an order that is there already: popularity, item bias. Nothing is sorted but a few rows."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.sources.base import NO_ROWS, Eligibility
from server.sources.mips import overfetch

_GROWTH = 4
# listing an eligible row, finding and sorting its key costs about so much more than looking at a row of the order
_LISTING = 4


@dataclass(frozen=True, slots=True)
class Order:
    """All N rows, best first, and the key they are ordered by: larger is better, equal ones by lower row."""

    rows: NDArray[np.int64]
    keys: NDArray[np.float32] | NDArray[np.int64]


def first_eligible(order: Order, wanted: int, eligible: Eligibility) -> tuple[NDArray[np.int64], str, int]:
    """Find the first min(wanted, eligible) rows (n,) of an order; with the plan, and how many rows were looked at."""
    if eligible.all:
        return order.rows[:wanted], "none", min(wanted, len(order.rows))
    size = len(order.rows)
    look = overfetch(eligible, wanted, size)
    start, plan = 0, "mask"
    found, missing = [], wanted
    while missing > 0 and start < size:
        if _LISTING * eligible.estimate <= look:
            rows = _listed(order, wanted, eligible)
            return rows, "growing" if start else "posting_lists", start + eligible.count
        rows = order.rows[start : start + look]
        rows = rows[eligible.keep(rows)][:missing]
        found.append(rows)
        missing -= len(rows)
        start += look
        look = math.ceil(_GROWTH * look)
        plan = plan if missing <= 0 else "growing"
    return np.concatenate([NO_ROWS, *found]), plan, min(start, size)


def _listed(order: Order, wanted: int, eligible: Eligibility) -> NDArray[np.int64]:
    rows = eligible.rows()
    keys = order.keys[rows]
    if wanted < len(rows):
        # all that tie with the last stay in, or the lower row would not be sure to win
        kept = keys >= np.partition(keys, -wanted)[-wanted]
        rows, keys = rows[kept], keys[kept]
    return rows[np.argsort(-keys, kind="stable")[:wanted]]
