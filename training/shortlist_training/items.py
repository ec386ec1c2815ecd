"""Items of the log: their 64-bit ids and their attributes. Used by `ingest`, after the log is canonical."""

import hashlib
from collections.abc import Sequence
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from ibis import ir
from numpy.typing import NDArray

from shortlist_training.config import LoadedProject
from shortlist_training.errors import DataError
from shortlist_training.rules import require_columns
from shortlist_training.tables import item_column, read_table

ATTRIBUTES = ("title", "merchant", "category", "price")
ID_BYTES = 8


def item_id(key: str) -> int:
    """Hash a string key to its id: the first 8 bytes, little endian, of BLAKE2b. The same key gives the same id always.

    digest_size is part of BLAKE2b's parameters, so this is not a prefix of the 64-byte digest.
    """
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=ID_BYTES).digest(), "little")


def item_ids(keys: Sequence[str] | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Give each key its id; integer keys are their own. `DataError` if two string keys hash to one id."""
    if isinstance(keys, np.ndarray):
        return keys
    owner: dict[int, str] = {}
    for key in keys:
        other = owner.setdefault(item_id(key), key)
        if other != key:
            message = f"item keys '{other}' and '{key}' have the same 64-bit id; rename one of them"
            raise DataError(message)
    return np.fromiter((item_id(key) for key in keys), dtype=np.uint64, count=len(keys))


def item_table(
    connection: ibis.BaseBackend, clean: ir.Table, interactions: ir.Table, loaded: LoadedProject
) -> pa.Table:
    """Describe the items of the log: item, item_id and the attributes ("" or null if unknown), ordered by item."""
    settings = loaded.project.items
    base = interactions.select("item").distinct()
    source, key = clean, loaded.project.interactions.item
    if settings.path is not None and settings.item is not None:
        source, key = read_table(connection, loaded.folder / settings.path), settings.item
        wanted = [("items.item", key), *((f"items.{name}", column) for name, column in settings.columns().items())]
        require_columns(source, wanted, settings.path)
        source = source.mutate(**{key: item_column(source, key, loaded.project.interactions)})
    for name, column in settings.columns().items():
        wanted_type = "float64" if name == "price" else "string"
        values = most_frequent(source, key, column, name, wanted_type, str(base.schema()["item"]))
        base = base.left_join(values, "item").select(*base.columns, name)
    table: pa.Table = base.order_by("item").to_pyarrow()
    keys = table["item"].to_pylist()
    ids = item_ids(np.array(keys, dtype=np.uint64) if pa.types.is_integer(table.schema.field("item").type) else keys)
    return table.append_column("item_id", pa.array(ids, type=pa.uint64()))


def most_frequent(source: ir.Table, key: str, column: str, name: str, kind: str, key_type: str) -> ir.Table:
    """Give each item the most frequent value of a column as `name`; ties go to the smallest value."""
    value: Any = source[column]
    known = source.filter(value.notnull() & source[key].notnull())
    cast: Any = known[column].cast(kind)
    values = known.select(item=known[key].cast(key_type), value=cast.strip() if kind == "string" else cast)
    counted = values.group_by("item", "value").agg(rows=lambda t: t.count())
    order = ibis.window(group_by="item", order_by=[counted.rows.desc(), counted["value"]])
    ranked = counted.mutate(place=ibis.row_number().over(order))
    return ranked.filter(ranked.place == 0).select(item=ranked["item"], **{name: ranked["value"]})
