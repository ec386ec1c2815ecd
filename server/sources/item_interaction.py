"""Item-interaction: nearest pairs to the last pairs of a history (Zhao et al., section 3.2).

See docs/sources/item_interaction.md.

A pair is an item with what was done to it. The last n pairs of each source type are looked up among the pairs of each
target type; the lists ("because you viewed X, you may cart Y") are the modules, and the source's own order is every
item by its largest cosine in any of them, without the items of the history.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.grouping import grouped
from index_store.item_interaction import ItemInteractionShard
from models.interactions import InteractionType
from server.answer import Degradation, Module, SourceEvidence
from server.profiles import SourceName, SourceSetting
from server.sources.base import NO_ROWS, NO_SCORES, Eligibility, Found, User
from server.sources.mips import Hits, Space, search_eligible
from server.sources.reporting import Stopwatch, found_by, plain_evidence

# Of lists that are merged, each is asked for so many times its even share at first; how far beyond that its part of the
# answer may reach, unasked; and how many times that part it is asked for then. Chosen on the bench's four sources: 98 %
# of the exact answer, at half the cost of asking every list for all of it.
_FIRST = 1.5
_TRUSTED = 1.5
_FURTHER = 1.25


@dataclass(frozen=True, slots=True)
class Start:
    """A pair that a module begins with, and what may be answered to its user.

    wanted: how many must be as good as the index finds them. most: how many to give if it has scored more.
    """

    row: int
    source: InteractionType
    wanted: int
    most: int
    eligible: Eligibility


@dataclass(frozen=True, slots=True)
class _List:
    """What a start leads to among the pairs of a target type; before: rows fetched for it in vain."""

    start: Start
    target: InteractionType
    hits: Hits
    before: int = 0


class ItemInteractionSource:
    """Searches from all pairs of all users at once, per target type."""

    name: SourceName = "item_interaction"

    def serves(self, country: Country) -> bool:
        """Whether the country has pairs of a source and of a target type."""
        shard = country.item_interaction
        return shard is not None and all(
            any(kind in shard.pairs for kind in kinds) for kinds in (shard.sources, shard.targets)
        )

    def retrieve(
        self,
        country: Country,
        users: Sequence[User],
        wanted: Sequence[int],
        eligible: Sequence[Eligibility],
        setting: SourceSetting,
    ) -> list[Found]:
        """See `Source.retrieve`: a search per target type for all, and one more for lists that may have been cut off.

        Nothing for a user without a pair of a source type.
        """
        shard, size = shard_of(country), country.catalog.size
        watch = Stopwatch()
        own = [_starts(shard, *each, setting) for each in zip(users, wanted, eligible, strict=True)]
        ends = np.cumsum([len(each) for each in own]).tolist()
        starts = [start for each in own for start in each]
        found = {target: nearest(shard, size, starts, target) for target in _targets(shard)}
        lists = [
            [
                _List(start, target, hits)
                for target, of_all in found.items()
                for start, hits in zip(begins, of_all[end - len(begins) : end], strict=True)
            ]
            for begins, end in zip(own, ends, strict=True)
        ]
        _ask_again(shard, size, lists, wanted)
        shares = watch.share(len(users))
        return [_found(*each, shares) for each in zip(users, wanted, lists, strict=True)]

    def evidence(
        self,
        country: Country,  # noqa: ARG002
        user: User,  # noqa: ARG002
        found: Found,
        places: NDArray[np.int64],
        setting: SourceSetting,  # noqa: ARG002
    ) -> list[SourceEvidence]:
        """Name the pair whose module gave the largest cosine."""
        best: dict[int, tuple[float, Module]] = {}
        for module in found.modules:
            for row, score in zip(module.rows.tolist(), module.scores.tolist(), strict=True):
                if row not in best or score > best[row][0]:
                    best[row] = score, module
        modules = [best[row][1] for row in found.rows[places].tolist()]
        return [
            msgspec.structs.replace(
                plain, history_row=module.trigger_row, history_type=module.source_type, target_type=module.target_type
            )
            for plain, module in zip(plain_evidence(self.name, found, places), modules, strict=True)
        ]


def shard_of(country: Country) -> ItemInteractionShard:
    """The country's pairs; ask `serves` first."""
    if country.item_interaction is None:
        message = f"country {country.code} has no item_interaction; ask `serves` first"
        raise ValueError(message)
    return country.item_interaction


def nearest(shard: ItemInteractionShard, items: int, starts: Sequence[Start], target: InteractionType) -> list[Hits]:
    """Find for each start, a pair that the shard has, the nearest eligible items of a target type, in one search."""
    pairs = shard.pairs[target]
    space = Space.of(pairs, items, pairs.rows)
    queries = np.empty((len(starts), pairs.vectors.shape[1]), dtype=np.float32)
    for kind, begins in shard.pairs.items():
        own = [number for number, start in enumerate(starts) if start.source == kind]
        queries[own] = begins.vectors[begins.places(np.array([starts[number].row for number in own], dtype=np.int64))]
    return search_eligible(
        space,
        queries,
        [start.wanted for start in starts],
        [start.eligible for start in starts],
        [start.most for start in starts],
    )


def _targets(shard: ItemInteractionShard) -> list[InteractionType]:
    return [target for target in shard.targets if target in shard.pairs]


def _starts(
    shard: ItemInteractionShard, user: User, wanted: int, eligible: Eligibility, setting: SourceSetting
) -> list[Start]:
    """The user's last n pairs of each source type, newest first; an untyped interaction is of the first source type.

    Where the lists are only merged, and their index gives what it has scored besides, each is asked for little more
    than its share: but for no fewer than cost the same.
    """
    if not len(user.rows):
        return []
    sent = user.types
    types = np.where(sent == InteractionType.UNSPECIFIED, int(shard.sources[0]), sent)
    others = eligible.without(np.unique(user.rows))
    recent = shard.recent(user.rows, types, setting.last_n or None)
    first, entries = wanted, [shard.pairs[target].entry for target in _targets(shard)]
    if not user.modules and all(entry.scann for entry in entries):
        lists = len(entries) * sum(len(rows) for rows in recent.values())
        alike = max(entry.recall_k for entry in entries)
        first = min(wanted, max(math.ceil(_FIRST * wanted / max(lists, 1)), alike))
    return [Start(row, kind, first, wanted, others) for kind, rows in recent.items() for row in rows.tolist()]


def _ask_again(shard: ItemInteractionShard, size: int, lists: Sequence[list[_List]], wanted: Sequence[int]) -> None:
    """Ask once more, and for more, those lists of each user whose part of the merged answer may be cut off."""
    short = [(own, place, more) for own, want in zip(lists, wanted, strict=True) for place, more in _cut_off(own, want)]
    for target in _targets(shard) if short else ():
        again = [(own, place, more) for own, place, more in short if own[place].target == target]
        starts = [replace(own[place].start, wanted=more) for own, place, more in again]
        for (own, place, _), start, hits in zip(again, starts, nearest(shard, size, starts, target), strict=True):
            own[place] = _List(start, target, hits, before=own[place].hits.fetched)


def _cut_off(own: Sequence[_List], wanted: int) -> list[tuple[int, int]]:
    """Find the lists that may have more to give to the best `wanted` of all, or gave much that is uncertain.

    Gives their places, and how many to ask for. A list may have more if its last score is among the best; one that
    gave less than it was asked for has no more, and one whose eligible items were all scored is right as it is.
    """
    if all(each.start.wanted == wanted for each in own):
        return []
    _, scores = _merged([_module(each) for each in own], wanted)
    least = scores[-1] if len(scores) == wanted else -np.inf
    found = []
    for place, each in enumerate(own):
        asked, known = each.start.wanted, each.hits.scores
        if each.hits.plan == "posting_lists" or len(known) < asked or asked == wanted:
            continue
        part = int(np.count_nonzero(known >= least))
        if part == len(known) < wanted:
            found.append((place, wanted))
        elif part > _TRUSTED * asked:
            found.append((place, min(wanted, math.ceil(_FURTHER * part))))
    return found


def _module(found: _List) -> Module:
    start = found.start
    return Module(start.row, start.source, found.target, found.hits.rows, found.hits.scores)


def _found(user: User, wanted: int, found: Sequence[_List], shares: tuple[int, int]) -> Found:
    """Merge one user's lists."""
    if not found:
        return Found.nothing(user.lack or Degradation.EXHAUSTED)
    modules = tuple(_module(each) for each in found)
    rows, scores = _merged(modules, wanted)
    first = found[0].hits
    hits = Hits(rows, scores, first.method, first.plan, sum(each.before + each.hits.fetched for each in found))
    return msgspec.structs.replace(found_by(hits, wanted, shares, Degradation.NONE), modules=modules)


def _merged(modules: Sequence[Module], wanted: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Every item of any module once, with its largest cosine: the best of them, equal ones by lower row."""
    rows = np.concatenate([module.rows for module in modules])
    scores = np.concatenate([module.scores for module in modules])
    order, starts = grouped(rows)
    if not len(order):
        return NO_ROWS, NO_SCORES
    largest = np.maximum.reduceat(scores[order], starts)
    best = np.argsort(-largest, kind="stable")[:wanted]
    return rows[order[starts[best]]], largest[best]
