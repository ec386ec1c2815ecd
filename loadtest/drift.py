"""Whether something drifts over the windows of a long run: a robust slope, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

# normal deviates; of one series in 1,500 without any trend, one is called drifting
_SURE = 3.4
_FEWEST = 8


@dataclass(frozen=True)
class Drift:
    """The trend of one figure.

    per_million: Theil-Sen slope, change per million calls. total: change over the run. share: of the median. z: of the
    Mann-Kendall test, how many deviations from no trend. drifts: whether the change is upwards, sure, and larger than
    allowed.
    """

    median: float
    per_million: float
    total: float
    share: float
    z: float
    drifts: bool


def drift(calls: Sequence[float], values: Sequence[float], *, allowed_share: float, allowed: float = 0.0) -> Drift:
    """Judge `values` at `calls` (calls so far); a rise of `allowed_share` of the median, or of `allowed`, is no drift.

    Fewer than eight windows are too few to judge, and never drift.
    """
    x, y = np.asarray(calls, dtype=float), np.asarray(values, dtype=float)
    pairs = np.array([(x[j] - x[i], y[j] - y[i]) for i, j in combinations(range(len(x)), 2)]).reshape(-1, 2)
    slope = float(np.median(pairs[:, 1] / pairs[:, 0])) if len(pairs) else 0.0
    median = float(np.median(y)) if len(y) else float("nan")
    total = slope * float(np.ptp(x)) if len(x) else 0.0
    z = _mann_kendall(pairs[:, 1], len(x))
    over = total > max(allowed_share * abs(median), allowed)
    return Drift(median, slope * 1e6, total, total / median if median else 0.0, z, over and z > _SURE)


def _mann_kendall(differences: "np.ndarray[tuple[int], np.dtype[np.float64]]", count: int) -> float:
    if count < _FEWEST:
        return 0.0
    variance = count * (count - 1) * (2 * count + 5) / 18
    return float(np.sign(differences).sum() / np.sqrt(variance))
