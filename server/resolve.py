"""Before any work: a query's names become the country's catalogue, its rows, a profile's sources. Refuses the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from models.encoder import OnnxEncoder
from models.errors import FeatureKindError
from models.features import FeatureValue, UserContext
from server.diversity import pool_size
from server.eligibility import eligibility
from server.profiles import DEFAULT_PROFILE, Profile, SourceSetting
from server.query import Filters, ItemRefs, Query
from server.refusals import NoPricesError, UnknownCountryError, UnknownProfileError
from server.sources.base import NO_ROWS, Eligibility, User

FUSED_DEPTH = 100


class Task(msgspec.Struct, frozen=True):
    """A query with everything looked up.

    settings: the sources to ask, in the profile's order. moved: whether the fallback country answers. unknown_items:
    of history and seed. unused_features: those that no encoder takes.
    """

    query: Query
    country: Country
    profile: Profile
    settings: tuple[SourceSetting, ...]
    user: User
    eligible: Eligibility
    moved: bool
    unknown_items: int
    unused_features: int

    @property
    def group(self) -> tuple[str, str, tuple[str, ...]]:
        """What tasks that are answered in one pass have in common."""
        return self.country.code, self.profile.name, tuple(setting.name for setting in self.settings)

    def wanted(self, setting: SourceSetting) -> int:
        """How many candidates to ask a source for.

        By quota fusion a source is asked for no fewer than k: its quota bounds its turns, and what is left over fills
        up. Where several sources are fused, one without a quota is asked for `FUSED_DEPTH` at least: the first few of
        each would hardly ever agree.
        """
        pool = pool_size(self.query.k, self.profile.diversity)
        if self.profile.fusion == "quota":
            return max(setting.quota, pool)
        fused = self.profile.fusion != "single" and len(self.settings) > 1
        return setting.quota or max(pool, FUSED_DEPTH if fused else 0)


class Resolver:
    """Looks up queries in one bundle's countries and one set of profiles.

    aged: whether an encoder wants the age of the newest interaction.
    """

    def __init__(
        self,
        countries: Mapping[str, Country],
        encoders: Mapping[str, OnnxEncoder],
        profiles: Mapping[str, Profile],
        fallback_country: str | None,
    ) -> None:
        self._countries = countries
        self._profiles = profiles
        self._fallback_country = fallback_country
        self._kinds = _feature_kinds(encoders)
        self.aged = any(each.origin == "idle_days" for encoder in encoders.values() for each in encoder.spec.features)

    def rows(self, queries: Sequence[Query]) -> Sequence[NDArray[np.int64] | None]:
        """Find the rows of many histories with one lookup per country; None where keys or the country want more."""
        found: list[NDArray[np.int64] | None] = [None] * len(queries)
        by_country: dict[str, list[int]] = {}
        for position, query in enumerate(queries):
            if not query.history.items.keys and query.country in self._countries:
                by_country.setdefault(query.country, []).append(position)
        for code, positions in by_country.items():
            item_ids = [queries[position].history.items.item_ids for position in positions]
            rows = self._countries[code].catalog.rows_of_ids(np.concatenate(item_ids))
            start = 0
            for position, own in zip(positions, item_ids, strict=True):
                found[position] = rows[start : start + len(own)]
                start += len(own)
        return found

    def task(self, query: Query, rows: NDArray[np.int64] | None = None) -> Task:
        """Look a query up; rows: of its history, if known. Raises a `RefusedError` or `FeatureKindError`."""
        country, moved = self.country(query.country)
        profile = self._profiles.get(query.profile or DEFAULT_PROFILE)
        if profile is None:
            raise UnknownProfileError(query.profile, sorted(self._profiles))
        check_filters(country, query.filters)
        unused = self.unused(query.features)
        if rows is None:
            rows = resolve_rows(country, query.history.items)
        seed = int(resolve_rows(country, query.seed)[0]) if query.seed.length else -1
        user = _user(country, query, rows, seed, aged=self.aged)
        left_out = NO_ROWS
        if query.exclude_history or profile.exclude_history:
            left_out = distinct(user.rows)
        return Task(
            query=query,
            country=country,
            profile=profile,
            settings=_settings(profile, query.quotas),
            user=user,
            eligible=eligibility(country.catalog, query.filters, left_out),
            moved=moved,
            unknown_items=len(rows) - len(user.rows) + (query.seed.length if seed < 0 else 0),
            unused_features=unused,
        )

    def known(self, query: Query) -> tuple[Country, Profile] | None:
        """Find a query's country, which is not stood in for, and its profile; None unless both are served."""
        country = self._countries.get(query.country)
        profile = self._profiles.get(query.profile or DEFAULT_PROFILE)
        return (country, profile) if country and profile else None

    def country(self, code: str) -> tuple[Country, bool]:
        """Find the country that answers, and whether it stands in for the one asked for."""
        if found := self._countries.get(code):
            return found, False
        if self._fallback_country and (found := self._countries.get(self._fallback_country)):
            return found, True
        raise UnknownCountryError(code, sorted(self._countries))

    def unused(self, features: Mapping[str, FeatureValue]) -> int:
        """Count the features that no encoder takes; refuse one of the wrong kind."""
        unused = 0
        for name, value in features.items():
            kinds = self._kinds.get(name)
            if kinds is None:
                unused += 1
            elif kinds != {isinstance(value, str)}:
                raise FeatureKindError(name, "a number" if isinstance(value, str) else "a category")
        return unused


def _feature_kinds(encoders: Mapping[str, OnnxEncoder]) -> Mapping[str, set[bool]]:
    """By the caller's names, whether encoders want a category."""
    kinds: dict[str, set[bool]] = {}
    for encoder in encoders.values():
        for feature in encoder.spec.features:
            if feature.origin == "feature":
                kinds.setdefault(feature.key, set()).add(feature.kind == "category")
    return kinds


def check_filters(country: Country, filters: Filters) -> None:
    """Refuse a price range where there are no prices."""
    if filters.price is not None and country.catalog.prices is None:
        raise NoPricesError(country.code)


def resolve_rows(country: Country, items: ItemRefs) -> NDArray[np.int64]:
    """Find the (length,) int64 rows of items in their order; -1 = not in the catalogue."""
    if not items.keys:
        return country.catalog.rows_of_ids(items.item_ids)
    rows = np.full(items.length, -1, dtype=np.int64)
    rows[items.id_positions] = country.catalog.rows_of_ids(items.item_ids)
    rows[items.key_positions] = country.catalog.rows_of_keys(items.keys)
    return rows


def distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort rows and drop repetitions; np.unique does the same at several times the cost."""
    if not len(rows):
        return rows
    ordered = np.sort(rows)
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _user(country: Country, query: Query, rows: NDArray[np.int64], seed: int, *, aged: bool) -> User:
    """aged: whether the age of the newest interaction is wanted."""
    history, known = query.history, None
    # a ufunc's own reduction costs half of the method's
    if len(rows) and np.minimum.reduce(rows) < 0:
        known = rows >= 0
        rows = rows[known]
    context = UserContext(country.code, query.time_ms, 0, len(rows), query.features)
    user = User(rows, history, known, seed, context, query.include_modules)
    if aged and len(rows):
        context = msgspec.structs.replace(context, newest_ms=int(np.maximum.reduce(user.times_ms)))
        user = msgspec.structs.replace(user, context=context)
    return user


def _settings(profile: Profile, quotas: Mapping[str, int]) -> tuple[SourceSetting, ...]:
    """Replace quotas; 0 leaves a source out, and a source that the profile has not is added with weight 1."""
    if not quotas:
        return profile.sources
    named = {setting.name: setting for setting in profile.sources}
    added = [SourceSetting(name) for name in quotas if name not in named]  # type: ignore[arg-type] # checked by the edge
    settings = [
        replace(setting, quota=quotas.get(setting.name, setting.quota)) for setting in [*profile.sources, *added]
    ]
    return tuple(setting for setting in settings if quotas.get(setting.name) != 0)
