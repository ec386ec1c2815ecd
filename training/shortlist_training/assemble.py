"""From trained vectors to a bundle's content, country by country. Last before `index_store.publish`.

A country's catalogue is the trained items that somebody there interacted with. Everything the server will be checked
against (golden cases) is computed here from the torch model and plain numpy, with none of the serving code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.content import BundleContent, CountryContent, GoldenCase, Timeline
from shortlist_training.config import PublishConfig
from shortlist_training.errors import DataError
from shortlist_training.export import export_led, trained_model, user_vectors
from shortlist_training.led import Led
from shortlist_training.timelines import Log, Rows


@dataclass(frozen=True)
class Catalogue:
    """All items of items.parquet, in its order. keys is None where items are integers; other lists may be None."""

    item_ids: NDArray[np.uint64]
    keys: Sequence[str] | None
    titles: Sequence[str] | None
    merchants: Sequence[str] | None
    categories: Sequence[str] | None


@dataclass(frozen=True)
class TrainedItems:
    """LED's result: vocabulary row r is item vocabulary[r] of the catalogue. Vectors (I, d), biases (I,) float32."""

    vocabulary: Rows
    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]


@dataclass(frozen=True)
class Provenance:
    """What the manifest says about where a bundle comes from."""

    data_fingerprint: str
    seed: int
    metrics: Mapping[str, Mapping[str, float]]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class _Shared:
    log: Log
    catalogue: Catalogue
    trained: TrainedItems
    model: Led
    config: PublishConfig
    row_of_item: Rows  # place in items.parquet -> vocabulary row, -1 where it was not trained


def assemble(
    log: Log, catalogue: Catalogue, trained: TrainedItems, config: PublishConfig, provenance: Provenance
) -> BundleContent:
    """Build the content of a bundle; `ExportError` if the encoder's graph is not what was trained."""
    model = trained_model(trained.vectors, trained.biases)
    graph, spec = export_led(model, config.max_history, provenance.seed)
    row_of_item = np.full(len(catalogue.item_ids), -1, dtype=np.int64)
    row_of_item[trained.vocabulary] = np.arange(len(trained.vocabulary))
    shared = _Shared(log, catalogue, trained, model, config, row_of_item)
    rows = {code: _country_rows(shared, index) for index, code in enumerate(log.countries)}
    countries = {code: found for code, found in rows.items() if len(found)}
    if not countries:
        message = "no country has an item to serve; lower publish.min_interactions"
        raise DataError(message)
    own = home_countries(log)
    return BundleContent(
        led_onnx=graph,
        led_spec=spec,
        countries={code: _country(shared, code, found, own) for code, found in countries.items()},
        golden=[case for code, found in countries.items() for case in _golden(shared, code, found, own)],
        timelines=_timelines(shared, own, countries),
        data_fingerprint=provenance.data_fingerprint,
        seed=provenance.seed,
        metrics=provenance.metrics,
        config=provenance.config,
    )


def home_countries(log: Log) -> Rows:
    """Give each user the country of the newest interaction, as a place in `log.countries`: (U,) int64."""
    return log.country[log.offsets[1:] - 1]


def exact_top(scores: NDArray[np.float32], item_ids: NDArray[np.uint64], k: int) -> tuple[list[int], list[float]]:
    """Rank all items: the k best ids and scores, equal scores by lower item id."""
    order = np.lexsort((item_ids, -scores))[:k]
    return [int(item) for item in item_ids[order]], [float(score) for score in scores[order]]


def _country_rows(shared: _Shared, country: int) -> Rows:
    log = shared.log
    counts = np.bincount(log.items[log.country == country], minlength=len(shared.catalogue.item_ids))
    wanted = (counts >= shared.config.min_interactions) & (shared.row_of_item >= 0)
    return shared.row_of_item[np.flatnonzero(wanted)]


def _country(shared: _Shared, code: str, rows: Rows, own: Rows) -> CountryContent:
    log, catalogue, trained = shared.log, shared.catalogue, shared.trained
    places = trained.vocabulary[rows]
    here = log.is_train() & (log.country == log.countries.index(code))
    popularity = np.bincount(log.items[here], minlength=len(catalogue.item_ids))
    queries, own_queries = _calibration(shared, code, rows, own)
    return CountryContent(
        item_ids=catalogue.item_ids[places],
        keys=_take(catalogue.keys, places),
        titles=_take(catalogue.titles, places),
        merchants=_take(catalogue.merchants, places),
        categories=_take(catalogue.categories, places),
        popularity=popularity[places].astype(np.int64),
        led_vectors=trained.vectors[rows],
        led_biases=trained.biases[rows],
        calibration_queries=queries,
        own_queries=own_queries,
    )


def _take(values: Sequence[str] | None, places: Rows) -> list[str] | None:
    return None if values is None else [values[place] for place in places]


def _known_histories(shared: _Shared, users: Rows, rows: Rows) -> list[Rows]:
    """Give users' items as rows, oldest first: only items of the country's catalogue, the most recent; none empty."""
    served = np.zeros(len(shared.trained.vocabulary) + 1, dtype=np.bool_)  # the last one answers for row -1
    served[rows] = True
    histories = []
    for user in users:
        history = shared.row_of_item[shared.log.items[shared.log.rows_of(int(user))]]
        history = history[served[history]][-shared.config.max_history :]
        if len(history):
            histories.append(history)
    return histories


def _calibration(shared: _Shared, code: str, rows: Rows, own: Rows) -> tuple[NDArray[np.float32], int]:
    held_out = shared.log.members("validation", "test")
    is_own = own[held_out] == shared.log.countries.index(code)
    own_histories = _known_histories(shared, held_out[is_own], rows)
    missing = max(0, shared.config.calibration_queries - len(own_histories))
    others = np.random.default_rng(shared.log.countries.index(code)).permutation(held_out[~is_own])
    other_histories = _known_histories(shared, others, rows)[:missing]
    histories = own_histories + other_histories
    if not histories:  # a data set too small to hold a user out: the null history is the one query left
        histories = [np.zeros(0, dtype=np.int64)]
    return user_vectors(shared.model, histories, shared.config.max_history), len(own_histories)


def _golden(shared: _Shared, code: str, rows: Rows, own: Rows) -> list[GoldenCase]:
    log = shared.log
    locals_ = np.flatnonzero(own == log.countries.index(code))
    is_train = log.split[locals_] == "train"
    users = np.r_[locals_[~is_train], locals_[is_train]]
    histories: list[Rows] = []
    for user in users:
        if len(histories) == shared.config.golden_per_country:
            break
        histories += _known_histories(shared, np.array([user]), rows)
    return [_golden_case(shared, code, rows, history) for history in [*histories, np.zeros(0, dtype=np.int64)]]


def _golden_case(shared: _Shared, code: str, rows: Rows, history: Rows) -> GoldenCase:
    vector = user_vectors(shared.model, [history], shared.config.max_history)[0]
    item_ids = shared.catalogue.item_ids
    places = shared.trained.vocabulary
    scores = shared.trained.vectors[rows] @ vector[:-1] + shared.trained.biases[rows]
    k = min(shared.config.golden_k, len(rows))
    best, best_scores = exact_top(scores.astype(np.float32), item_ids[places[rows]], k)
    return GoldenCase(
        country=code,
        history=[int(item) for item in item_ids[places[history]]],
        k=k,
        user_vector=vector,
        item_ids=best,
        scores=best_scores,
    )


def _timelines(shared: _Shared, own: Rows, countries: Mapping[str, Rows]) -> list[Timeline]:
    log, item_ids = shared.log, shared.catalogue.item_ids
    timelines: list[Timeline] = []
    for user in range(len(log.users)):
        code = log.countries[own[user]]
        if code not in countries or len(timelines) == shared.config.timelines:
            continue
        rows = log.rows_of(user)
        items = [int(item) for item in item_ids[log.items[rows]]]
        timelines.append(Timeline(log.users[user], code, items, [int(kind) for kind in log.types[rows]]))
    return timelines
