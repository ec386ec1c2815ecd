"""The load client: closed loop for capacity, open loop for latency, over real gRPC connections.

    closed_loop   a fixed number of calls in flight; the next is sent when one ends. Tells how much a server can do
    open_loop     calls are sent when they were planned, whatever the server does, and measured from then on. Tells how
                  long callers wait; measuring from the actual sending would leave out what a stall makes others wait
                  ("coordinated omission")

One thread, one process, raw bytes (`loadtest.h2`): some 30 µs of CPU per call, where grpc.aio takes 70, so that on two
cores most is left to the server.
"""

import contextlib
import ctypes
import gc
import itertools
import select
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np

from loadtest.cpu import tree_cpu_s
from loadtest.h2 import Connection, ServerGoneError, encoded
from loadtest.outcome import Outcome

Arrivals = Literal["poisson", "constant"]
_NEVER = 2**63 - 1
_PR_SET_TIMERSLACK = 29
# select(2) takes descriptors under 1,024
_MOST_CONNECTIONS = 900


@dataclass(frozen=True)
class Target:
    """What is asked of whom.

    `address` is `host:port`, `method` as in "/retrieval.v1.Retrieval/Retrieve", `payloads` are encoded requests, sent
    in turn. `server_pids`: processes whose trees' CPU is counted as the server's.
    """

    address: str
    method: str
    payloads: Sequence[bytes]
    server_pids: Sequence[int] = ()
    deadline_s: float = 5.0


def closed_loop(
    target: Target,
    *,
    seconds: float,
    concurrency: int = 32,
    connections: int = 16,
    warm_up_s: float = 1.0,
    calls: int = _NEVER,
) -> Outcome:
    """Keep `concurrency` calls in flight over `connections` connections for `seconds`, or until `calls` are sent."""
    with _Driver(target, min(connections, concurrency)) as driver:
        if warm_up_s:
            driver.hold(warm_up_s, concurrency)
        return driver.measured(lambda: driver.hold(seconds, concurrency, calls), f"closed, {concurrency} in flight")


def open_loop(
    target: Target,
    *,
    rate: float,
    seconds: float,
    arrivals: Arrivals = "poisson",
    connections: int = 16,
    warm_up_s: float = 1.0,
    seed: int = 7,
) -> Outcome:
    """Send `rate` calls per second for `seconds`, each at its planned time, over the connections in turn."""
    with _Driver(target, connections) as driver:
        if warm_up_s:
            driver.follow(planned_ns(rate, warm_up_s, arrivals, seed + 1))
        plan = planned_ns(rate, seconds, arrivals, seed)
        return driver.measured(lambda: driver.follow(plan), f"open, {arrivals}", rate=rate)


def ask_each(target: Target, *, in_flight: int = 8) -> list[tuple[str, bytes]]:
    """Send every payload once over one connection; gives the status and the reply of each, in order."""
    replies: dict[int, tuple[str, bytes]] = {}
    connection = Connection(target.address, target.method, deadline_s=target.deadline_s, keep_replies=True)
    with contextlib.closing(connection):
        streams: dict[int, int] = {}
        waiting = iter(enumerate(target.payloads))
        while len(replies) < len(target.payloads):
            for number, payload in itertools.islice(waiting, in_flight - connection.in_flight):
                streams[connection.send(*encoded(payload))] = number
            if connection.unsent:
                connection.flush()
            if not select.select([connection], [], [], target.deadline_s + 1)[0]:
                message = f"{target.address} answered nothing for {target.deadline_s + 1} s"
                raise ServerGoneError(message)
            replies |= {streams.pop(stream): (status, reply) for stream, status, reply in connection.receive()}
    return [replies[number] for number in range(len(replies))]


def planned_ns(rate: float, seconds: float, arrivals: Arrivals, seed: int) -> Sequence[int]:
    """Planned send times in nanoseconds from the start; `poisson` draws independent gaps, reproducibly."""
    count = max(1, round(rate * seconds))
    if arrivals == "constant":
        gaps = np.full(count, 1e9 / rate)
    else:
        gaps = np.random.default_rng(seed).exponential(1e9 / rate, count)
    times: list[int] = np.cumsum(gaps).astype(np.int64).tolist()
    return times


@dataclass
class _Seen:
    """What one phase saw; times in nanoseconds."""

    latencies: "array[int]" = field(default_factory=lambda: array("q"))
    lateness: "array[int]" = field(default_factory=lambda: array("q"))
    statuses: Counter[str] = field(default_factory=Counter)

    def ended(self, status: str, took_ns: int) -> None:
        """Count a call; only good ones have a latency."""
        self.statuses[status] += 1
        if status == "OK":
            self.latencies.append(took_ns)


@dataclass(eq=False)
class _Lane:
    """A place for calls: a connection, and when each call on it began or should have."""

    place: int
    connection: Connection
    began_ns: dict[int, int] = field(default_factory=dict)


class _Driver:
    """Lanes, and one loop over them. A lane whose server wants no more calls is replaced, and ends what it has."""

    def __init__(self, target: Target, connections: int) -> None:
        if not 0 < connections <= _MOST_CONNECTIONS:
            message = f"expected 1 to {_MOST_CONNECTIONS} connections, found {connections}"
            raise ValueError(message)
        self._target = target
        self._bodies = itertools.cycle([encoded(payload) for payload in target.payloads])
        self._seen = _Seen()
        self._in_flight = 0
        self._unsent: set[_Lane] = set()
        self._by_descriptor: dict[int, _Lane] = {}
        self._lanes: list[_Lane] = []
        self._connections = connections

    def _open_lane(self, place: int) -> _Lane:
        connection = Connection(self._target.address, self._target.method, deadline_s=self._target.deadline_s)
        lane = self._by_descriptor[connection.fileno()] = _Lane(place, connection)
        self._unsent.add(lane)
        return lane

    def __enter__(self) -> Self:
        # select sleeps 50 µs longer than asked otherwise, and every call would be late by that
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
        gc.collect()
        gc.disable()
        try:
            for place in range(self._connections):
                self._lanes.append(self._open_lane(place))
        except ServerGoneError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        gc.enable()
        for lane in self._by_descriptor.values():
            lane.connection.close()

    def measured(self, phase: Callable[[], None], loop: str, *, rate: float | None = None) -> Outcome:
        """Run a phase and give what it saw, the CPU of both sides beside it."""
        self._seen = _Seen()
        pids = self._target.server_pids
        server_s, client_s, started_ns = tree_cpu_s(pids), time.process_time(), time.perf_counter_ns()
        phase()
        wall_s, client_s = (time.perf_counter_ns() - started_ns) / 1e9, time.process_time() - client_s
        return Outcome.of(
            self._seen.latencies,
            self._seen.lateness,
            self._seen.statuses,
            loop=loop,
            connections=len(self._lanes),
            offered_rate=rate,
            wall_s=wall_s,
            server_cpu_s=tree_cpu_s(pids) - server_s if pids else None,
            client_cpu_s=client_s,
        )

    def hold(self, seconds: float, concurrency: int, calls: int = _NEVER) -> None:
        """Keep `concurrency` calls in flight."""
        end_ns = time.perf_counter_ns() + int(seconds * 1e9)
        left = calls
        for number in range(min(concurrency, calls)):
            self._send(number % len(self._lanes), time.perf_counter_ns())
            left -= 1
        while self._in_flight:
            ended = self._turn(self._target.deadline_s)
            now = time.perf_counter_ns()
            for place in ended[:left] if now < end_ns else ():
                self._send(place, now)
                left -= 1

    def follow(self, plan: Sequence[int]) -> None:
        """Send each call of a plan at its time, then wait for the last."""
        start = time.perf_counter_ns()
        places = itertools.cycle(range(len(self._lanes)))
        due = iter(plan)
        following = start + next(due)
        while following != _NEVER or self._in_flight:
            now = time.perf_counter_ns()
            while following <= now:
                self._send(next(places), following)
                self._seen.lateness.append(now - following)
                following = start + next(due, _NEVER - start)
            self._turn(min((following - time.perf_counter_ns()) / 1e9, self._target.deadline_s))

    def _send(self, place: int, began_ns: int) -> None:
        lane = self._lanes[place]
        if lane.connection.ending:
            lane = self._lanes[place] = self._open_lane(place)
        lane.began_ns[lane.connection.send(*next(self._bodies))] = began_ns
        self._in_flight += 1
        self._unsent.add(lane)

    def _turn(self, within_s: float) -> list[int]:
        """Write what is queued, wait for answers at most so long; gives the places whose calls ended."""
        ended: list[int] = []
        for lane in list(self._unsent):
            try:
                lane.connection.flush()
            except ServerGoneError:
                ended += self._lost(lane, "UNAVAILABLE")
            if not lane.connection.unsent:
                self._unsent.discard(lane)
        blocked = [lane.connection.fileno() for lane in self._unsent]
        readable, writable, _ = select.select(self._by_descriptor, blocked, [], 0 if ended else max(within_s, 0.0))
        if not readable and not writable and not ended and within_s >= self._target.deadline_s:
            for lane in [lane for lane in self._by_descriptor.values() if lane.began_ns]:
                ended += self._lost(lane, "DEADLINE_EXCEEDED")
        for descriptor in readable:
            ended += self._receive(self._by_descriptor[descriptor])
        return ended

    def _receive(self, lane: _Lane) -> list[int]:
        try:
            done = lane.connection.receive()
        except ServerGoneError:
            return self._lost(lane, "UNAVAILABLE")
        now = time.perf_counter_ns()
        for stream, status, _ in done:
            self._seen.ended(status, now - lane.began_ns.pop(stream))
        self._in_flight -= len(done)
        if lane.connection.unsent:
            self._unsent.add(lane)
        if not lane.began_ns and self._lanes[lane.place] is not lane:
            self._forget(lane)
        return [lane.place] * len(done)

    def _lost(self, lane: _Lane, status: str) -> list[int]:
        """Count a broken connection's calls, and connect again; ServerGoneError if that fails."""
        self._forget(lane)
        for _ in lane.began_ns:
            self._seen.ended(status, 0)
        self._in_flight -= len(lane.began_ns)
        if self._lanes[lane.place] is lane:
            self._lanes[lane.place] = self._open_lane(lane.place)
        return [lane.place] * len(lane.began_ns)

    def _forget(self, lane: _Lane) -> None:
        del self._by_descriptor[lane.connection.fileno()]
        self._unsent.discard(lane)
        lane.connection.close()
