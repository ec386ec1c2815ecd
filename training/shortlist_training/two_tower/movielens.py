"""MovieLens-100k as queries, labels and features: what a user rates next, told what the user rated before.

Two users in three rate on one day only, so a cut at one time leaves few users to ask for. Each user's own ratings are
cut instead: the oldest 60 % are for training, the next 20 % for validation, and the newest 20 % are the test labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ibis
import numpy as np
from numpy.typing import NDArray

from shortlist_training.timelines import Rows, incidence
from shortlist_training.two_tower.dataset import WORD, Context, DataConfig, RetrievalData
from shortlist_training.two_tower.features import (
    FIRST_KNOWN,
    FeatureTable,
    Ids,
    Vocabulary,
    bucket_bounds,
    bucketize,
    pad,
)

FILES = tuple(f"ml-100k/{name}.parquet" for name in ("interactions", "items", "users"))
CONTEXT = Context(sparse=("gender", "age", "occupation"), dense=("rated",), content="year")
TRAIN_SHARE, VALIDATION_SHARE = 0.6, 0.8
BLOCK = 10
"""Ratings that a training query is asked for; the ones before are its history."""
BUCKETS = 10


@dataclass(frozen=True)
class _Query:
    user: int
    split: str
    seen: Rows  # most recent first
    labels: Rows


@dataclass(frozen=True)
class _Tables:
    """user, item: of each rating, by user and time. keys, words, years: of each item. people: columns by user."""

    user: Rows
    item: Rows
    keys: list[str]
    words: list[list[str]]
    years: NDArray[np.float64]
    people: dict[str, list[str]]
    ages: NDArray[np.float64]


def build_movielens(data: Path, config: DataConfig) -> RetrievalData:
    """Read the tables below `data` and build queries and features; a rating of any height is an interaction."""
    tables = _tables(data)
    trained = np.concatenate([own[:train_end] for _, own, train_end, _ in _histories(tables)])
    counts = np.bincount(trained, minlength=len(tables.keys)).astype(np.int64)
    vocabularies = _vocabularies(tables, counts, config)
    words = _word_ids(tables, vocabularies)
    years = bucketize(tables.years, bucket_bounds(tables.years[counts > 0], BUCKETS))
    queries = list(_queries(tables))
    return RetrievalData(
        catalogue=FeatureTable.of(
            {
                "item": vocabularies["item"].encode(tables.keys),
                "title_words": pad(words, config.title_words),
                "year": years,
            }
        ),
        queries=_features(queries, tables, vocabularies, config),
        labels=incidence([query.labels for query in queries], len(counts)),
        excluded=incidence([query.seen for query in queries], len(counts)),
        users=np.array([query.user for query in queries], dtype=np.int64),
        split=np.array([query.split for query in queries]),
        counts=counts,
        sizes={name: vocabulary.size for name, vocabulary in vocabularies.items()}
        | dict.fromkeys(("age", "year"), BUCKETS + FIRST_KNOWN),
        context=CONTEXT,
    )


def _vocabularies(tables: _Tables, counts: Rows, config: DataConfig) -> dict[str, Vocabulary]:
    """Learn items and words from the training ratings; genders and occupations are those of all users."""
    words = (word for row in np.flatnonzero(counts > 0) for word in set(tables.words[row]))
    known = (tables.keys[row] for row in np.flatnonzero(counts >= config.min_item_count))
    return {
        "item": Vocabulary.build(known),
        "word": Vocabulary.build(words, config.min_word_count),
        **{name: Vocabulary.build(values) for name, values in tables.people.items()},
    }


def _tables(data: Path) -> _Tables:
    """Read ratings in order of time (one second: by item), items and users in order of their ids."""
    connection = ibis.duckdb.connect()
    log, items, users = (connection.read_parquet(data / name) for name in FILES)
    ratings = log.order_by("user_id", "timestamp", "item_id").select("user_id", "item_id").to_pyarrow()
    films = items.semi_join(log, "item_id").order_by("item_id").to_pyarrow()
    people = users.semi_join(log, "user_id").order_by("user_id").to_pyarrow()
    titles = zip(films["movie_title"].to_pylist(), films["class"].to_pylist(), strict=True)
    years = [float(year) if (year or "").isdigit() else np.nan for year in films["release_year"].to_pylist()]
    return _Tables(
        user=np.searchsorted(people["user_id"].to_numpy(), ratings["user_id"].to_numpy()).astype(np.int64),
        item=np.searchsorted(films["item_id"].to_numpy(), ratings["item_id"].to_numpy()).astype(np.int64),
        keys=[str(key) for key in films["item_id"].to_pylist()],
        words=[_words(title or "", genres or "") for title, genres in titles],
        years=np.array(years),
        people={name: [str(value) for value in people[name].to_pylist()] for name in ("gender", "occupation")},
        ages=people["age"].to_numpy().astype(np.float64),
    )


def _words(title: str, genres: str) -> list[str]:
    """Take the genres, marked as such, then the words of the title."""
    return [*(f"genre:{genre}" for genre in genres.split()), *WORD.findall(title.lower())]


def _histories(tables: _Tables) -> Iterator[tuple[int, Rows, int, int]]:
    """Give each user's items in order of time, and where training and validation end."""
    for user, own in enumerate(np.split(tables.item, np.flatnonzero(np.diff(tables.user)) + 1)):
        yield user, own, int(len(own) * TRAIN_SHARE), int(len(own) * VALIDATION_SHARE)


def _queries(tables: _Tables) -> Iterator[_Query]:
    """Ask for each block of a user's training ratings after the first, then for validation and test."""
    for user, own, train_end, validation_end in _histories(tables):
        blocks = [(start, min(start + BLOCK, train_end), "train") for start in range(BLOCK, train_end, BLOCK)]
        spans = [*blocks, (train_end, validation_end, "validation"), (validation_end, len(own), "test")]
        for start, end, split in spans:
            yield _Query(user, split, own[:start][::-1], own[start:end])


def _features(
    queries: list[_Query], tables: _Tables, vocabularies: dict[str, Vocabulary], config: DataConfig
) -> FeatureTable:
    users = np.array([query.user for query in queries], dtype=np.int64)
    items, words = vocabularies["item"].encode(tables.keys), _word_ids(tables, vocabularies)
    recent = [query.seen[: config.history] for query in queries]
    profile = {name: vocabularies[name].encode(tables.people[name])[users] for name in ("gender", "occupation")}
    return FeatureTable.of(
        {
            **profile,
            "age": bucketize(tables.ages, bucket_bounds(tables.ages, BUCKETS))[users],
            "rated": np.log1p([len(query.seen) for query in queries]).astype(np.float32),
            "seed_item": items[np.array([query.seen[0] for query in queries])],
            "history": pad([items[rows] for rows in recent], config.history),
            "seed_words": pad([words[query.seen[0]] for query in queries], config.title_words),
            "history_words": pad(
                [np.concatenate([words[row] for row in rows]) for rows in recent], config.history_words
            ),
        }
    )


def _word_ids(tables: _Tables, vocabularies: dict[str, Vocabulary]) -> list[Ids]:
    return [vocabularies["word"].encode(words) for words in tables.words]
