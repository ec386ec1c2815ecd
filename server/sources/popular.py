"""Popular: the country's items by number of training interactions. See docs/sources/popular.md."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from server.answer import Degradation, SourceEvidence
from server.profiles import SourceName, SourceSetting
from server.sources.base import Eligibility, Found, User
from server.sources.mips import Hits
from server.sources.ordered import Order, first_eligible
from server.sources.reporting import Stopwatch, found_by, plain_evidence

POPULARITY = "popularity"


class PopularSource:
    """The same for every user, but for filters: within a merchant or category it is that one's popularity."""

    name: SourceName = "popular"

    def serves(self, country: Country) -> bool:  # noqa: ARG002
        """Every country has popularity."""
        return True

    def retrieve(
        self,
        country: Country,
        users: Sequence[User],  # noqa: ARG002 - all users are the same
        wanted: Sequence[int],
        eligible: Sequence[Eligibility],
        setting: SourceSetting,  # noqa: ARG002 - popular has no settings
    ) -> list[Found]:
        """See `Source.retrieve`; the score is the number of interactions."""
        return [popular(country, want, allowed) for want, allowed in zip(wanted, eligible, strict=True)]

    def evidence(
        self,
        country: Country,  # noqa: ARG002
        user: User,  # noqa: ARG002
        found: Found,
        places: NDArray[np.int64],
        setting: SourceSetting,  # noqa: ARG002
    ) -> list[SourceEvidence]:
        """Rank and number of interactions."""
        return plain_evidence(self.name, found, places)


def popular(country: Country, wanted: int, eligible: Eligibility) -> Found:
    """Find the min(wanted, eligible) most popular eligible rows, equal ones by lower row."""
    watch = Stopwatch()
    catalog = country.catalog
    rows, plan, looked = first_eligible(Order(catalog.popular_order, catalog.popularity), wanted, eligible)
    hits = Hits(rows, catalog.popularity[rows].astype(np.float32), POPULARITY, plan, looked)
    return found_by(hits, wanted, watch.share(1), Degradation.NONE)
