"""Vectors and queries for the bench of engines: of a published bundle, of a file, or drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.bundle import Bundle, load_bundle
from index_store.content import Timeline
from index_store.country import Country
from index_store.layout import TIMELINES
from loadtest.bench_bundle import given
from loadtest.bench_content import user_vectors
from loadtest.catalogue import REFERENCE, Catalogue, draw
from models.features import UserContext
from models.interactions import InteractionType
from models.two_tower import NO_SEED

_HISTORY = 20
_SEED = 17


@dataclass(frozen=True)
class Given:
    """What is searched: vectors (N, D), queries (Q, D), both float32; `name` says to a person whose they are."""

    name: str
    vectors: NDArray[np.float32]
    queries: NDArray[np.float32]


def of_recipe(items: int, count: int) -> Given:
    """Draw a recommender-like catalogue, `loadtest.catalogue.REFERENCE` at this size, and users of it."""
    return _of_catalogue(f"drawn catalogue of {items:,} items", draw(REFERENCE.of_size(items)), count)


def of_file(path: Path, count: int) -> Given:
    """Take the vectors of a .npy file, scaled to length 1; users are means of near ones."""
    return _of_catalogue(path.stem, given(path), count)


def of_files(vectors: Path, users: Path, count: int) -> Given:
    """Take the vectors (N, D) and queries (Q, D) of two .npy files as they are; queries are taken in a random order.

    Raises `ValueError` where they are no matrices of one width.
    """
    items, people = (np.ascontiguousarray(np.load(path), dtype=np.float32) for path in (vectors, users))
    if items.ndim != 2 or people.ndim != 2 or items.shape[1] != people.shape[1]:  # noqa: PLR2004
        message = f"{vectors} and {users}: expected (N, D) and (Q, D), found {items.shape} and {people.shape}"
        raise ValueError(message)
    order = np.random.default_rng(_SEED).permutation(len(people))
    name = f"{vectors.parent.name}: {len(items):,} vectors of {items.shape[1]}"
    return Given(name, items, people[order[:count]])


def _of_catalogue(name: str, catalogue: Catalogue, count: int) -> Given:
    vectors = np.column_stack([catalogue.vectors, catalogue.biases]).astype(np.float32)
    histories = catalogue.histories(count, (_HISTORY, _HISTORY), _SEED)
    return Given(name, vectors, user_vectors(catalogue.vectors, histories))


def of_bundle(directory: Path, source: str, code: str, count: int) -> Given:
    """Take a source's vectors in a country of a bundle; its sample users, encoded as the server would, are the queries.

    Raises `ValueError` where the bundle has not that source or no sample user.
    """
    bundle = load_bundle(directory)
    country = bundle.countries[code or max(bundle.countries, key=lambda each: bundle.countries[each].catalog.size)]
    histories = _histories(directory, country, count)
    if not len(histories):
        message = f"{directory}: no sample user of {country.code} to ask for"
        raise ValueError(message)
    vectors, queries = _encoded(bundle, country, source, histories)
    where = f"{bundle.name} {country.code}, {source}"
    return Given(f"{where}: {len(vectors):,} vectors of {vectors.shape[1]}", vectors, queries[:count])


def _histories(directory: Path, country: Country, count: int) -> list[NDArray[np.int64]]:
    """Known items of sample users, own country first, at least one each, in a random order."""
    lines = (directory / TIMELINES).read_bytes().splitlines()
    timelines = [msgspec.json.decode(line, type=Timeline) for line in lines]
    order = np.random.default_rng(_SEED).permutation(len(timelines)).tolist()
    order.sort(key=lambda place: timelines[place].country != country.code)
    found = []
    for place in order:
        rows = country.catalog.rows_of_ids(np.array(timelines[place].item_ids, dtype=np.uint64))
        if (rows >= 0).any():
            found.append(rows[rows >= 0])
        if len(found) == count:
            break
    return found


def _encoded(
    bundle: Bundle, country: Country, source: str, histories: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    contexts = [UserContext(country.code, history_length=len(history)) for history in histories]
    if source == "led":
        return country.led.vectors, country.led.encode(bundle.open_led(), histories)
    encoders = bundle.open_encoders()
    if source == "two_tower" and country.two_tower:
        seeds = [NO_SEED] * len(histories)
        queries = country.two_tower.encode(encoders["two_tower_query"], histories, seeds, contexts)
        return country.two_tower.vectors, queries
    if source == "pdn" and country.pdn:
        return country.pdn.item_vectors, country.pdn.user_vectors(encoders["pdn_user"], contexts)
    kind = InteractionType.__members__.get(source)
    if country.item_interaction and kind is not None and kind in country.item_interaction.pairs:
        pairs = country.item_interaction.pairs[kind]
        last = pairs.places(np.array([history[-1] for history in histories]))
        return pairs.vectors, np.asarray(pairs.vectors[last[last >= 0]])
    message = f"{bundle.path}: country {country.code} has no source {source!r}"
    raise ValueError(message)
