"""Two-tower: `<u(x), v(y)>` query tower on the fly (Yang et al. 2020, section 3). See docs/sources/two_tower.md."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.two_tower import TwoTowerShard
from models.encoder import OnnxEncoder
from server.answer import Degradation, SourceEvidence
from server.profiles import SourceName, SourceSetting
from server.sources.base import Eligibility, Found, User
from server.sources.mips import Space, search_eligible
from server.sources.reporting import Stopwatch, found_by, plain_evidence


class TwoTowerSource:
    """Runs the query tower on features, context, seed item and history, and searches the item tower's vectors."""

    name: SourceName = "two_tower"

    def __init__(self, encoder: OnnxEncoder) -> None:
        self._encoder = encoder

    def serves(self, country: Country) -> bool:
        """Whether the country has item vectors."""
        return country.two_tower is not None

    def retrieve(
        self,
        country: Country,
        users: Sequence[User],
        wanted: Sequence[int],
        eligible: Sequence[Eligibility],
        setting: SourceSetting,  # noqa: ARG002 - two-tower has no settings
    ) -> list[Found]:
        """See `Source.retrieve`: one encode and one search for all users, those without a history, too."""
        shard = _shard(country)
        watch = Stopwatch()
        vectors = shard.encode(
            self._encoder,
            [user.rows for user in users],
            [user.seed for user in users],
            [user.context for user in users],
        )
        watch.encoded()
        space = Space.of(shard, country.catalog.size)
        hits = search_eligible(space, vectors, wanted, eligible)
        shares = watch.share(len(users))
        # a seed is something to go by, too
        lacks = [user.lack if user.seed < 0 else Degradation.NONE for user in users]
        return [
            found_by(hit, want, shares, lack, vector)
            for hit, want, lack, vector in zip(hits, wanted, lacks, vectors, strict=True)
        ]

    def evidence(
        self,
        country: Country,
        user: User,
        found: Found,
        places: NDArray[np.int64],
        setting: SourceSetting,  # noqa: ARG002
    ) -> list[SourceEvidence]:
        """Name the item of the history without which the score would fall most: one encode, each item left out once."""
        plain = plain_evidence(self.name, found, places)
        recent = user.rows[-self._encoder.spec.max_history :]
        items = np.unique(recent)
        if not len(items) or found.embedding is None:
            return plain
        shard = _shard(country)
        without = shard.encode(
            self._encoder,
            [recent[recent != item] for item in items],
            [user.seed] * len(items),
            [user.context] * len(items),
        )
        falls = shard.vectors[found.rows[places]] @ (found.embedding - without).T
        best = np.argmax(falls, axis=1)
        newest = dict(zip(user.rows.tolist(), user.types.tolist(), strict=True))
        columns = items.take(best).tolist(), np.maximum.reduce(falls, axis=1).tolist()
        return [
            SourceEvidence(self.name, each.rank, each.score, row, newest[row], contribution=fall)
            for each, row, fall in zip(plain, *columns, strict=True)
        ]


def _shard(country: Country) -> TwoTowerShard:
    if country.two_tower is None:
        message = f"country {country.code} has no two_tower; ask `serves` first"
        raise ValueError(message)
    return country.two_tower
