"""Sends each request at its planned time and measures from that time: a slow server cannot slow the questions down.

Measuring from the actual send time would leave out the waiting that a stalled server causes ("coordinated omission").
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc
import grpc.aio

_Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
_METHOD = "/retrieval.v1.Retrieval/Retrieve"


@dataclass
class Outcome:
    """What came back: latencies from the planned time in seconds, of good calls only; calls by status; wall seconds."""

    latencies_s: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    late_s: float = 0.0
    wall_s: float = 0.0


async def run_open_loop(
    address: str, requests: Sequence[bytes], times_s: Sequence[float], *, connections: int, deadline_s: float
) -> Outcome:
    """Send one request per planned time over `connections` separate connections, cycling through both.

    `Outcome.late_s` is by how much the client itself missed a planned time at worst: over a millisecond or two, the
    client was the bottleneck and the figures speak of it.
    """
    # without its own subchannel pool, every channel of this process would share one connection
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(connections)]
    outcome = Outcome()
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        calls: Iterator[_Call] = itertools.cycle([channel.unary_unary(_METHOD) for channel in channels])
        pending: set[asyncio.Task[None]] = set()
        start = time.perf_counter()
        for planned_s, request in zip(times_s, itertools.cycle(requests), strict=False):
            ahead = start + planned_s - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            outcome.late_s = max(outcome.late_s, time.perf_counter() - start - planned_s)
            task = asyncio.create_task(_one(next(calls), request, start + planned_s, deadline_s, outcome))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)
        outcome.wall_s = time.perf_counter() - start
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    return outcome


async def _one(
    call: "_Call",
    request: bytes,
    planned: float,
    deadline_s: float,
    outcome: Outcome,
) -> None:
    try:
        await call(request, timeout=deadline_s)
    except grpc.aio.AioRpcError as error:
        outcome.codes[error.code().name] += 1
    else:
        outcome.codes["OK"] += 1
        outcome.latencies_s.append(time.perf_counter() - planned)
