"""From the canonical tables to queries, labels and features: one query per basket after a user's first.

The labels of a query are the items of the basket that the user takes for the first time, as an app is installed once;
what the user took before is excluded from retrieval. Everything learned from data (vocabularies, buckets, counts) is
learned from what happened before `train_end`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from ibis import ir
from numpy.typing import NDArray

from shortlist_training.time_split import TimeSplit, baskets, first_takes
from shortlist_training.timelines import Rows, incidence, index_in
from shortlist_training.two_tower.features import (
    FIRST_KNOWN,
    FeatureSpec,
    FeatureTable,
    Ids,
    Vocabulary,
    bucket_bounds,
    bucketize,
    pad,
)
from shortlist_training.two_tower.train import Pairs

DAYS, HOURS = 7, 24
PRICE_BUCKETS = 10
WORD = re.compile("[a-z0-9]+")
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class DataConfig:
    """Lengths and thresholds.

    history, history_words: most recent items, and their title words, that a query keeps. title_words: of an item.
    min_item_count, min_word_count: training interactions, and titles, below which an id or a word is unknown.
    """

    history: int = 20
    history_words: int = 40
    title_words: int = 8
    min_item_count: int = 3
    min_word_count: int = 2


@dataclass(frozen=True)
class Context:
    """Names of the features that a data set's queries have besides history and seed item, and its items besides words.

    sparse, dense: of queries. content: the items' sparse one. A sparse feature's vocabulary has its name.
    """

    sparse: tuple[str, ...]
    dense: tuple[str, ...]
    content: str


BASKETS = Context(("country", "weekday", "hour"), ("earlier_baskets", "idle_days"), "price")


@dataclass(frozen=True)
class RetrievalData:
    """Q queries, I items. labels, excluded: (Q, I). users (Q,): whose query; split (Q,): "train", ...

    counts (I,): training interactions; 0 is a cold item. sizes: rows of each embedding table.
    """

    catalogue: FeatureTable
    queries: FeatureTable
    labels: sp.csr_matrix
    excluded: sp.csr_matrix
    users: Rows
    split: NDArray[np.str_]
    counts: Rows
    sizes: dict[str, int]
    context: Context = BASKETS

    def of(self, split: str) -> Rows:
        """List the queries of a split: ascending, int64."""
        return np.flatnonzero(self.split == split).astype(np.int64)

    def training_pairs(self) -> Pairs:
        """List every {query, label} of the training split."""
        rows = self.of("train")
        wanted = self.labels[rows].tocoo()
        return Pairs(rows[wanted.row], wanted.col.astype(np.int64))


@dataclass(frozen=True)
class _Query:
    user: int
    country: str
    split: str
    weekday: int
    hour: int
    earlier_baskets: int
    idle_days: float
    seen: Rows  # most recent first
    labels: Rows


@dataclass(frozen=True)
class _Events:
    """Interactions before `test_end`, ordered by user, basket, time, item; arrays of one length."""

    user: Rows
    item: Rows
    basket: Rows
    seconds: Rows
    is_first: NDArray[np.bool_]
    country: list[str]
    split: NDArray[np.str_]


def build(interactions: ir.Table, items: pa.Table, split: TimeSplit, config: DataConfig) -> RetrievalData:
    """Build queries and features of canonical tables (`ingest`); the catalogue is what occurs before `test_end`.

    The catalogue's row r is the r-th such item in the order of `items`.
    """
    events, catalogue = _events(interactions, items, split)
    counts = np.bincount(events.item[events.split == "train"], minlength=catalogue.num_rows).astype(np.int64)
    keys = catalogue["item"].to_pylist()
    words = [WORD.findall((title or "").lower()) for title in catalogue["title"].to_pylist()]
    vocabularies = _vocabularies(events, keys, words, counts, config)
    item_ids = vocabularies["item"].encode(keys)
    word_ids = [vocabularies["word"].encode(found) for found in words]
    prices = catalogue["price"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    price_ids = bucketize(prices, bucket_bounds(prices[counts > 0], PRICE_BUCKETS))
    queries = list(_queries(events))
    return RetrievalData(
        catalogue=FeatureTable.of(
            {"item": item_ids, "title_words": pad(word_ids, config.title_words), "price": price_ids}
        ),
        queries=_query_features(queries, vocabularies["country"], item_ids, word_ids, config),
        labels=incidence([query.labels for query in queries], len(keys)),
        excluded=incidence([query.seen for query in queries], len(keys)),
        users=np.array([query.user for query in queries], dtype=np.int64),
        split=np.array([query.split for query in queries]),
        counts=counts,
        sizes={name: vocabulary.size for name, vocabulary in vocabularies.items()}
        | {"price": PRICE_BUCKETS + FIRST_KNOWN, "weekday": DAYS + FIRST_KNOWN, "hour": HOURS + FIRST_KNOWN},
    )


def _vocabularies(
    events: _Events, keys: list[str], words: list[list[str]], counts: Rows, config: DataConfig
) -> dict[str, Vocabulary]:
    """Learn items, title words (each counted once per title) and countries from the training split."""
    in_training = zip(events.country, events.split, strict=True)
    return {
        "item": Vocabulary.build(keys[row] for row in np.flatnonzero(counts >= config.min_item_count)),
        "word": Vocabulary.build(
            (word for row in np.flatnonzero(counts > 0) for word in set(words[row])), config.min_word_count
        ),
        "country": Vocabulary.build(country for country, name in in_training if name == "train"),
    }


def query_specs(
    item_dim: int, word_dim: int, small_dim: int, *, content: bool, context: Context = BASKETS
) -> tuple[FeatureSpec, ...]:
    """List the query tower's features: user, context, seed item, history; without `content` no title words."""
    specs = [
        *(FeatureSpec(name, "sparse", name, small_dim) for name in context.sparse),
        *(FeatureSpec(name, "dense") for name in context.dense),
        FeatureSpec("seed_item", "sparse", "item", item_dim),
        FeatureSpec("history", "multi", "item", item_dim),
    ]
    if content:
        specs.append(FeatureSpec("seed_words", "multi", "word", word_dim))
        specs.append(FeatureSpec("history_words", "multi", "word", word_dim))
    return tuple(specs)


def item_specs(item_dim: int, word_dim: int, small_dim: int, context: Context = BASKETS) -> tuple[FeatureSpec, ...]:
    """List the item tower's features: the id, and content."""
    return (
        FeatureSpec("item", "sparse", "item", item_dim),
        FeatureSpec("title_words", "multi", "word", word_dim),
        FeatureSpec(context.content, "sparse", context.content, small_dim),
    )


def _events(interactions: ir.Table, items: pa.Table, split: TimeSplit) -> tuple[_Events, pa.Table]:
    named = split.name(baskets(interactions))
    named = named.filter(named.split.notnull())
    first = first_takes(named).select("user", "item", "basket").mutate(is_first=ibis.literal(value=True))
    rows = named.group_by("user", "item", "basket", "split").agg(time=named.time.min(), country=named.country.min())
    marked = rows.left_join(first, ["user", "item", "basket"]).select(*rows.columns, "is_first")
    table = marked.order_by("user", "basket", "time", "item").to_pyarrow()
    catalogue = items.filter(pc.is_in(items["item"], value_set=table["item"].combine_chunks().unique()))
    _, user = np.unique(np.asarray(table["user"].to_pylist()), return_inverse=True)
    events = _Events(
        user=user.astype(np.int64),
        item=index_in(table["item"], catalogue["item"]),
        basket=table["basket"].to_numpy().astype(np.int64),
        seconds=table["time"].cast(pa.timestamp("s"), safe=False).cast(pa.int64()).to_numpy(),
        is_first=table["is_first"].fill_null(False).to_numpy(zero_copy_only=False),  # noqa: FBT003 - arrow's API
        country=table["country"].to_pylist(),
        split=np.asarray(table["split"].to_pylist()),
    )
    return events, catalogue


def _queries(events: _Events) -> Iterator[_Query]:
    """Walk the baskets in order; a user's first has no query, nor has one without anything new."""
    begins = np.flatnonzero(np.r_[True, (np.diff(events.user) != 0) | (np.diff(events.basket) != 0)])
    ends = np.r_[begins[1:], len(events.user)]
    seen: dict[int, None] = {}
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        basket = slice(begin, end)
        if events.basket[begin] == 0:
            seen = {}
        elif events.is_first[basket].any():
            yield _query(events, begin, end, np.fromiter(reversed(seen), dtype=np.int64))
        for item in events.item[basket].tolist():
            seen.pop(item, None)
            seen[item] = None


def _query(events: _Events, begin: int, end: int, seen: Rows) -> _Query:
    seconds = int(events.seconds[begin])
    return _Query(
        user=int(events.user[begin]),
        country=events.country[begin - 1],
        split=str(events.split[begin]),
        weekday=(seconds // 86_400 + 3) % DAYS,  # 1970 began on a Thursday
        hour=seconds // 3600 % HOURS,
        earlier_baskets=int(events.basket[begin]),
        idle_days=(seconds - int(events.seconds[begin - 1])) / SECONDS_PER_DAY,
        seen=seen,
        labels=events.item[begin:end][events.is_first[begin:end]],
    )


def _query_features(
    queries: list[_Query], countries: Vocabulary, item_ids: Ids, word_ids: list[Ids], config: DataConfig
) -> FeatureTable:
    seeds = [int(query.seen[0]) for query in queries]
    recent = [query.seen[: config.history] for query in queries]
    history_words = [np.concatenate([word_ids[row] for row in rows]) for rows in recent]
    return FeatureTable.of(
        {
            "country": countries.encode(query.country for query in queries),
            "weekday": np.array([query.weekday + FIRST_KNOWN for query in queries], dtype=np.int64),
            "hour": np.array([query.hour + FIRST_KNOWN for query in queries], dtype=np.int64),
            "earlier_baskets": np.log1p([query.earlier_baskets for query in queries]).astype(np.float32),
            "idle_days": np.log1p([query.idle_days for query in queries]).astype(np.float32),
            "seed_item": item_ids[np.array(seeds, dtype=np.int64)],
            "history": pad([item_ids[rows] for rows in recent], config.history),
            "seed_words": pad([word_ids[row] for row in seeds], config.title_words),
            "history_words": pad(history_words, config.history_words),
        }
    )
