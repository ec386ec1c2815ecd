"""How often two items occur in one timeline, as an Ibis expression. Fourth in the dataflow, feeds `pmi`.

The self-join is the one step whose size grows with the square of a timeline, so it is capped by `max_history` and
written as a query that a cluster can run.
"""

from collections.abc import Callable

from ibis import ir

from shortlist_training.config import CooccurrenceConfig
from shortlist_training.splits import positions, sessions


def pair_counts(interactions: ir.Table, config: CooccurrenceConfig, gap_s: int) -> ir.Table:
    """Count unordered pairs of different items: columns item_i < item_j and count >= min_count, ordered.

    `count` is the number of timelines (or sessions) in which the two items occur at most `window` positions apart,
    0 meaning anywhere in it. A timeline that repeats a pair counts once, so that one busy user cannot make a pair.
    """
    located = positions(interactions.select("user", "item", "time", "type", "country"))
    located = located.filter(located.last_position < config.max_history)
    unit = ["user"]
    if config.within == "session":
        located = sessions(located, gap_s)
        unit = ["user", "session"]
    if config.window == 0:
        left = located.select(*unit, "item").distinct()
        pairs = _joined(left, unit, lambda a, b: a["item"] < b["item"])
    else:
        left = located.select(*unit, "item", "position")
        window = config.window
        near = _joined(left, unit, lambda a, b: (a["item"] < b["item"]) & ((a.position - b.position).abs() <= window))
        pairs = near.distinct()
    counted = pairs.group_by("item_i", "item_j").agg(count=lambda t: t.count())
    return counted.filter(counted["count"] >= config.min_count).order_by("item_i", "item_j")


def _joined(left: ir.Table, unit: list[str], near: Callable[[ir.Table, ir.Table], ir.BooleanValue]) -> ir.Table:
    right = left.view()
    same = [left[name] == right[name] for name in unit]
    joined = left.join(right, [*same, near(left, right)])
    return joined.select(*(left[name] for name in unit), item_i=left["item"], item_j=right["item"])
