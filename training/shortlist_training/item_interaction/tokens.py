"""From an interaction log to sessions of tokens, as Ibis expressions (sections 3.1 and 4.1 of the paper).

First in the dataflow. A token is an (item, type) pair and a session is its sentence. The no-interaction baseline reads
the same sessions with `without_types`, where a token is an item.
"""

from dataclasses import dataclass

import ibis
import numpy as np
import pyarrow as pa
from ibis import ir
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.splits import positions, sessions

ORDER = (InteractionType.VIEW, InteractionType.FAVORITE, InteractionType.CART, InteractionType.PURCHASE)
"""The interactions, weakest first: purchase > add-to-cart > favorite > view (section 4.1.1)."""

MIN_EVENTS = 4
"""Sessions have more than three item-interaction pairs, "to eliminate bounces" (section 4.1)."""


@dataclass(frozen=True)
class Vocabulary:
    """The V distinct tokens, ordered by item, then type; a token is its place.

    items: (V,) the log's item keys. types: (V,) int8, values of `InteractionType`. counts: (V,) int64, occurrences.
    """

    items: NDArray[np.generic]
    types: NDArray[np.int8]
    counts: NDArray[np.int64]

    def of_type(self, *types: InteractionType) -> NDArray[np.int64]:
        """List the tokens of some types, ascending."""
        return np.flatnonzero(np.isin(self.types, np.array(types, dtype=np.int8))).astype(np.int64)


@dataclass(frozen=True)
class Sequences:
    """Sessions one after another: session s is tokens[offsets[s]:offsets[s + 1]], oldest first; both int64.

    moments: (n,) int64, microseconds since 1970 of each position, or None where they are not known.
    """

    tokens: NDArray[np.int64]
    offsets: NDArray[np.int64]
    moments: NDArray[np.int64] | None = None

    def session_of(self) -> NDArray[np.int64]:
        """Give each position's session: (n,) int64."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets)).astype(np.int64)


def session_events(interactions: ir.Table, gap_s: int, min_events: int = MIN_EVENTS) -> ir.Table:
    """Cut the log into sessions and leave out short ones: columns user, session, position, item, type, time.

    `interactions` has the canonical columns user, item, time, type, country. Types that `ORDER` does not rank
    are no part of the method and are left out before sessions are counted. The paper implies no interaction: a purchase
    without a logged view adds no view.
    """
    ranked = interactions.filter(interactions["type"].isin([int(kind) for kind in ORDER]))
    cut = sessions(positions(ranked.select("user", "item", "time", "type", "country")), gap_s)
    whole = ibis.window(group_by=["user", "session"])
    counted = cut.mutate(events=lambda t: t.count().over(whole))
    return counted.filter(counted.events >= min_events).select("user", "session", "position", "item", "type", "time")


def without_types(events: ir.Table) -> ir.Table:
    """Forget the types, for one token per item. Repeats of an item directly after itself become one event."""
    order = ibis.window(group_by=["user", "session"], order_by="position")
    marked = events.mutate(before=events["item"].lag().over(order))
    once = marked.filter(marked.before.isnull() | (marked.before != marked["item"])).drop("before")
    return once.mutate(type=ibis.literal(int(InteractionType.VIEW)).cast("int8"))


def token_counts(events: ir.Table, min_count: int) -> ir.Table:
    """Count the tokens and number those with at least `min_count`: columns item, type, count, token."""
    counted = events.group_by("item", "type").agg(count=lambda t: t.count())
    frequent = counted.filter(counted["count"] >= min_count)
    return frequent.mutate(token=ibis.row_number().over(ibis.window(order_by=["item", "type"]))).order_by("token")


def tokenise(events: ir.Table, min_count: int = 1) -> tuple[Sequences, Vocabulary]:
    """Number the tokens of sessions and lay the sessions out as arrays, ordered by user and time.

    Rare tokens are cut out of their sessions, as word2vec does; a session keeps what is left of it.
    """
    vocabulary = token_counts(events, min_count)
    numbered = events.join(vocabulary, ["item", "type"]).order_by("user", "position")
    table = numbered.select("user", "session", "token", "time").to_pyarrow()
    return _sequences(table), _vocabulary(vocabulary.to_pyarrow())


def _sequences(table: pa.Table) -> Sequences:
    user, session = (np.asarray(table[name].to_numpy()) for name in ("user", "session"))
    begins = np.r_[True, (user[1:] != user[:-1]) | (session[1:] != session[:-1])] if len(user) else np.zeros(0, bool)
    offsets = np.r_[np.flatnonzero(begins), len(user)].astype(np.int64)
    moments = table["time"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    return Sequences(table["token"].to_numpy().astype(np.int64), offsets, moments)


def shuffle_moments(sequences: Sequences, rng: np.random.Generator) -> Sequences:
    """Put what happened at one moment of a session into random order, since the log has no order for it."""
    if sequences.moments is None:
        return sequences
    order = np.lexsort((rng.random(len(sequences.tokens)), sequences.moments, sequences.session_of()))
    return Sequences(sequences.tokens[order], sequences.offsets, sequences.moments[order])


def _vocabulary(table: pa.Table) -> Vocabulary:
    return Vocabulary(
        items=np.asarray(table["item"].to_numpy()),
        types=table["type"].to_numpy().astype(np.int8),
        counts=table["count"].to_numpy().astype(np.int64),
    )
