"""From trained models to a bundle's content, country by country. Last before `index_store.publish`.

A country's catalogue is the trained items that somebody there interacted with. Everything the server will be checked
against (golden cases) is computed here from the torch models and plain numpy, with none of the serving code.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.content import (
    BundleContent,
    CountryContent,
    EncoderContent,
    GoldenCase,
    InteractionPolicy,
    SourceGoldenCase,
    Timeline,
)
from models.history_weights import HistoryWeights
from shortlist_training.catalogue import Catalogue
from shortlist_training.config import PublishConfig
from shortlist_training.errors import DataError
from shortlist_training.export import export_led, trained_model, weighted_user_vectors
from shortlist_training.histories import Histories, History, nobody
from shortlist_training.led import Led
from shortlist_training.sources.base import Country, Source, exact_top, served_history
from shortlist_training.timelines import Log, Rows


@dataclass(frozen=True)
class TrainedItems:
    """LED's result: vocabulary row r is item vocabulary[r] of the catalogue. Vectors (I, d), biases (I,) float32.

    country_biases: (C, I) float32, what each country of the log adds to the biases; C is 0 without.
    weights: of interactions in a user's mean, None is 1/T.
    """

    vocabulary: Rows
    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    country_biases: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    weights: HistoryWeights | None = None

    def biases_in(self, country: int) -> NDArray[np.float32]:
        """Give b_i + b_(i,c): (I,) float32."""
        return self.biases + self.country_biases[country] if len(self.country_biases) else self.biases


@dataclass(frozen=True)
class Provenance:
    """What the manifest says about where a bundle comes from."""

    data_fingerprint: str
    seed: int
    metrics: Mapping[str, Mapping[str, float]]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class SourceSet:
    """The sources beside LED, by name, and how those that have settings in the bundle are used."""

    sources: Mapping[str, Source] = field(default_factory=dict)
    pdn_triggers: int = 50
    item_interaction: InteractionPolicy | None = None

    def encoders(self) -> dict[str, EncoderContent]:
        """Export all encoders."""
        return {name: one for source in self.sources.values() for name, one in source.encoders().items()}


@dataclass(frozen=True)
class _Shared:
    log: Log
    histories: Histories
    catalogue: Catalogue
    trained: TrainedItems
    model: Led
    config: PublishConfig
    sources: SourceSet


def assemble(
    log: Log,
    histories: Histories,
    catalogue: Catalogue,
    trained: TrainedItems,
    sources: SourceSet,
    config: PublishConfig,
    provenance: Provenance,
    on_country: Callable[[str, int, int], None] = lambda *_: None,
) -> BundleContent:
    """Build the content of a bundle; `ExportError` if an encoder's graph is not what was trained.

    `histories` are the log's, of trained items; `on_country` hears (code, how many are done, of how many).
    """
    model = trained_model(trained.vectors, trained.biases)
    graph, spec = export_led(model, config.max_history, provenance.seed, trained.weights)
    shared = _Shared(log, histories, catalogue, trained, model, config, sources)
    rows = {code: served_items(log, trained.vocabulary, config, place) for place, code in enumerate(log.countries)}
    codes = [code for code, found in rows.items() if len(found)]
    if not codes:
        message = "no country has an item to serve; lower publish.min_interactions"
        raise DataError(message)
    contents, golden, source_golden = _countries(shared, {code: rows[code] for code in codes}, on_country)
    return BundleContent(
        led_onnx=graph,
        led_spec=spec,
        countries=contents,
        golden=golden,
        timelines=_timelines(shared, contents),
        data_fingerprint=provenance.data_fingerprint,
        seed=provenance.seed,
        metrics=provenance.metrics,
        config=provenance.config,
        encoders=sources.encoders(),
        source_golden=source_golden,
        pdn_triggers=sources.pdn_triggers,
        item_interaction=sources.item_interaction,
    )


def _countries(
    shared: _Shared, rows: Mapping[str, Rows], on_country: Callable[[str, int, int], None]
) -> tuple[dict[str, CountryContent], list[GoldenCase], list[SourceGoldenCase]]:
    """Build every country's content with its golden cases."""
    contents: dict[str, CountryContent] = {}
    golden: list[GoldenCase] = []
    source_golden: list[SourceGoldenCase] = []
    for done, (code, own) in enumerate(rows.items()):
        on_country(code, done, len(rows))
        country = _country(shared, code, own)
        contents[code] = _content(shared, country)
        golden += _golden(shared, country)
        for source in shared.sources.sources.values():
            contents[code] = source.country(country, contents[code])
            source_golden += source.golden(country, shared.config.golden_k)
    return contents, golden, source_golden


def served_items(log: Log, vocabulary: Rows, config: PublishConfig, country: int) -> Rows:
    """List the trained items that a country, a place in `log.countries`, serves: (N,) ascending."""
    counts = np.bincount(log.items[log.country == country], minlength=int(vocabulary.max(initial=-1)) + 1)
    return np.flatnonzero(counts[vocabulary] >= config.min_interactions).astype(np.int64)


def _country(shared: _Shared, code: str, rows: Rows) -> Country:
    """Collect a country's users: golden histories of its own, held-out ones first; calibration by held-out users."""
    log, histories, config = shared.log, shared.histories, shared.config
    served = np.zeros(len(shared.trained.vocabulary), dtype=np.bool_)
    served[rows] = True
    place = log.countries.index(code)
    homes = log.homes()

    def known(users: Rows, most: int) -> list[History]:
        found: list[History] = []
        for user in users:
            if len(found) >= most:
                break
            history = served_history(histories, int(user), code, served)
            found += [history] if len(history) else []
        return found

    own = np.flatnonzero(homes == place)
    is_train = log.split[own] == "train"
    item_ids = shared.catalogue.item_ids[shared.trained.vocabulary[rows]]
    golden = known(np.r_[own[~is_train], own[is_train]], config.golden_per_country)
    if not golden and config.golden_per_country:  # nobody lives here: somebody from elsewhere has one of the items
        golden = known(np.flatnonzero(homes != place), 1)
    held_out = log.members("validation", "test")
    mine = known(held_out[homes[held_out] == place], len(held_out))
    others = np.random.default_rng(place).permutation(held_out[homes[held_out] != place])
    more = known(others, max(0, config.calibration_queries - len(mine)))
    return Country(code, rows, item_ids, golden, [*mine, *more], len(mine))


def _content(shared: _Shared, country: Country) -> CountryContent:
    log, trained, rows = shared.log, shared.trained, country.rows
    places = trained.vocabulary[rows]
    here = log.is_train() & (log.country == log.countries.index(country.code))
    popularity = np.bincount(log.items[here], minlength=len(shared.catalogue.item_ids))
    catalogue = shared.catalogue.take(places)
    # a data set too small to hold a user out: the null history is the one query left
    queries = country.held_out or [nobody(country.code)]
    return CountryContent(
        item_ids=catalogue.item_ids,
        keys=catalogue.keys,
        titles=catalogue.titles,
        merchants=catalogue.merchants,
        categories=catalogue.categories,
        popularity=popularity[places].astype(np.int64),
        led_vectors=trained.vectors[rows],
        led_biases=trained.biases_in(log.countries.index(country.code))[rows],
        calibration_queries=weighted_user_vectors(shared.model, queries, shared.config.max_history, trained.weights),
        own_queries=country.own,
        prices=catalogue.prices,
    )


def _golden(shared: _Shared, country: Country) -> list[GoldenCase]:
    histories = [history.recent(shared.config.max_history) for history in country.golden]
    return [_golden_case(shared, country, history) for history in [*histories, nobody(country.code)]]


def _golden_case(shared: _Shared, country: Country, history: History) -> GoldenCase:
    trained, rows = shared.trained, country.rows
    vector = weighted_user_vectors(shared.model, [history], shared.config.max_history, trained.weights)[0]
    biases = trained.biases_in(shared.log.countries.index(country.code))[rows]
    scores = trained.vectors[rows] @ vector[:-1] + biases
    k = min(shared.config.golden_k, len(rows))
    best, best_scores = exact_top(scores.astype(np.float32), country.item_ids, k)
    return GoldenCase(
        country=country.code,
        history=[int(item) for item in country.item_ids[country.local(history.rows)]],
        k=k,
        user_vector=vector,
        item_ids=best,
        scores=best_scores,
        types=[] if trained.weights is None else history.types.tolist(),
        times_ms=[] if trained.weights is None else history.times_ms.tolist(),
    )


def _timelines(shared: _Shared, countries: Mapping[str, CountryContent]) -> Sequence[Timeline]:
    log, item_ids, homes = shared.log, shared.catalogue.item_ids, shared.log.homes()
    timelines: list[Timeline] = []
    for user in range(len(log.users)):
        code = log.countries[homes[user]]
        if code not in countries or len(timelines) == shared.config.timelines:
            continue
        rows = log.rows_of(user)
        items = [int(item) for item in item_ids[log.items[rows]]]
        timelines.append(Timeline(log.users[user], code, items, [int(kind) for kind in log.types[rows]]))
    return timelines
