"""The heart of the service: a query becomes rows and scores. Pure: no grpc, no protobuf, no metrics, no logging.

    Query → Task (rows, profile, eligible items) → each source → fuse → diversify → fill up from popular → Answer

Every step of the ladder when something is missing is labelled in the answer: a source that the bundle lacks, an encoder
that fails, no history, an unknown history, too few candidates, another country.
"""

import time
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.bundle import Bundle
from index_store.country import Country
from models.encoder import OnnxEncoder
from models.errors import EncoderError, FeatureKindError
from server.answer import Answer, Degradation, Fallback, Module, SimilarAnswer, SourceReport
from server.chosen import choose, filled_up
from server.diversity import diversifies
from server.eligibility import eligibility
from server.explain import explain
from server.fusion import Ranked, fuse
from server.profiles import DEFAULT_PROFILE, Profile, SourceSetting
from server.query import Query, SimilarQuery
from server.refusals import (
    NoPricesError,
    RefusedError,
    RefusedInBatchError,
    SourceNotServedError,
    UnknownCountryError,
    UnknownItemError,
    UnknownProfileError,
)
from server.resolve import Resolver, Task, check_filters, resolve_rows
from server.sources.base import NO_ROWS, Found, Source
from server.sources.registry import open_sources
from server.sources.similar import neighbourhoods, similar_items

__all__ = [
    "NoPricesError",
    "RefusedError",
    "RefusedInBatchError",
    "Retriever",
    "SourceNotServedError",
    "UnknownCountryError",
    "UnknownItemError",
    "UnknownProfileError",
    "built_in_profile",
]

_FALLBACK_OF = {
    Degradation.EMPTY_HISTORY: Fallback.EMPTY_HISTORY,
    Degradation.UNKNOWN_HISTORY: Fallback.UNKNOWN_HISTORY,
    Degradation.ENCODER_FAILED: Fallback.SOURCE_FAILED,
    Degradation.NOT_IN_BUNDLE: Fallback.SOURCE_MISSING,
}


def built_in_profile(sources: Sequence[str]) -> Profile:
    """Make the default profile of a bundle for settings that have none: every trained source, by reciprocal rank."""
    if tuple(sources) == ("led",):
        return Profile(DEFAULT_PROFILE, (SourceSetting("led"),), "single")
    return Profile(DEFAULT_PROFILE, tuple(SourceSetting(name) for name in sources))  # type: ignore[arg-type]


class Alone(msgspec.Struct, frozen=True):
    """One source that answers a query without a history, whatever history comes to it.

    unused: features that no encoder takes. aged: whether the age of the newest interaction is wanted.
    """

    country: Country
    profile: Profile
    source: Source
    unused: int
    aged: bool


class Retriever:
    """Answers queries from one bundle with its opened encoders. Holds no state between queries.

    profiles: by name; a default one is added where there is none. fallback_country: who answers for countries that the
    bundle does not have, None = nobody.
    """

    def __init__(
        self,
        bundle: Bundle,
        encoders: Mapping[str, OnnxEncoder],
        profiles: Mapping[str, Profile],
        fallback_country: str | None = None,
    ) -> None:
        profiles = {DEFAULT_PROFILE: built_in_profile(bundle.sources), **profiles}
        self._sources = open_sources(encoders)
        self._resolver = Resolver(bundle.countries, encoders, profiles, fallback_country)

    def alone(self, query: Query) -> Alone | None:
        """Say what answers `query`, where that is one source alone; None where anything else has a part in it.

        That is another source, fusion's own scores, diversity, a filter, a seed, a quota, details, or a country, a
        profile or a source that is not served. Raises `FeatureKindError`.
        """
        asked = query.explain, query.return_embedding, query.include_modules, query.include_details
        found = self._resolver.known(query)
        if found is None or any(asked) or query.quotas or query.seed.length or not query.filters.empty:
            return None
        country, profile = found
        if profile.fusion != "single" or len(profile.sources) != 1 or diversifies(profile.diversity):
            return None
        (setting,) = profile.sources
        source = self._sources.get(setting.name)
        if source is None or setting.quota or not source.serves(country):
            return None
        return Alone(country, profile, source, self._resolver.unused(query.features), self._resolver.aged)

    def complete(self, query: Query, found: Found) -> Answer:
        """Answer as `answer` does, from what the only source of `query` has found."""
        return self._finish(self._resolver.task(query), [found])

    def answer(self, query: Query) -> Answer:
        """Retrieve exactly k items, or all eligible ones if there are fewer.

        Raises a `RefusedError`, or `FeatureKindError` for a feature that is a number and should be a category or the
        reverse.
        """
        return self._run([self._resolver.task(query)])[0]

    def answer_batch(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer queries as if each were alone, but with one pass per source over all of a country and profile.

        `RefusedInBatchError` names the first query that would be refused alone.
        """
        groups: dict[object, list[tuple[int, Task]]] = {}
        rows = self._resolver.rows(queries)
        for position, query in enumerate(queries):
            try:
                task = self._resolver.task(query, rows[position])
            except (RefusedError, FeatureKindError) as error:
                raise RefusedInBatchError(position, error) from error
            groups.setdefault(task.group, []).append((position, task))
        answers: dict[int, Answer] = {}
        for group in groups.values():
            positions = [position for position, _ in group]
            answers.update(zip(positions, self._run([task for _, task in group]), strict=True))
        return [answers[position] for position in range(len(queries))]

    def similar(self, query: SimilarQuery) -> SimilarAnswer:
        """Find the items most like one; raises a `RefusedError`."""
        country, _ = self._resolver.country(query.country)
        check_filters(country, query.filters)
        served = neighbourhoods(country)
        source = next((each for each in served if query.source in {"", each}), None)
        if source is None:
            raise SourceNotServedError(query.source, served)
        row = int(resolve_rows(country, query.item)[0])
        if row < 0:
            item = query.item.keys[0] if query.item.keys else int(query.item.item_ids[0])
            raise UnknownItemError(item, country.code)
        eligible = eligibility(country.catalog, query.filters, NO_ROWS).without(np.array([row]))
        found = similar_items(country, row, query.k, eligible, source, (query.source_type, query.target_type))
        return SimilarAnswer(country, found.rows, found.scores, _report(source, found, len(found.rows), query.k))

    def _run(self, tasks: Sequence[Task]) -> list[Answer]:
        """Answer tasks of one group: each source once for all of them, the rest one by one."""
        found = [self._ask(number, tasks) for number in range(len(tasks[0].settings))]
        return [self._finish(task, [each[number] for each in found]) for number, task in enumerate(tasks)]

    def _ask(self, number: int, tasks: Sequence[Task]) -> list[Found]:
        """Ask one source; where an encoder fails on a batch, one by one, so that only the culprit goes without."""
        setting, country = tasks[0].settings[number], tasks[0].country
        source = self._sources.get(setting.name)
        if source is None or not source.serves(country):
            return [Found.nothing(Degradation.NOT_IN_BUNDLE)] * len(tasks)
        try:
            return source.retrieve(
                country,
                [task.user for task in tasks],
                [task.wanted(task.settings[number]) for task in tasks],
                [task.eligible for task in tasks],
                setting,
            )
        except EncoderError:
            if len(tasks) == 1:
                return [Found.nothing(Degradation.ENCODER_FAILED)]
            return [found for task in tasks for found in self._ask(number, [task])]

    def _finish(self, task: Task, found: Sequence[Found]) -> Answer:
        """Make one answer of what the sources found."""
        started = time.perf_counter_ns()
        settings = task.settings
        lists = [
            Ranked(each.rows, each.scores, setting.weight, setting.quota or task.query.k)
            for setting, each in zip(settings, found, strict=True)
        ]
        chosen = choose(task, fuse(lists, task.profile.fusion))
        if (missing := task.query.k - len(chosen.rows)) > 0:
            settings, found, chosen = filled_up(task, found, chosen, missing)
        fuse_us = (time.perf_counter_ns() - started) // 1000
        reports = tuple(
            _report(setting.name, each, count, setting.quota or task.query.k)
            for setting, each, count in zip(settings, found, _counts(chosen.masks, len(settings)), strict=True)
        )
        answer = Answer(
            country=task.country,
            profile=task.profile.name,
            rows=chosen.rows,
            scores=chosen.scores,
            source_masks=chosen.masks,
            reports=reports,
            fallback=_fallback(task, reports, chosen.backfilled),
            unknown_items=task.unknown_items,
            unused_features=task.unused_features,
            backfilled=chosen.backfilled,
            fuse_us=fuse_us,
            lists=tuple([(each.rows, each.scores) for each in found]),
        )
        asked = task.query.explain or task.query.return_embedding or task.query.include_modules
        return self._with_extras(answer, task, settings, found) if asked else answer

    def _with_extras(
        self, answer: Answer, task: Task, settings: Sequence[SourceSetting], found: Sequence[Found]
    ) -> Answer:
        """Add what only some callers want."""
        query, named = task.query, list(zip(settings, found, strict=True))
        vectors: dict[str, NDArray[np.float32]] = {
            setting.name: each.embedding for setting, each in named if each.embedding is not None
        }
        return msgspec.structs.replace(
            answer,
            evidence=explain(answer.rows, task.country, task.user, self._sources, named) if query.explain else (),
            embeddings=vectors if query.return_embedding else {},
            modules=_modules(found, query.k) if query.include_modules else (),
        )


def _modules(found: Sequence[Found], k: int) -> tuple[Module, ...]:
    """The best k of every list; sources were asked for more, since fusion wants to see more."""
    return tuple(
        msgspec.structs.replace(module, rows=module.rows[:k], scores=module.scores[:k])
        for each in found
        for module in each.modules
    )


def _counts(masks: NDArray[np.uint32], bits: int) -> list[int]:
    """How many masks (K,) have each bit."""
    if bits == 1:
        return [len(masks)]
    return [int(np.count_nonzero(masks & np.uint32(1 << bit))) for bit in range(bits)]


def _report(source: str, found: Found, contributed: int, asked: int) -> SourceReport:
    """Report a source; one that gave what the profile asks for is not exhausted, though fusion wanted to see more."""
    enough = found.degradation is Degradation.EXHAUSTED and len(found.rows) >= asked
    return SourceReport(
        source=source,
        method=found.method,
        plan=found.plan,
        found=len(found.rows),
        contributed=contributed,
        fetched=found.fetched,
        encode_us=found.encode_us,
        search_us=found.search_us,
        degradation=Degradation.NONE if enough else found.degradation,
    )


def _fallback(task: Task, reports: Sequence[SourceReport], backfilled: int) -> Fallback:
    """Of all reasons the first in the order of `Fallback`."""
    reasons = [_FALLBACK_OF[report.degradation] for report in reports if report.degradation in _FALLBACK_OF]
    if task.moved:
        reasons.append(Fallback.COUNTRY)
    if backfilled:
        reasons.append(Fallback.BACKFILLED)
    return min(reasons, default=Fallback.NONE)
