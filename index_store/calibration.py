"""Chooses how a country is searched: the cheapest setting of any engine that is good enough for held-out users."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.content import IndexPolicy
from index_store.engines import ScannUnfit, scann_engine
from index_store.errors import RecallUnderTarget
from index_store.index_entry import CurvePoint, VectorEntry
from index_store.recall import GoldenSearch, Truth
from index_store.sweep import Built, Goal, Measured, Tree, grown, measured_exactly, measured_graph, measured_tree

_WORTH_TIMING_AGAIN = 1.5  # times the fastest
_ROUNDS = 3
_TOO_SLOW = 4  # times the fastest: where a graph's curve need not be followed further


@dataclass(frozen=True)
class Calibrated:
    """The manifest's facts of some vectors, and the index they speak of (None: exact search)."""

    entry: VectorEntry
    index: Built | None


def calibrate(
    label: str,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    own_queries: int,
    golden: Sequence[GoldenSearch],
    policy: IndexPolicy,
) -> Calibrated:
    """Choose engine and setting for `vectors` (N, D) with held-out users' vectors `queries` (Q, D).

    `label` says in messages whose vectors they are: a country, and a source. What counts is the median CPU of single
    searches, measured here, of the settings that reach the target on the held-out users and on the country's golden
    requests; see `choose`. Indices that lose are dropped.

    Raises `RecallUnderTarget` with the best point of every engine when none reaches it.
    """
    count, dim = vectors.shape
    facts: dict[str, Any] = {
        "dim": dim,
        "recall_k": min(policy.recall_k, count),
        "recall_target": policy.recall_target,
        "queries": len(queries),
        "own_queries": own_queries,
    }
    if count < policy.exact_below:
        reason = f"fewer than {policy.exact_below} vectors"
        return Calibrated(VectorEntry(engine="exact", recall=1.0, curve=(), reason=reason, **facts), None)
    if not len(queries):
        message = f"country {label}: {count} items need an index, and there is no query to measure its recall with"
        raise RecallUnderTarget(message)
    goal = Goal(Truth.of(vectors, queries, policy.recall_k), golden, policy.recall_target)
    measured, remarks = _sweep(vectors, goal, policy)
    _timed_again(measured, goal)
    chosen = choose(label, measured, policy)
    chosen.built.set_effort(chosen.point)
    curve = tuple(each.point for each in measured)
    reason = "; ".join([_reason(chosen, measured, policy), *remarks])
    facts |= chosen.built.facts(chosen.point)
    if isinstance(chosen.built, Tree):
        facts["scann"] = grown(chosen.built, chosen.point, vectors, goal)
    entry = VectorEntry(recall=chosen.point.recall, curve=curve, reason=reason, **facts)
    return Calibrated(entry, None if entry.engine == "exact" else chosen.built)


def choose(label: str, measured: Sequence[Measured], policy: IndexPolicy) -> Measured:
    """The cheapest setting that reaches the target.

    Times within `policy.margin` of the fastest are taken for equal: of those the first engine of the policy wins, and
    of one engine's the one with the least work by counts, then the first space and M. So a rerun whose times differ by
    less chooses the same.
    """
    enough = [each for each in measured if each.reaches(policy.recall_target)]
    if not enough:
        raise RecallUnderTarget(_nobody(label, measured, policy))
    fastest = min(each.point.search_us for each in enough)
    alike = [each for each in enough if each.point.search_us <= fastest * (1 + policy.margin)]
    return min(alike, key=lambda each: (policy.engines.index(each.point.engine), each.work, _order(each.point, policy)))


def _order(point: CurvePoint, policy: IndexPolicy) -> tuple[int, int]:
    if point.space is None or point.m is None:
        return 0, 0
    return policy.spaces.index(point.space), policy.ms.index(point.m)


def _sweep(vectors: NDArray[np.float32], goal: Goal, policy: IndexPolicy) -> tuple[list[Measured], list[str]]:
    """All engines' curves, and what there is to say of engines that have none."""
    measured: list[Measured] = []
    remarks: list[str] = []
    if "exact" in policy.engines and len(vectors) <= policy.exact_measured_to:
        measured += measured_exactly(vectors, goal)
    if "scann" in policy.engines and scann_engine() is None:
        remarks.append("scann is not installed here and was not measured")
    elif "scann" in policy.engines:
        try:
            measured += measured_tree(vectors, goal, policy)
        except ScannUnfit as error:
            remarks.append(f"scann makes no index of these vectors: {error}")
    if "hnsw" in policy.engines:
        # never sooner than where the margin ends: within it an earlier engine wins, and must have been measured
        too_slow = max(_TOO_SLOW, 1 + policy.margin)
        for space in policy.spaces:
            for m in policy.ms:
                measured += measured_graph(vectors, goal, policy, space, m, too_slow * _fastest(measured, goal))
    return measured, remarks


def _fastest(measured: Sequence[Measured], goal: Goal) -> float:
    return min((each.point.search_us for each in measured if each.reaches(goal.target)), default=math.inf)


def _timed_again(measured: list[Measured], goal: Goal) -> None:
    """Time the settings that may win in turns, so that a moment's load falls on all; the best median counts."""
    enough = [number for number, each in enumerate(measured) if each.reaches(goal.target)]
    if len(enough) < 2:  # noqa: PLR2004 - nothing to compare
        return
    fastest = _fastest(measured, goal)
    worth = [number for number in enough if measured[number].point.search_us <= _WORTH_TIMING_AGAIN * fastest]
    times: dict[int, list[float]] = {number: [measured[number].point.search_us] for number in worth}
    for _ in range(_ROUNDS):
        for number in worth:
            measured[number].built.set_effort(measured[number].point)
            times[number].append(goal.truth.measure(measured[number].built.index)[1])
    for number, own in times.items():
        point = msgspec.structs.replace(measured[number].point, search_us=min(own))
        measured[number] = replace(measured[number], point=point)


def _reason(chosen: Measured, measured: Sequence[Measured], policy: IndexPolicy) -> str:
    """Name the choice, and the cheapest of every other engine that reaches the target."""
    parts = [f"{describe(chosen.point)} takes {chosen.point.search_us:.0f} us"]
    for engine in policy.engines:
        own = [each for each in measured if each.point.engine == engine and each is not chosen]
        enough = [each for each in own if each.reaches(policy.recall_target)]
        if engine == chosen.point.engine or not own:
            continue
        if enough:
            best = min(enough, key=lambda each: each.point.search_us).point
            parts.append(f"{describe(best)} {best.search_us:.0f} us")
        else:
            parts.append(f"{engine} does not reach {policy.recall_target}")
    return ", ".join(parts)


def describe(point: CurvePoint) -> str:
    """Say in words how a point searches."""
    if point.engine == "hnsw":
        return f"hnsw {point.space} M {point.m} ef {point.ef}"
    if point.engine == "scann":
        axes = f"{point.principal} axes " if point.principal else ""
        return f"scann {axes}{point.leaves} leaves reorder {point.reorder}"
    return "exact"


def _nobody(label: str, measured: Sequence[Measured], policy: IndexPolicy) -> str:
    groups: dict[tuple[Any, ...], list[Measured]] = {}
    for each in measured:
        kind = (each.point.engine, each.point.space, each.point.m, each.point.principal)
        groups.setdefault(kind, []).append(each)
    best = [max(group, key=lambda each: each.point.recall) for group in groups.values()]
    reached = ", ".join(
        f"{describe(each.point)}: {each.point.recall:.3f} (golden {each.golden_recall:.3f})" for each in best
    )
    return (
        f"country {label}: expected recall@{policy.recall_k} of at least {policy.recall_target}, reached {reached}; "
        "raise m, ef_construction or the grids, raise exact_below over the catalogue's size, or lower the target"
    )
