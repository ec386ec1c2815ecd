"""Why a valid request cannot be answered from what is served. All are raised before any work is begun."""

from collections.abc import Sequence


class RefusedError(Exception):
    """The caller's fault: the request asks for what the bundle or the settings do not have."""


class UnknownCountryError(RefusedError):
    """The bundle has no such country, and no other stands in. `known` are those it has, sorted."""

    def __init__(self, country: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown country {country!r}")
        self.known = tuple(known)


class UnknownProfileError(RefusedError):
    """The settings have no such profile. `known` are those they have, sorted."""

    def __init__(self, profile: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown profile {profile!r}")
        self.known = tuple(known)


class UnknownItemError(RefusedError):
    """The country's catalogue does not have the item that others should be like."""

    def __init__(self, item: int | str, country: str) -> None:
        super().__init__(f"item {item!r} is not in the catalogue of {country}")
        self.item = item


class SourceNotServedError(RefusedError):
    """The bundle lacks the source; `served` are those that would do."""

    def __init__(self, source: str, served: Sequence[str]) -> None:
        super().__init__(f"the bundle has no {source or 'source of similar items'}")
        self.source = source
        self.served = tuple(served)


class NoPricesError(RefusedError):
    """A price filter, but the country's catalogue has no prices."""

    def __init__(self, country: str) -> None:
        super().__init__(f"the catalogue of {country} has no prices")


class RefusedInBatchError(Exception):
    """One request of a batch is refused, and with it the batch: `reason` is why, `position` (from 0) says which."""

    def __init__(self, position: int, reason: Exception) -> None:
        super().__init__(f"request {position}: {reason}")
        self.position = position
        self.reason = reason
