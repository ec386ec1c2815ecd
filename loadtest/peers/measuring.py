"""Loads a peer at its setting: capacity in a closed loop, latency in an open one at half of that."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from loadtest.cpu import tree
from loadtest.drive import Target, closed_loop, open_loop
from loadtest.outcome import Outcome, pooled_ms
from loadtest.peers.job import JUDGED
from loadtest.peers.peer import Peer, Place, Variant
from loadtest.peers.recall import recall_of
from loadtest.peers.tuning import Note, Setting


@dataclass(frozen=True)
class Effort:
    """How long and how often is measured."""

    repeats: int = 3
    closed_s: float = 6.0
    open_s: float = 10.0
    concurrency: int = 32
    connections: int = 16


@dataclass(frozen=True)
class Measured:
    """Medians over the repeats, ranges beside them; latencies over all calls of the open loops.

    `cpu_us`: of all server processes per call, at capacity. `pss_mb`: memory of all server processes after the load,
    pages that they share counted once. `client_share`: of both cores, at capacity.
    """

    recall: float
    qps: float
    qps_range: tuple[float, float]
    cpu_us: float
    cpu_us_half: float
    p50_ms: float
    p99_ms: float
    p99_range: tuple[float, float]
    half_rate: float
    late_p99_ms: float
    errors: int
    client_share: float
    pss_mb: float

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON's types."""
        return asdict(self)


def measure(
    peer: Peer,
    place: Place,
    store: Any,  # noqa: ANN401 - each peer its own
    setting: Setting,
    effort: Effort,
    note: Note,
) -> Measured:
    """Start the peer's server over its running `store`, at its setting, and measure it."""
    variant, wire = variant_of(peer, place, setting), peer.wire_in(place)
    with peer.serve(place, variant, store, setting.effort, setting.choice) as serving:
        recall = recall_of(place.job, wire, serving, range(JUDGED))
        payloads = wire.encode(place.job, range(len(place.job.histories)))
        target = Target(serving.address, wire.method, payloads, serving.pids, deadline_s=10.0)
        closed = _closed(target, effort, note)
        opened = _opened(target, median(each.achieved_rate for each in closed) / 2, effort, note)
        return _measured(recall, closed, opened, sum(_pss_mb(pid) for pid in tree(serving.pids)))


def variant_of(peer: Peer, place: Place, setting: Setting) -> Variant:
    """Find the variant that a setting is of."""
    return next(each for each in peer.variants(place) if each.name == setting.variant)


def _closed(target: Target, effort: Effort, note: Note) -> Sequence[Outcome]:
    found = []
    for _ in range(effort.repeats):
        found.append(
            closed_loop(target, seconds=effort.closed_s, concurrency=effort.concurrency, connections=effort.connections)
        )
        note(f"closed loop: {found[-1].achieved_rate:,.0f} calls a second")
    return found


def _opened(target: Target, rate: float, effort: Effort, note: Note) -> Sequence[Outcome]:
    found = []
    for seed in range(effort.repeats):
        found.append(open_loop(target, rate=rate, seconds=effort.open_s, seed=seed, connections=effort.connections))
        note(f"open loop, {rate:,.0f} calls a second: p99 {found[-1].p99_ms:.2f} ms")
    return found


def _measured(recall: float, closed: Sequence[Outcome], opened: Sequence[Outcome], pss_mb: float) -> Measured:
    rates, tails = [each.achieved_rate for each in closed], [each.p99_ms for each in opened]
    return Measured(
        recall=recall,
        qps=median(rates),
        qps_range=(min(rates), max(rates)),
        cpu_us=median(each.server_cpu_us or 0.0 for each in closed),
        cpu_us_half=median(each.server_cpu_us or 0.0 for each in opened),
        p50_ms=pooled_ms(opened, 50),
        p99_ms=pooled_ms(opened, 99),
        p99_range=(min(tails), max(tails)),
        half_rate=median(rates) / 2,
        late_p99_ms=max(each.late_p99_ms or 0.0 for each in opened),
        errors=sum(each.errors for each in [*closed, *opened]),
        client_share=median(each.client_share for each in closed),
        pss_mb=pss_mb,
    )


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # it ended meanwhile, or is a kernel's
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
