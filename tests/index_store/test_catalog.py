"""Ids, keys and rows of one country."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_store.arrays import StringTable, load_array
from index_store.catalog import Catalog, ItemDetails
from index_store.errors import ArrayMalformed, CatalogInvalid

IDS = st.integers(0, 2**64 - 1)


def catalog_of(ids: list[int], **columns: list[str]) -> Catalog:
    """A catalogue with these ids in this order."""
    tables = {name: StringTable.of(strings) for name, strings in columns.items()}
    return Catalog(np.array(ids, dtype=np.uint64), np.ones(len(ids), dtype=np.int64), tables)


@settings(max_examples=300)
@given(ids=st.lists(IDS, min_size=1, max_size=50, unique=True), asked=st.lists(IDS, max_size=30), data=st.data())
def test_ids_are_found_where_they_are(ids: list[int], asked: list[int], data: st.DataObject) -> None:
    """Every id leads to its row, every other number to -1, in the order asked."""
    asked = data.draw(st.permutations(asked + data.draw(st.lists(st.sampled_from(ids), max_size=10))))
    rows = catalog_of(ids).rows_of_ids(np.array(asked, dtype=np.uint64))
    assert rows.tolist() == [ids.index(item) if item in ids else -1 for item in asked]


@settings(max_examples=100)
@given(
    step=st.integers(1, 2**64 - 1), start=st.integers(0, 2**64 - 1), count=st.integers(1, 400), seed=st.integers(0, 9)
)
def test_ids_in_regular_steps_are_found(step: int, start: int, count: int, seed: int) -> None:
    """Ids that all end, or all begin, with the same bits are found too: the table is no worse than slow."""
    ids = list(dict.fromkeys((start + step * number) % 2**64 for number in range(count)))
    np.random.default_rng(seed).shuffle(ids)
    found = catalog_of(ids).rows_of_ids(np.array([*ids[::-1], (start - step) % 2**64], dtype=np.uint64))
    assert found[:-1].tolist() == list(range(len(ids)))[::-1]
    assert found[-1] == (ids.index((start - step) % 2**64) if (start - step) % 2**64 in ids else -1)


def test_repeated_ids_are_refused_by_name() -> None:
    """The message has the id that is there twice."""
    with pytest.raises(CatalogInvalid, match="found 7 more than once"):
        catalog_of([9, 7, 8, 7]).check("FR")


@settings(max_examples=200)
@given(keys=st.lists(st.text(min_size=1), min_size=1, max_size=30, unique=True), asked=st.lists(st.text(), max_size=20))
def test_keys_are_found_where_they_are(keys: list[str], asked: list[str]) -> None:
    """The same for string keys of any characters."""
    rows = catalog_of(list(range(len(keys))), keys=keys).rows_of_keys(asked + keys)
    assert rows.tolist() == [keys.index(key) if key in keys else -1 for key in asked + keys]


def test_keys_of_a_catalogue_without_keys_are_unknown() -> None:
    """A catalogue that has only numeric ids knows no key."""
    assert catalog_of([1, 2]).rows_of_keys(["1", "2"]).tolist() == [-1, -1]


def test_details_are_empty_where_the_catalogue_has_none() -> None:
    """Missing columns read as empty strings."""
    catalog = catalog_of([5, 6], keys=["a", "b"], titles=["Ä title", ""])
    assert catalog.details(0) == ItemDetails("a", "Ä title", "", "")
    assert catalog.details(1) == ItemDetails("b", "", "", "")


@pytest.mark.parametrize("keys", [["a", "a"], ["a", ""]])
def test_keys_must_be_unique_and_not_empty(keys: list[str]) -> None:
    """Two items with one key, or an item with an empty one, are refused."""
    with pytest.raises(CatalogInvalid):
        catalog_of([1, 2], keys=keys).check("FR")


NAMES = st.lists(st.sampled_from(["", "a", "b", "Ä", "a b"]) | st.text(max_size=3), min_size=1, max_size=40)


@settings(max_examples=200)
@given(names=NAMES, asked=st.text(max_size=3), data=st.data())
def test_posting_lists_are_the_rows_of_a_name(names: list[str], asked: str, data: st.DataObject) -> None:
    """Codes, rows and rows by popularity are those of a loop over all rows; "" is no name."""
    popularity = data.draw(st.lists(st.integers(0, 3), min_size=len(names), max_size=len(names)))
    tables = {"merchants": StringTable.of(names)}
    catalog = Catalog(np.arange(len(names), dtype=np.uint64), np.array(popularity, dtype=np.int64), tables)
    by_popularity = sorted(range(len(names)), key=lambda row: (-popularity[row], row))
    assert catalog.popular_order.tolist() == by_popularity
    known = [catalog.merchant_names[code] if code >= 0 else "" for code in catalog.merchant_codes]
    assert known == names
    for name in {*names, asked}:
        expected = [row for row, other in enumerate(names) if other == name and name]
        assert catalog.rows_of_merchant(name).tolist() == expected
        assert catalog.merchants.popular_rows(name).tolist() == [row for row in by_popularity if row in expected]
    assert (catalog.category_codes == -1).all()
    assert catalog.rows_of_category(asked).tolist() == []


@pytest.mark.parametrize(("price", "known"), [(0.0, True), (np.nan, True), (-0.01, False), (np.inf, False)])
def test_prices_are_unknown_or_not_negative(price: float, known: bool) -> None:  # noqa: FBT001 - a case
    """NaN stands for an unknown price; what can be no price is refused."""
    prices = np.array([1.0, price], dtype=np.float32)
    catalog = Catalog(np.array([1, 2], dtype=np.uint64), np.ones(2, dtype=np.int64), {}, prices)
    if known:
        catalog.check("FR")
    else:
        with pytest.raises(CatalogInvalid, match="prices"):
            catalog.check("FR")


@settings(max_examples=100)
@given(strings=st.lists(st.text(max_size=20), min_size=1, max_size=30))
def test_a_string_table_gives_back_what_was_put_in(
    tmp_path_factory: pytest.TempPathFactory, strings: list[str]
) -> None:
    """Strings survive the way to disk and back."""
    folder = tmp_path_factory.mktemp("table")
    StringTable.of(strings).save(folder / "s.utf8.npy", folder / "s.offsets.npy")
    table = StringTable.load(folder / "s.utf8.npy", folder / "s.offsets.npy", len(strings))
    assert [table[row] for row in range(len(table))] == strings


def test_an_array_of_another_shape_is_refused_with_both_shapes(tmp_path: Path) -> None:
    """The message has what was expected and what was found."""
    np.save(tmp_path / "a.npy", np.zeros((3, 4), dtype=np.float32))
    with pytest.raises(ArrayMalformed, match=r"expected float32 \('any', 5\) in C order, found float32 \(3, 4\)"):
        load_array(tmp_path / "a.npy", np.float32, (None, 5))
