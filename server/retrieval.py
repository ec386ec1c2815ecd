"""The heart of the service: a query becomes rows and scores. Pure: no grpc, no protobuf, no metrics, no logging.

    Query → rows of the country's catalogue → user vector → search → leave out the history → Answer

A history without a single known item is answered by item bias, and the answer says so.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from index_store.bundle import Bundle, Country
from models.encoder import OnnxEncoder

BIAS_ORDER = "bias_order"


class UnknownCountryError(Exception):
    """The caller's fault: the bundle has no such country. `known` are those it has, sorted."""

    def __init__(self, country: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown country {country!r}")
        self.known = tuple(known)


class Fallback(IntEnum):
    """Why an answer is not personal. Values are those of `retrieval.v1.Fallback`."""

    NONE = 0
    EMPTY_HISTORY = 1
    UNKNOWN_HISTORY = 2


@dataclass(frozen=True, slots=True)
class History:
    """What a user did, oldest first: `length` items, each known by id or by key.

    item_ids: (I,) uint64 at id_positions: (I,) int64; keys at key_positions: (length - I,) int64, both ascending.
    """

    length: int
    item_ids: NDArray[np.uint64]
    id_positions: NDArray[np.int64]
    keys: tuple[str, ...]
    key_positions: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Query:
    """A valid request. `feature_names` are those the caller sent; LED takes none."""

    country: str
    history: History
    k: int
    exclude_history: bool
    include_details: bool
    feature_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of `country`'s catalogue, best first.

    rows: (K,) int64; scores: (K,) float32, higher is better, never increasing. Durations are microseconds.
    `method` is "hnsw", "exact", "exact_fallback" or "bias_order".
    """

    country: Country
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    fallback: Fallback
    unknown_items: int
    unused_features: int
    method: str
    encode_us: int
    search_us: int


class Retriever:
    """Answers queries from one bundle with one opened encoder. Holds no state between queries."""

    def __init__(self, bundle: Bundle, encoder: OnnxEncoder) -> None:
        self._countries = bundle.countries
        self._encoder = encoder

    def answer(self, query: Query) -> Answer:
        """Retrieve exactly k items, or all eligible ones if the catalogue has fewer."""
        country = self._countries.get(query.country)
        if country is None:
            raise UnknownCountryError(query.country, sorted(self._countries))
        rows = resolve_rows(country, query.history)
        known = rows[rows >= 0]
        if len(known) == 0:
            return _by_bias(country, query)
        return self._by_vector(country, query, known)

    def _by_vector(self, country: Country, query: Query, known: NDArray[np.int64]) -> Answer:
        excluded = _distinct(known) if query.exclude_history else known[:0]
        started = time.perf_counter_ns()
        user = country.led.encode(self._encoder, [known])
        encoded = time.perf_counter_ns()
        # each excluded item can take at most one place, so this many always leave k
        found = country.led.search(user, query.k + len(excluded))
        rows, scores = _without(found.rows[0], found.scores[0], excluded, query.k)
        searched = time.perf_counter_ns()
        return Answer(
            country=country,
            rows=rows,
            scores=scores,
            fallback=Fallback.NONE,
            unknown_items=query.history.length - len(known),
            unused_features=len(query.feature_names),
            method=found.method,
            encode_us=(encoded - started) // 1000,
            search_us=(searched - encoded) // 1000,
        )


def resolve_rows(country: Country, history: History) -> NDArray[np.int64]:
    """Find the (length,) int64 rows of a history in its order; -1 = not in the catalogue."""
    if not history.keys:
        return country.catalog.rows_of_ids(history.item_ids)
    rows = np.full(history.length, -1, dtype=np.int64)
    rows[history.id_positions] = country.catalog.rows_of_ids(history.item_ids)
    rows[history.key_positions] = country.catalog.rows_of_keys(history.keys)
    return rows


def _by_bias(country: Country, query: Query) -> Answer:
    started = time.perf_counter_ns()
    rows = country.led.bias_order[: query.k]
    scores = country.led.biases[rows]
    ended = time.perf_counter_ns()
    return Answer(
        country=country,
        rows=rows,
        scores=scores,
        fallback=Fallback.UNKNOWN_HISTORY if query.history.length else Fallback.EMPTY_HISTORY,
        unknown_items=query.history.length,
        unused_features=len(query.feature_names),
        method=BIAS_ORDER,
        encode_us=0,
        search_us=(ended - started) // 1000,
    )


def _distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort at least one row and drop repetitions; np.unique does the same at several times the cost."""
    ordered = np.sort(rows)
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _without(
    rows: NDArray[np.int64], scores: NDArray[np.float32], excluded: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Drop `excluded` rows (ascending), keep the order of the rest and cut to k."""
    if len(excluded):
        place = np.searchsorted(excluded, rows)
        place[place == len(excluded)] = 0
        kept = excluded[place] != rows
        rows, scores = rows[kept], scores[kept]
    return rows[:k], scores[:k]
