"""From two looks at the counters to what happened between them: rates, and quantiles of histograms."""

from dataclasses import dataclass

from server.inspector.scrape import Histogram, Scrape

_QUANTILES = (0.5, 0.99)


@dataclass(frozen=True)
class Timing:
    """What a histogram gained: how many, their mean, and quantiles, in microseconds; None where there were none."""

    count: float
    mean_us: float | None
    p50_us: float | None
    p99_us: float | None


@dataclass(frozen=True)
class Interval:
    """What happened between two scrapes. Rates are per second."""

    calls: float
    errors: float
    timing: Timing
    fallbacks: dict[str, float]


def between(before: Scrape, after: Scrape) -> Interval:
    """Compare two scrapes of one server."""
    seconds = after.time_s - before.time_s
    codes = {code: after.handled[code] - before.handled.get(code, 0) for code in after.handled}
    errors = sum(gained for code, gained in codes.items() if code != "OK")
    return Interval(
        calls=sum(codes.values()) / seconds,
        errors=errors / seconds,
        timing=timing(before.handling, after.handling),
        fallbacks={
            reason: (count - before.fallbacks.get(reason, 0)) / seconds for reason, count in after.fallbacks.items()
        },
    )


def timing(before: Histogram | None, after: Histogram) -> Timing:
    """Say what came into a histogram."""
    older = before.buckets if before else {}
    gained = [(bound, count - older.get(bound, 0)) for bound, count in sorted(after.buckets.items())]
    count = gained[-1][1] if gained else 0
    if count <= 0:
        return Timing(0, None, None, None)
    mean_s = (after.total_s - (before.total_s if before else 0)) / count
    p50, p99 = (quantile(gained, share) * 1e6 for share in _QUANTILES)
    return Timing(count, mean_s * 1e6, p50, p99)


def quantile(buckets: list[tuple[float, float]], share: float) -> float:
    """Interpolate within the bucket, as Prometheus does; what lies above the last bound counts as that bound.

    buckets: (upper bound, cumulative count), ascending, the last one infinite, with at least one value.
    """
    wanted = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and count > below:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low
