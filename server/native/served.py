"""What the front itself has counted: how long calls took from their arrival to their reply, and which are open."""

from bisect import bisect_left
from itertools import accumulate

from pygrpc_native import NativeGrpcFront

from server.metrics import METHODS, SERVER_BUCKETS_S, SERVICE
from server.worker_metrics import WorkerMetrics


def show_served(front: NativeGrpcFront, metrics: WorkerMetrics) -> None:
    """Put the front's counts into ours, statuses together. Its bounds are finer; ours are among them."""
    counted = front.metrics()
    if counted is None:
        return
    # of n + 1 buckets, those up to each of our bounds
    ends = [bisect_left(counted["bounds"], bound) + 1 for bound in SERVER_BUCKETS_S]
    for index, method in enumerate(METHODS):
        statuses = counted["methods"].get(f"/{SERVICE}/{method}", {}).get("status", {}).values()
        buckets = [sum(column) for column in zip(*(status["buckets"] for status in statuses), strict=True)]
        if buckets:
            upto = [0, *accumulate(buckets)]
            within = [upto[end] for end in ends]
            counts = [high - low for low, high in zip([0, *within], [*within, upto[-1]], strict=True)]
            metrics.served(index, counts, round(sum(status["sum"] for status in statuses) * 1e9))


def open_calls(front: NativeGrpcFront) -> int:
    """Count the calls whose headers have come and whose answer has not been handed to HTTP/2."""
    counted = front.metrics()
    if counted is None:
        return 0
    return sum(
        each["started"] - sum(status["count"] for status in each["status"].values())
        for each in counted["methods"].values()
    )
