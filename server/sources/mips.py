"""Filtered maximum inner product search: the planner that decides how a source with an index meets a request's filters.

- "none": nothing is left out, the index is asked for k.
- "posting_lists": few rows are eligible: all of them are scored, exactly.
- "mask": more rows are fetched than wanted, and those that are not eligible are dropped.
- "growing": that gave too few, or as many only from deeper than the index was asked to be right, so more were fetched,
  until it is cheaper to score all that are eligible.

The answer has min(wanted, eligible) rows whatever the plan, and is exact where the index is.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.grouping import best_places
from index_store.index import Index
from index_store.index_entry import ScannEntry, VectorEntry
from server.sources.base import NO_ROWS, NO_SCORES, Counts, Eligibility

# What things cost in ns, as `make bench-sources` measures them over 1M x 101 floats; only their ratios matter, to one
# another and to `ScannEntry.work_ns`.
_GRAPH_NS = 2_400  # one more row of an HNSW search: as many nodes are visited as rows are kept
_SCAN_NS = 100  # one row that lies anywhere: find it, gather its vector, score it
_FLAT_NS = 15  # one row of an exact index, in sequence
_ROWS_AT_ONCE = 32_768  # whose vectors are gathered and scored: a batch never takes more memory than that
_GROWTH = 4
_AS_MEASURED = 1.1


class Searched(Protocol):
    """What LED's, two-tower's and pairs' parts of a country have in common."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(n, D)."""

    @property
    def index(self) -> Index:
        """Over the vectors."""

    @property
    def entry(self) -> VectorEntry:
        """How they are searched."""


class Space(msgspec.Struct, frozen=True):
    """What is searched.

    vectors: (n, D) float32. rows: (n,) catalogue rows of the vectors, ascending, or None where place and row are the
    same. items: N. graph_ef: the search breadth of a graph, 0 for other engines: up to it more rows cost nothing.
    recall_k: how many rows publishing measured that breadth for. scann: a ScaNN index's efforts, None for other
    engines: up to recall_k more rows cost nothing.
    """

    vectors: NDArray[np.float32]
    index: Index
    items: int
    rows: NDArray[np.int32] | None = None
    graph_ef: int = 0
    recall_k: int = 1
    scann: ScannEntry | None = None

    @classmethod
    def of(cls, part: Searched, items: int, rows: NDArray[np.int32] | None = None) -> "Space":
        """Make the space of a loaded part of a country."""
        entry = part.entry
        return cls(part.vectors, part.index, items, rows, entry.ef or 0, entry.recall_k, entry.scann)

    @property
    def size(self) -> int:
        """How many vectors, n."""
        return len(self.vectors)

    def breadth(self, rows: int) -> int:
        """How many rows to fetch so that the best `rows` are among them with the recall that publishing measured.

        A graph that needs ef for the best recall_k needs as many times more for more rows: asked for 1,000 with a
        breadth of 1,000 it would find a smaller share of them than of 100 with 200. A tenth more makes no difference.
        A ScaNN index itself looks at more.
        """
        if rows > _AS_MEASURED * self.recall_k and self.graph_ef > self.recall_k:
            rows = math.ceil(rows * self.graph_ef / self.recall_k)
        return min(rows, self.size)

    def rows_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Catalogue rows of places; -1 stays -1."""
        if self.rows is None:
            return places
        return np.where(places < 0, np.int64(-1), self.rows[places])

    def places_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of ascending catalogue rows; rows without a vector are left out."""
        if self.rows is None or not self.size:
            return rows[: self.size]
        near = np.searchsorted(self.rows, rows.astype(self.rows.dtype))  # of one dtype, or numpy converts all n
        near[near == self.size] = 0
        return np.asarray(near[self.rows[near] == rows], dtype=np.int64)


class Hits(msgspec.Struct, frozen=True):
    """What was found for one query: catalogue rows (n,) int64, best first, and inner products (n,) float32."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    method: str
    plan: str
    fetched: int


class _Pending(msgspec.Struct, frozen=True):
    """A query that is not answered: how many rows to fetch next, 0 = score what is eligible instead.

    wanted: how many must be as good as the index finds them. most: how many to give if more were scored.
    """

    number: int
    wanted: int
    most: int
    eligible: Eligibility
    fetch: int
    plan: str
    spent: int = 0


def search_eligible(
    space: Space,
    queries: NDArray[np.float32],
    wanted: Sequence[int],
    eligible: Sequence[Eligibility],
    most: Sequence[int] | None = None,
) -> list[Hits]:
    """Find for each of B queries (B, D) the best min(wanted, eligible) rows; queries that fetch alike go together.

    most: per query, at least wanted: up to so many where the index has scored more on the way (`Index.search`).
    """
    most = wanted if most is None else most
    if len(wanted) == 1 and eligible[0].all and most[0] == wanted[0]:
        return [_best(space, queries, wanted[0])]
    pending = [_planned(space, number, *each) for number, each in enumerate(zip(wanted, most, eligible, strict=True))]
    hits: dict[int, Hits] = {}
    while pending:
        short: list[_Pending] = []
        for group in _together(space, [each for each in pending if each.fetch]):
            for each, (found, depth) in zip(group, _fetch(space, queries, group), strict=True):
                if each.fetch == space.size or (depth and each.fetch >= space.breadth(depth)):
                    hits[each.number] = found
                else:
                    short.append(_grown(space, each, depth or each.fetch))
        for each in pending:
            if not each.fetch:
                hits[each.number] = _scan(space, queries[each.number], each)
        pending = short
    return [hits[number] for number in range(len(wanted))]


def _best(space: Space, query: NDArray[np.float32], wanted: int) -> Hits:
    """Answer one query (1, D) that leaves nothing out, which is what most are, without any planning."""
    fetch = space.breadth(wanted)
    found = space.index.search(query, fetch)
    return Hits(space.rows_at(found.rows[0][:wanted]), found.scores[0][:wanted], found.method, "none", fetch)


def overfetch(eligible: Counts, wanted: int, items: int) -> int:
    """How many of the best rows to take so that `wanted` of them are eligible but for one time in a thousand.

    The share that is eligible leaves wanted / share with a binomial spread; what is likely near the user comes on top.
    If at most E rows are left out, E more than wanted are always enough.
    """
    share = eligible.estimate / items
    if share <= 0:
        return items
    spread = 3.0 * math.sqrt(wanted * (1.0 - share))
    return min(math.ceil((wanted + eligible.nearby + spread) / share), wanted + eligible.most_left_out, items)


class _LeftOut(msgspec.Struct, frozen=True):
    """So many of `items` rows are left out, all of the user's history, whichever they are: what planning asks for."""

    items: int
    left_out: int

    @property
    def estimate(self) -> int:
        """See `Counts.estimate`."""
        return self.items - self.left_out

    @property
    def most_left_out(self) -> int:
        """See `Counts.most_left_out`."""
        return self.left_out

    @property
    def nearby(self) -> int:
        """See `Counts.nearby`."""
        return self.left_out


def planned_fetch(space: Space, wanted: int, left_out: int) -> int:
    """How many rows are fetched first for a query that leaves out a history of so many; 0 where all are scored."""
    allowed = _LeftOut(space.items, left_out)
    fetch = space.breadth(overfetch(allowed, wanted, space.items))
    return 0 if _scan_is_cheaper(space, allowed, fetch) else fetch


def _planned(space: Space, number: int, wanted: int, most: int, eligible: Eligibility) -> _Pending:
    if eligible.all:
        return _Pending(number, wanted, most, eligible, space.breadth(wanted), "none")
    fetch = space.breadth(overfetch(eligible, wanted, space.items))
    fetch = 0 if _scan_is_cheaper(space, eligible, fetch) else fetch
    return _Pending(number, wanted, most, eligible, fetch, "mask" if fetch else "posting_lists")


def _grown(space: Space, short: _Pending, depth: int) -> _Pending:
    """Ask for more: for `depth` rows as surely as publishing measured, or if that is no more, for a multiple."""
    wider = space.breadth(depth) if depth < short.fetch else _GROWTH * short.fetch
    fetch = min(wider, space.breadth(short.wanted + short.eligible.most_left_out))
    fetch = 0 if _scan_is_cheaper(space, short.eligible, fetch) else fetch
    return msgspec.structs.replace(short, fetch=fetch, plan="growing", spent=short.spent + short.fetch)


def _scan_is_cheaper(space: Space, eligible: Counts, fetch: int) -> bool:
    rows = eligible.estimate * space.size / space.items
    if space.graph_ef:
        return rows * _SCAN_NS <= max(fetch, space.graph_ef) * _GRAPH_NS
    if space.scann is not None:
        effort = space.scann.effort(fetch, space.recall_k)
        return rows * _SCAN_NS <= space.scann.work_ns(space.size, space.vectors.shape[1], *effort)
    return rows * _SCAN_NS <= space.size * _FLAT_NS + fetch * _SCAN_NS


def _together(space: Space, pending: Sequence[_Pending]) -> list[list[_Pending]]:
    """Group what one search answers as if each were alone: an engine's effort is for so many rows, or for any fewer.

    A group's vectors are gathered together, so that it has at most `_ROWS_AT_ONCE` rows.
    """
    floor = space.graph_ef or (space.recall_k if space.scann else 0)
    groups: dict[int, list[_Pending]] = {}
    for each in pending:
        groups.setdefault(max(each.fetch, floor) if floor else 0, []).append(each)
    parts = []
    for group in groups.values():
        size = max(_ROWS_AT_ONCE // max(each.fetch for each in group), 1)
        parts += [group[start : start + size] for start in range(0, len(group), size)]
    return parts


def _fetch(space: Space, queries: NDArray[np.float32], group: Sequence[_Pending]) -> list[tuple[Hits, int]]:
    """Ask the index once for the most that the group wants; of the first rows each asked for, keep the eligible.

    With each query's hits comes how deep the last that it wanted lies, 0 where they are too few.
    """
    numbers = [each.number for each in group]
    asked = queries if len(numbers) == len(queries) else queries[numbers]
    fetch, spare = max(each.fetch for each in group), any(each.most > each.wanted for each in group)
    found = space.index.search(asked, fetch, spare=spare)
    rows = space.rows_at(found.rows)
    kept = None if all(each.eligible.all for each in group) and not spare else _kept(rows, group)
    hits = []
    for number, each in enumerate(group):
        own, scores, depth = rows[number][: each.wanted], found.scores[number][: each.wanted], each.wanted
        if kept is not None:
            within = kept[number].nonzero()[0]
            sure = within[: min(int(np.searchsorted(within, each.fetch)), each.wanted)]
            depth = int(sure[-1]) + 1 if len(sure) == each.wanted > 0 else int(not each.wanted)
            within = within[: each.most] if each.most > each.wanted else sure
            own, scores = rows[number][within], found.scores[number][within]
        hits.append((Hits(own, scores, found.method, each.plan, each.spent + each.fetch), depth))
    return hits


def _kept(rows: NDArray[np.int64], group: Sequence[_Pending]) -> NDArray[np.bool_]:
    """Mark what may be answered of (B, k) rows; queries of one user, side by side, are marked together."""
    parts, start = [], 0
    for end in range(1, len(group) + 1):
        if end == len(group) or group[end].eligible is not group[start].eligible:
            parts.append(group[start].eligible.keep(rows[start:end].ravel()).reshape(end - start, -1))
            start = end
    return np.concatenate(parts)


def _scan(space: Space, query: NDArray[np.float32], each: _Pending) -> Hits:
    """Score every eligible row, some at a time, and keep the best."""
    places = space.places_of(each.eligible.rows())
    kept, kept_scores = NO_ROWS, NO_SCORES
    for start in range(0, len(places), _ROWS_AT_ONCE):
        chunk = places[start : start + _ROWS_AT_ONCE]
        scores = np.concatenate([kept_scores, space.vectors[chunk] @ query])
        chunk = np.concatenate([kept, chunk])
        best = best_places(scores, each.most)
        kept, kept_scores = chunk[best], scores[best]
    return Hits(space.rows_at(kept), kept_scores, "exact", each.plan, each.spent + len(places))
