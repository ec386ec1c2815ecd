"""PDN: `softplus(d_ui) + sum of softplus(t_uj + s_ji)` over two-hop paths (Li et al. 2021). See docs/sources/pdn.md."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.pdn import PathEvidence, PdnShard
from models.encoder import OnnxEncoder
from models.pdn import Triggers, triggers_of
from server.answer import Degradation, Path, SourceEvidence
from server.profiles import SourceName, SourceSetting
from server.sources.base import Eligibility, Found, User
from server.sources.mips import Hits
from server.sources.reporting import Stopwatch, found_by, plain_evidence

PATHS = "paths"


class PdnSource:
    """Weighs all triggers of all users in one call, follows each user's best m, and adds up the paths."""

    name: SourceName = "pdn"

    def __init__(self, trignet: OnnxEncoder, user_tower: OnnxEncoder) -> None:
        self._trignet = trignet
        self._user_tower = user_tower

    def serves(self, country: Country) -> bool:
        """Whether the country has a path index."""
        return country.pdn is not None

    def retrieve(
        self,
        country: Country,
        users: Sequence[User],
        wanted: Sequence[int],
        eligible: Sequence[Eligibility],
        setting: SourceSetting,
    ) -> list[Found]:
        """See `Source.retrieve`: greedy path retrieval (section 5.1); nothing for a user without a trigger."""
        shard = _shard(country)
        known = [number for number, user in enumerate(users) if len(user.rows)]
        watch = Stopwatch()
        triggers, weights, vectors = self._encode(shard, [users[number] for number in known])
        watch.encoded()
        hits = [
            _search(shard, each.rows, weight, vector, wanted[number], eligible[number], setting)
            for number, each, weight, vector in zip(known, triggers, weights, vectors, strict=True)
        ]
        shares = watch.share(len(known))
        found = [Found.nothing(user.lack) for user in users]
        for number, hit, vector in zip(known, hits, vectors, strict=True):
            found[number] = found_by(hit, wanted[number], shares, Degradation.NONE, vector)
        return found

    def evidence(
        self, country: Country, user: User, found: Found, places: NDArray[np.int64], setting: SourceSetting
    ) -> list[SourceEvidence]:
        """List each candidate's paths and direct term; the weights are computed again, since only this needs them."""
        plain = plain_evidence(self.name, found, places)
        if not len(user.rows) or not len(places):
            return plain
        shard = _shard(country)
        (triggers,), (weights,), (vector,) = self._encode(shard, [user])
        paths = shard.paths(found.rows[places], triggers.rows, weights, vector, setting.triggers or None)
        types = dict(zip(triggers.rows.tolist(), triggers.types.tolist(), strict=True))
        ends = np.searchsorted(paths.places, np.arange(len(places) + 1))
        return [
            msgspec.structs.replace(each, direct=float(direct), paths=_paths(paths, slice(start, end), types))
            for each, direct, start, end in zip(plain, paths.direct, ends, ends[1:], strict=False)
        ]

    def _encode(
        self, shard: PdnShard, users: Sequence[User]
    ) -> tuple[list[Triggers], list[NDArray[np.float32]], NDArray[np.float32]]:
        """All users' triggers, their weights t_uj and the direct net's vectors (B, d + 1): one call of each encoder."""
        length = self._trignet.spec.max_history
        triggers = [triggers_of(user.rows, user.types, length) for user in users]
        contexts = [user.context for user in users]
        if not users:
            return [], [], np.zeros((0, shard.item_vectors.shape[1]), dtype=np.float32)
        weights = shard.trigger_weights(self._trignet, triggers, contexts)
        return triggers, weights, shard.user_vectors(self._user_tower, contexts)


def _search(
    shard: PdnShard,
    triggers: NDArray[np.int64],
    weights: NDArray[np.float32],
    vector: NDArray[np.float32],
    wanted: int,
    eligible: Eligibility,
    setting: SourceSetting,
) -> Hits:
    keep = None if eligible.all else eligible.keep
    found = shard.search(triggers, weights, vector, wanted, setting.triggers or None, keep)
    return Hits(found.rows, found.scores, PATHS, "none" if keep is None else "mask", found.paths)


def _paths(found: PathEvidence, span: slice, types: dict[int, int]) -> tuple[Path, ...]:
    """One candidate's paths, largest first."""
    rows = found.trigger_rows[span].tolist()
    values = (found.weights[span], found.similarities[span], found.contributions[span])
    columns = [column.tolist() for column in values]
    return tuple(
        Path(row, types[row], weight, similarity, contribution)
        for row, weight, similarity, contribution in zip(rows, *columns, strict=True)
    )


def _shard(country: Country) -> PdnShard:
    if country.pdn is None:
        message = f"country {country.code} has no pdn; ask `serves` first"
        raise ValueError(message)
    return country.pdn
