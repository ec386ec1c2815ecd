"""Rates and quantiles from counters, against what the values themselves say."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.inspector.rates import between, timing
from server.inspector.scrape import Histogram, read

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.1)


def _histogram(values: list[float]) -> Histogram:
    histogram = Histogram(total_s=sum(values))
    for bound in (*BOUNDS, float("inf")):
        histogram.buckets[bound] = sum(value <= bound for value in values)
    return histogram


@settings(max_examples=200)
@given(st.lists(st.floats(1e-5, 0.0999), max_size=30), st.lists(st.floats(1e-5, 0.0999), min_size=1, max_size=60))
def test_quantiles_lie_in_the_bucket_of_the_true_ones(before: list[float], new: list[float]) -> None:
    """Of the new values only: the interpolated p50 and p99 are in the bucket where the exact ones are."""
    found = timing(_histogram(before), _histogram([*before, *new]))
    assert found.count == len(new)
    assert found.mean_us == pytest.approx(np.mean(new) * 1e6, rel=1e-6)
    for share, value in ((0.5, found.p50_us), (0.99, found.p99_us)):
        exact = sorted(new)[max(0, int(np.ceil(share * len(new))) - 1)]
        low, high = next(pair for pair in pairwise((0, *BOUNDS)) if exact <= pair[1])
        assert value is not None
        assert low * 1e6 - 1e-6 <= value <= high * 1e6 + 1e-6


def test_what_is_above_the_last_bound_counts_as_that_bound() -> None:
    """It is only known to be longer; the page writes it with a sign for that."""
    histogram = _histogram([5.0, 6.0])
    assert timing(None, histogram).p50_us == pytest.approx(100_000)
    assert histogram.longest_us == pytest.approx(100_000)
    assert timing(histogram, histogram).p50_us is None


PAGE = """# HELP grpc_server_handled_total Calls answered.
# TYPE grpc_server_handled_total counter
grpc_server_handled_total{grpc_code="OK",grpc_method="Retrieve",grpc_service="s"} %d
grpc_server_handled_total{grpc_code="NOT_FOUND",grpc_method="SimilarItems",grpc_service="s"} %d
grpc_server_handled_total{grpc_code="OK",grpc_method="GetServingInfo",grpc_service="s"} %d
# TYPE shortlist_fallback_total counter
shortlist_fallback_total{country="FR",reason="empty_history"} %d
shortlist_fallback_total{country="US",reason="empty_history"} %d
# TYPE shortlist_live_recall gauge
shortlist_live_recall{country="FR",source="led"} 0.97
shortlist_live_recall{country="US",source="led"} NaN
# TYPE shortlist_live_recall_samples gauge
shortlist_live_recall_samples{country="FR",source="led"} 12
# TYPE other counter
other{broken
"""


def test_a_page_is_read_by_name_whatever_else_is_there() -> None:
    """Rates are per second and over countries; GetServingInfo is no retrieval; NaN is no recall."""
    before, after = read(PAGE % (10, 0, 5, 1, 1), 100.0), read(PAGE % (30, 4, 50, 3, 5), 104.0)
    interval = between(before, after)
    assert (interval.calls, interval.errors) == (6.0, 1.0)
    assert interval.fallbacks == {"empty_history": 1.5}
    assert after.live_recall == {("FR", "led"): 0.97}
