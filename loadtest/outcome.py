"""What a load run saw, as numbers that can be printed, stored and compared."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from loadtest.histogram import histogram_of, merged, quantile_ms

Scalar = str | float | int | None


@dataclass(frozen=True)
class Outcome:
    """One measured phase. Latencies are of calls with status OK, in milliseconds; CPU is per call, in microseconds.

    `late_p99_ms` is by how much the client missed its own planned times; in an open loop it is part of the latencies.
    `client_share` is the client's part of all cores' time. `histogram` is an encoded HdrHistogram in microseconds.
    """

    loop: str
    connections: int
    offered_rate: float | None
    achieved_rate: float
    calls: int
    errors: int
    statuses: Mapping[str, int]
    wall_s: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float
    late_p99_ms: float | None
    server_cpu_us: float | None
    server_cores: float | None
    client_cpu_us: float
    client_share: float
    histogram: str

    @classmethod
    def of(
        cls,
        latencies_ns: Iterable[int],
        lateness_ns: Iterable[int],
        statuses: Mapping[str, int],
        *,
        loop: str,
        connections: int,
        offered_rate: float | None,
        wall_s: float,
        server_cpu_s: float | None,
        client_cpu_s: float,
    ) -> "Outcome":
        """Sum up a phase; RuntimeError if no call ended in it."""
        calls = sum(statuses.values())
        if not calls:
            message = f"no call ended within {wall_s:.1f} s"
            raise RuntimeError(message)
        histogram = histogram_of(latencies_ns)
        late = np.asarray(lateness_ns, dtype=np.int64)
        return cls(
            loop=loop,
            connections=connections,
            offered_rate=offered_rate,
            achieved_rate=statuses.get("OK", 0) / wall_s,
            calls=calls,
            errors=calls - statuses.get("OK", 0),
            statuses=dict(statuses),
            wall_s=wall_s,
            mean_ms=float(histogram.get_mean_value()) / 1000,
            **_quantiles(histogram),
            late_p99_ms=float(np.percentile(late, 99)) / 1e6 if late.size else None,
            server_cpu_us=None if server_cpu_s is None else server_cpu_s / calls * 1e6,
            server_cores=None if server_cpu_s is None else server_cpu_s / wall_s,
            client_cpu_us=client_cpu_s / calls * 1e6,
            client_share=client_cpu_s / (wall_s * (os.cpu_count() or 1)),
            histogram=histogram.encode().decode(),
        )

    def to_json(self) -> dict[str, Any]:
        """Give all of it as JSON's types."""
        return asdict(self)


def _quantiles(histogram: Any) -> dict[str, float]:  # noqa: ANN401 - hdrh has no types
    found = {
        name: quantile_ms(histogram, percent)
        for name, percent in (("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99), ("p99_9_ms", 99.9))
    }
    return {**found, "max_ms": float(histogram.get_max_value()) / 1000}


def pooled_ms(outcomes: Iterable[Outcome], percent: float) -> float:
    """Give a quantile over the calls of several runs."""
    return quantile_ms(merged(each.histogram for each in outcomes), percent)
