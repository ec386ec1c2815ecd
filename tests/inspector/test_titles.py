"""Finding items by title: against a search line by line, over any strings, and within its time."""

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index_store.arrays import StringTable
from server.inspector.titles import TitleIndex

WORDS = st.text(alphabet="abcABC éÉßİσς\n\t%", max_size=12)
IDS = np.zeros(0, dtype=np.uint64)


@settings(max_examples=300)
@given(st.lists(st.tuples(WORDS, WORDS, st.integers(0, 5)), min_size=1, max_size=12), WORDS)
def test_it_finds_what_a_search_line_by_line_finds(items: list[tuple[str, str, int]], query: str) -> None:
    """The same rows: every word of the query is in the lower-cased title and key; without a word, all by popularity."""
    titles, keys, popularity = zip(*items, strict=True)
    tables = [StringTable.of(titles), StringTable.of(keys)]
    index = TitleIndex.build(tables, np.array(popularity), IDS)
    found = index.search(query, limit=100)
    lines = [f"{title}\t{key}".lower() for title, key in zip(titles, keys, strict=True)]
    words = query.lower().split()
    wanted = {row for row, line in enumerate(lines) if all(word in line for word in words)}
    assert found.complete
    assert set(found.rows) == wanted
    assert len(found.rows) == found.found
    if not words:
        assert found.rows == np.argsort(-np.array(popularity), kind="stable").tolist()


def test_the_best_come_first() -> None:
    """Titles that begin so, then those with words that begin so, then the rest; the more popular first among equals."""
    titles = ["dark sheart", "a heart", "heart red", "heart blue", "red heart"]
    index = TitleIndex.build([StringTable.of(titles)], np.array([9, 1, 2, 3, 8]), IDS)
    assert [titles[row] for row in index.search("heart", 10).rows] == [
        "heart blue",
        "heart red",
        "red heart",
        "a heart",
        "dark sheart",
    ]
    assert index.search("heart", 2).found == 5


def test_a_search_ends_in_time_and_says_so() -> None:
    """Two common words that no title has together would look at every line; the deadline ends it."""
    titles = [f"{'left' if number % 2 else 'right'} word {number}" for number in range(200_000)]
    index = TitleIndex.build([StringTable.of(titles)], np.arange(200_000), IDS)
    started = time.monotonic()
    found = index.search("left right", 10, longest_s=0.02)
    assert time.monotonic() - started < 2.0
    assert (found.rows, found.complete) == ([], False)
    many = index.search("word", 10)
    assert (many.complete, len(many.rows)) == (False, 10)
    assert titles[many.rows[0]] == "left word 199999"
