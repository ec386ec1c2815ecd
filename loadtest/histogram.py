"""Latencies as an HdrHistogram: three digits from a microsecond to a minute, and mergeable."""

from collections.abc import Iterable

import numpy as np
from hdrh.histogram import HdrHistogram

_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 60_000_000, 3


def histogram_of(latencies_ns: Iterable[int]) -> HdrHistogram:
    """Record latencies; what is over a minute counts as a minute, what is under a microsecond as one."""
    histogram = HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)
    rounded = np.clip(np.asarray(latencies_ns, dtype=np.int64) // 1000, _LOWEST_US, _HIGHEST_US)
    for value, count in zip(*(part.tolist() for part in np.unique(rounded, return_counts=True)), strict=True):
        histogram.record_value(value, count)
    return histogram


def quantile_ms(histogram: HdrHistogram, percent: float) -> float:
    """Give the latency in milliseconds that `percent` of the calls did not exceed; NaN if there were none."""
    if not histogram.get_total_count():
        return float("nan")
    return float(histogram.get_value_at_percentile(percent)) / 1000


def merged(encoded: Iterable[str]) -> HdrHistogram:
    """Add up encoded histograms, such as those of several runs."""
    total = HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)
    for each in encoded:
        total.decode_and_add(each)
    return total
