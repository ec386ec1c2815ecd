"""Similar: item to item, from SimNet's table (Li et al. 2021, section 5.2) or pairs. See docs/sources/similar.md."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.item_interaction import ItemInteractionShard
from models.interactions import InteractionType
from server.answer import Degradation, SourceEvidence
from server.profiles import SourceName, SourceSetting
from server.sources.base import NO_ROWS, NO_SCORES, Eligibility, Found, User
from server.sources.item_interaction import Start, nearest, shard_of
from server.sources.mips import Hits
from server.sources.reporting import Stopwatch, found_by, plain_evidence

Neighbourhood = Literal["pdn", "item_interaction"]
NEIGHBOURS = "neighbours"


class SimilarSource:
    """Neighbours of the seed item, or of the newest item of the history where there is no seed."""

    name: SourceName = "similar"

    def serves(self, country: Country) -> bool:
        """Whether the country has one of the two neighbourhoods."""
        return bool(neighbourhoods(country))

    def retrieve(
        self,
        country: Country,
        users: Sequence[User],
        wanted: Sequence[int],
        eligible: Sequence[Eligibility],
        setting: SourceSetting,  # noqa: ARG002 - similar has no settings
    ) -> list[Found]:
        """See `Source.retrieve`; nothing for a user with neither seed nor history."""
        source = neighbourhoods(country)[0]
        found = []
        for user, want, allowed in zip(users, wanted, eligible, strict=True):
            row = _item(user)
            if row < 0:
                found.append(Found.nothing(user.lack))
            else:
                found.append(similar_items(country, row, want, allowed.without(np.array([row])), source))
        return found

    def evidence(
        self,
        country: Country,  # noqa: ARG002
        user: User,
        found: Found,
        places: NDArray[np.int64],
        setting: SourceSetting,  # noqa: ARG002
    ) -> list[SourceEvidence]:
        """Name the item that the candidates are like, whose neighbour's score is the whole score."""
        row = _item(user)
        kind = 0 if user.seed >= 0 or not len(user.rows) else int(user.types[-1])
        return [
            SourceEvidence(self.name, each.rank, each.score, row, kind, contribution=each.score)
            for each in plain_evidence(self.name, found, places)
        ]


def neighbourhoods(country: Country) -> tuple[Neighbourhood, ...]:
    """Where a country's neighbours can come from, the first is the one to use unless told otherwise."""
    found: list[Neighbourhood] = []
    if country.pdn is not None:
        found.append("pdn")
    if country.item_interaction is not None and country.item_interaction.pairs:
        found.append("item_interaction")
    return tuple(found)


def similar_items(
    country: Country,
    row: int,
    wanted: int,
    eligible: Eligibility,
    source: Neighbourhood,
    types: tuple[int, int] = (0, 0),
) -> Found:
    """Find the most similar eligible items to one, which `eligible` should leave out.

    types: from which pair of the item to which pairs, item_interaction only; 0 is the bundle's first of those that the
    item, or the country, has.
    """
    watch = Stopwatch()
    if source == "pdn":
        hits = _by_table(country, row, wanted, eligible)
    else:
        hits = _by_pairs(country, row, wanted, eligible, types)
    return found_by(hits, wanted, watch.share(1), Degradation.NONE)


def _item(user: User) -> int:
    if user.seed >= 0:
        return user.seed
    return int(user.rows[-1]) if len(user.rows) else -1


def _by_table(country: Country, row: int, wanted: int, eligible: Eligibility) -> Hits:
    if country.pdn is None:
        return Hits(NO_ROWS, NO_SCORES, "", "", 0)
    rows = country.pdn.neighbours[row].astype(np.int64)
    kept = eligible.keep(rows)
    rows, scores = rows[kept], country.pdn.scores[row][kept].astype(np.float32)
    best = np.lexsort((rows, -scores))[:wanted]
    return Hits(rows[best], scores[best], NEIGHBOURS, "none" if eligible.all else "mask", len(kept))


def _by_pairs(country: Country, row: int, wanted: int, eligible: Eligibility, types: tuple[int, int]) -> Hits:
    shard = shard_of(country)
    begin, end = _source_type(shard, row, types[0]), _target_type(shard, types[1])
    if begin is None or end is None:
        return Hits(NO_ROWS, NO_SCORES, "", "", 0)
    (hits,) = nearest(shard, country.catalog.size, [Start(row, begin, wanted, wanted, eligible)], end)
    return hits


def _source_type(shard: ItemInteractionShard, row: int, asked: int) -> InteractionType | None:
    kinds = (InteractionType(asked),) if asked else shard.sources
    has = [kind for kind in kinds if kind in shard.pairs and shard.pairs[kind].places(np.array([row]))[0] >= 0]
    return has[0] if has else None


def _target_type(shard: ItemInteractionShard, asked: int) -> InteractionType | None:
    kinds = (InteractionType(asked),) if asked else shard.targets
    has = [kind for kind in kinds if kind in shard.pairs]
    return has[0] if has else None
