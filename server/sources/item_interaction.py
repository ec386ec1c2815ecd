"""Item-interaction: nearest pairs to the last pairs of a history (Zhao et al., section 3.2).

See docs/sources/item_interaction.md.

A pair is an item with what was done to it. The last n pairs of each source type are looked up among the pairs of each
target type; the lists ("because you viewed X, you may cart Y") are the modules, and the source's own order is every
item by its largest cosine in any of them, without the items of the history.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.grouping import grouped
from index_store.item_interaction import ItemInteractionShard, Pairs
from models.interactions import InteractionType
from server.answer import Degradation, Module, SourceEvidence
from server.profiles import SourceName, SourceSetting
from server.sources.base import NO_ROWS, NO_SCORES, Eligibility, Found, User
from server.sources.mips import Hits, Space, search_eligible
from server.sources.reporting import Stopwatch, found_by, plain_evidence


@dataclass(frozen=True, slots=True)
class Start:
    """A pair that a module begins with, and what may be answered to its user."""

    row: int
    source: InteractionType
    wanted: int
    eligible: Eligibility


@dataclass(frozen=True, slots=True)
class _List:
    """What a start leads to among the pairs of a target type."""

    start: Start
    target: InteractionType
    hits: Hits


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
        """See `Source.retrieve`: one search per target type; nothing for a user without a pair of a source type."""
        shard = shard_of(country)
        watch = Stopwatch()
        own = [_starts(shard, *each, setting) for each in zip(users, wanted, eligible, strict=True)]
        starts = [start for each in own for start in each]
        ends = np.cumsum([len(each) for each in own]).tolist()
        lists = {
            target: nearest(shard, country.catalog.size, starts, target)
            for target in shard.targets
            if target in shard.pairs
        }
        shares = watch.share(len(users))
        found = []
        for user, want, begins, end in zip(users, wanted, own, ends, strict=True):
            modules = [
                _List(start, target, hits)
                for target, of_all in lists.items()
                for start, hits in zip(begins, of_all[end - len(begins) : end], strict=True)
            ]
            found.append(_found(user, want, modules, shares))
        return found

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
    vectors = [_vector(shard.pairs[start.source], start.row) for start in starts]
    queries = np.array(vectors, dtype=np.float32).reshape(len(starts), pairs.vectors.shape[1])
    return search_eligible(space, queries, [start.wanted for start in starts], [start.eligible for start in starts])


def _vector(pairs: Pairs, row: int) -> NDArray[np.float32]:
    vector: NDArray[np.float32] = pairs.vectors[np.searchsorted(pairs.rows, row)]
    return vector


def _starts(
    shard: ItemInteractionShard, user: User, wanted: int, eligible: Eligibility, setting: SourceSetting
) -> list[Start]:
    """The user's last n pairs of each source type, newest first; an untyped interaction is of the first source type."""
    if not len(user.rows):
        return []
    sent = user.types
    types = np.where(sent == InteractionType.UNSPECIFIED, int(shard.sources[0]), sent)
    others = eligible.without(np.unique(user.rows))
    recent = shard.recent(user.rows, types, setting.last_n or None)
    return [Start(row, kind, wanted, others) for kind, rows in recent.items() for row in rows.tolist()]


def _found(user: User, wanted: int, found: Sequence[_List], shares: tuple[int, int]) -> Found:
    """Merge one user's lists."""
    if not found:
        return Found.nothing(user.lack or Degradation.EXHAUSTED)
    modules = tuple(
        Module(each.start.row, each.start.source, each.target, each.hits.rows, each.hits.scores) for each in found
    )
    rows, scores = _merged(modules, wanted)
    first = found[0].hits
    hits = Hits(rows, scores, first.method, first.plan, sum(each.hits.fetched for each in found))
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
