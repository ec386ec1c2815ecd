"""What a source is: B users of one country in, rows and scores of that country's catalogue out."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from models.features import UserContext
from server.answer import Degradation, Module, SourceEvidence
from server.profiles import SourceName, SourceSetting
from server.query import History


class User(msgspec.Struct, frozen=True):
    """A query's user, resolved in one country.

    rows: (T,) int64, the known items, oldest first; of `history`, as it was sent, where `known` (length,) bool holds,
    None = everywhere. seed: a row or -1. modules: whether lists that are merged are asked for, whole.
    """

    rows: NDArray[np.int64]
    history: History
    known: NDArray[np.bool_] | None
    seed: int
    context: UserContext
    modules: bool = False

    @property
    def types(self) -> NDArray[np.int64]:
        """(T,) int64, of the known interactions."""
        return self._known(self.history.types)

    @property
    def times_ms(self) -> NDArray[np.int64]:
        """(T,) int64, of the known interactions."""
        return self._known(self.history.times_ms)

    def _known(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values if self.known is None else values[self.known]

    @property
    def lack(self) -> Degradation:
        """What is wrong with the history: nothing, or why there is not a single item to go by."""
        if len(self.rows):
            return Degradation.NONE
        return Degradation.UNKNOWN_HISTORY if self.history.length else Degradation.EMPTY_HISTORY


class Found(msgspec.Struct, frozen=True):
    """What a source found for one user: rows (n,) int64, each once, best first; scores (n,) float32, never increasing.

    embedding: the user's vector, None where the source has none. modules: the lists that were merged, item_interaction
    only. Other fields as in `server.answer.SourceReport`.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    method: str
    plan: str
    fetched: int
    encode_us: int
    search_us: int
    degradation: Degradation
    embedding: NDArray[np.float32] | None = None
    modules: tuple[Module, ...] = ()

    @classmethod
    def nothing(cls, degradation: Degradation) -> "Found":
        """What a source gives that did not run."""
        return cls(NO_ROWS, NO_SCORES, "", "", 0, 0, 0, degradation)


NO_ROWS: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
NO_SCORES: NDArray[np.float32] = np.zeros(0, dtype=np.float32)


class Counts(Protocol):
    """How many rows of a country may be answered: all that planning a search asks."""

    @property
    def estimate(self) -> int:
        """How many rows are eligible, about: cheap, never below 0."""

    @property
    def most_left_out(self) -> int:
        """A bound on how many rows are left out; cheap, N where none is known."""

    @property
    def nearby(self) -> int:
        """How many of the rows left out are likely among the user's best: those of the history."""


class Eligibility(Counts, Protocol):
    """Which rows of a country may be answered to one user (`server.eligibility`)."""

    @property
    def all(self) -> bool:
        """Whether no row is left out."""

    @property
    def count(self) -> int:
        """How many rows are eligible, exactly."""

    def keep(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mark the eligible ones of (n,) rows; rows below 0 are not."""

    def rows(self) -> NDArray[np.int64]:
        """List the eligible rows, ascending."""

    def without(self, rows: NDArray[np.int64]) -> "Eligibility":
        """Leave (n,) rows out, too."""


class Source(Protocol):
    """One way to get candidates. Holds encoders and settings, nothing of a request."""

    name: SourceName

    def serves(self, country: Country) -> bool:
        """Whether the bundle has what this source needs."""

    def retrieve(
        self,
        country: Country,
        users: Sequence[User],
        wanted: Sequence[int],
        eligible: Sequence[Eligibility],
        setting: SourceSetting,
    ) -> list[Found]:
        """Find for each of B users the best min(wanted, what it can reach) eligible rows, in one pass where it can.

        Raises `models.errors.EncoderError`; the caller answers without the source then.
        """

    def evidence(
        self, country: Country, user: User, found: Found, places: NDArray[np.int64], setting: SourceSetting
    ) -> list[SourceEvidence]:
        """Explain the candidates at `places` of `found`; only called when explain is on."""
