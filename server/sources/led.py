"""LED: `u = mean(v_h)`, score `<u, v_i> + b_i` (Koch et al. 2020, sections 5.2 and 7.2). See docs/sources/led.md.

The mean is weighted where the bundle says so.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.led import LedShard
from models.encoder import OnnxEncoder
from models.led import Weights, is_mean, mean_users, weights_of
from server.answer import Degradation, SourceEvidence
from server.profiles import SourceName, SourceSetting
from server.sources.base import Eligibility, Found, User
from server.sources.mips import Space, search_eligible
from server.sources.ordered import Order, first_eligible
from server.sources.reporting import Stopwatch, found_by, plain_evidence

BIAS_ORDER = "bias_order"


class LedSource:
    """Averages the history's vectors and searches by inner product; without a history the item bias decides.

    A graph that is found to be the plain mean is not run for every request: numpy does it in a third of the time.
    """

    name: SourceName = "led"

    def __init__(self, encoder: OnnxEncoder) -> None:
        self._encoder = encoder
        self._is_mean = is_mean(encoder)
        self._weighs = encoder.spec.weights is not msgspec.UNSET

    @property
    def averages(self) -> bool:
        """Whether the encoder is the plain, unweighted mean."""
        return self._is_mean and not self._weighs

    @property
    def max_history(self) -> int:
        """How many interactions enter the mean, the newest."""
        return self._encoder.spec.max_history

    def serves(self, country: Country) -> bool:
        """Every country has LED."""
        return country.led is not None

    def retrieve(
        self,
        country: Country,
        users: Sequence[User],
        wanted: Sequence[int],
        eligible: Sequence[Eligibility],
        setting: SourceSetting,  # noqa: ARG002 - LED has no settings
    ) -> list[Found]:
        """See `Source.retrieve`: one encode and one search for all users with a history."""
        those = [user for user in users if len(user.rows)]
        if len(those) == len(users):
            return self._by_history(country, those, wanted, eligible)
        known = [number for number, user in enumerate(users) if len(user.rows)]
        asked = [wanted[number] for number in known]
        of_known = iter(self._by_history(country, those, asked, [eligible[number] for number in known]))
        return [
            next(of_known) if len(user.rows) else _by_bias(country, user, want, allowed)
            for user, want, allowed in zip(users, wanted, eligible, strict=True)
        ]

    def _by_history(
        self,
        country: Country,
        users: Sequence[User],
        wanted: Sequence[int],
        eligible: Sequence[Eligibility],
    ) -> list[Found]:
        if not users:
            return []
        watch = Stopwatch()
        vectors = self._encode(country.led, [user.rows for user in users], self._weights(users))
        watch.encoded()
        hits = search_eligible(Space.of(country.led, country.catalog.size), vectors, wanted, eligible)
        shares = watch.share(len(users))
        return [
            found_by(hit, want, shares, Degradation.NONE, vector)
            for hit, want, vector in zip(hits, wanted, vectors, strict=True)
        ]

    def _weights(self, users: Sequence[User]) -> Weights:
        if not self._weighs:
            return None  # types and times are read only where they matter
        return weights_of(self._encoder.spec, [user.types for user in users], [user.times_ms for user in users])

    def _encode(self, led: LedShard, histories: Sequence[NDArray[np.int64]], weights: Weights) -> NDArray[np.float32]:
        if self._is_mean:
            return mean_users(led.vectors, histories, self._encoder.spec.max_history, weights)
        return led.encode(self._encoder, histories, weights)

    def evidence(
        self,
        country: Country,
        user: User,
        found: Found,
        places: NDArray[np.int64],
        setting: SourceSetting,  # noqa: ARG002
    ) -> list[SourceEvidence]:
        """Name the interaction with the largest share `w_h <v_h, v_i> / T` of the score, of equal ones the newest."""
        plain = plain_evidence(self.name, found, places)
        recent = user.rows[::-1][: self._encoder.spec.max_history]
        if not len(recent):
            return plain
        items = country.led.vectors[:, :-1]
        shares = items[found.rows[places]] @ items[recent].T / np.float32(len(recent))
        weights = self._weights([user])
        if weights is not None:
            shares *= weights[0][::-1]
        best = np.argmax(shares, axis=1)
        columns = recent.take(best), user.types[::-1].take(best), np.maximum.reduce(shares, axis=1)
        return [
            SourceEvidence(self.name, each.rank, each.score, row, kind, contribution=share)
            for each, row, kind, share in zip(plain, *(column.tolist() for column in columns), strict=True)
        ]


def _by_bias(country: Country, user: User, wanted: int, eligible: Eligibility) -> Found:
    watch = Stopwatch()
    biases = country.led.biases
    rows, plan, looked = first_eligible(Order(country.led.bias_order, biases), wanted, eligible)
    return Found(rows, biases[rows], BIAS_ORDER, plan, looked, *watch.share(1), user.lack)
