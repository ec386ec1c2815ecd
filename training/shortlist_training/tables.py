"""Opens the project's tables and brings the log to its canonical columns. Used by `ingest`; Ibis expressions only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ibis
from ibis import ir

from models.interactions import InteractionType
from shortlist_training.config import InteractionTable, Project
from shortlist_training.errors import ConfigError, DataError
from shortlist_training.rules import require_columns

MAX_NAMED = 10  # values listed in an error message


def read_table(connection: ibis.BaseBackend, path: Path, strings: Sequence[str] = ()) -> ir.Table:
    """Open a parquet or CSV table; `DataError` if it is missing, of another kind, or unreadable.

    `strings` are columns never read as numbers.
    """
    if not path.is_file():
        message = f"there is no table {path}; 'path' is relative to the project file"
        raise DataError(message)
    kind = path.suffix.lower()
    if kind not in {".parquet", ".csv"}:
        message = f"{path}: tables are .parquet or .csv files"
        raise DataError(message)
    try:
        table: ir.Table
        if kind == ".parquet":
            table = connection.read_parquet(path)
        else:
            table = connection.read_csv(path, **({"types": dict.fromkeys(strings, "VARCHAR")} if strings else {}))
    except Exception as error:  # each backend has its own family of errors
        message = f"{path} cannot be read: {str(error).splitlines()[0]}"
        raise DataError(message) from error
    return table


def check_columns(raw: ir.Table, project: Project) -> None:
    """Check that the log has every column that the project names, and an item column that can be an id."""
    settings = project.interactions
    wanted = [(f"interactions.{name}", getattr(settings, name)) for name in ("user", "item", "time")]
    optional = [("type.column", settings.type.column), ("country.column", settings.country.column)]
    optional.append(("quantity", settings.quantity))
    wanted += [(f"interactions.{name}", column) for name, column in optional if column is not None]
    wanted += [("interactions.deduplicate", column) for column in settings.deduplicate]
    wanted += [(f"drop rule '{rule.name}'", rule.column) for rule in project.drop]
    if project.items.path is None:
        wanted += [(f"items.{name}", column) for name, column in project.items.columns().items()]
    require_columns(raw, wanted, settings.path)
    item = raw[settings.item]
    if not (item.type().is_string() or item.type().is_integer()):
        message = f"interactions.item: column '{settings.item}' is {item.type()}; item keys are strings or integers"
        raise ConfigError(message)


def item_column(table: ir.Table, column: str, settings: InteractionTable) -> ir.Value:
    """Take an item key column in the project's type and case: a string or an integer column."""
    item = table[column]
    if settings.item_type != "auto":
        item = item.cast("string" if settings.item_type == "string" else "int64")
    if settings.item_case == "keep" or not item.type().is_string():
        return item
    return item.upper() if settings.item_case == "upper" else item.lower()


def canonical(clean: ir.Table, project: Project) -> ir.Table:
    """Name and type the columns: user string, item string or uint64, time timestamp, type int8, country, quantity."""
    settings = project.interactions
    item = clean[settings.item]
    return clean.select(
        user=clean[settings.user].cast("string"),
        item=item if item.type().is_string() else item.cast("uint64"),
        time=timestamps(clean[settings.time], settings.time_unit),
        type=_types(clean, project),
        country=_countries(clean, settings),
        quantity=clean[settings.quantity].cast("float64") if settings.quantity else ibis.literal(1.0),
    )


def check_values(clean: ir.Table, project: Project) -> None:
    """Check what the canonical columns will be made of; `DataError` names the values that nothing covers."""
    settings = project.interactions
    _check_mapped(clean, "interactions.type", settings.type.column, settings.type.mapping)
    _check_mapped(clean, "interactions.country", settings.country.column, settings.country.mapping)
    item = clean[settings.item]
    if item.type().is_integer() and (lowest := item.min().to_pyarrow().as_py()) < 0:
        message = f"interactions.item: '{settings.item}' holds {lowest}; integer item ids must not be negative"
        raise DataError(message)
    bad = clean.filter(timestamps(clean[settings.time], settings.time_unit).isnull())
    if count := bad.count().to_pyarrow().as_py():
        example = bad[settings.time].first().to_pyarrow().as_py()
        message = f"interactions.time: {count} rows of '{settings.time}' are no time, e.g. '{example}'; use ISO 8601"
        raise DataError(message)


def timestamps(column: ir.Value, unit: str) -> ir.Value:
    """Make UTC timestamps of a time column: integers count `unit`s since 1970, strings are ISO 8601."""
    kind = column.type()
    if kind.is_integer():
        # always through milliseconds: DuckDB reads seconds into the machine's time zone
        return (column.cast("int64") * (1 if unit == "ms" else 1000)).as_timestamp("ms")
    if kind.is_string():
        return column.try_cast("timestamp")
    if kind.is_timestamp() or kind.is_date():
        return column.cast("timestamp")
    message = f"interactions.time: column '{column.get_name()}' is {kind}; it must be a timestamp, a string or integers"
    raise ConfigError(message)


def _types(clean: ir.Table, project: Project) -> ir.Value:
    source = project.interactions.type
    if source.constant is not None:
        return ibis.literal(int(InteractionType[source.constant])).cast("int8")
    column = clean[source.column]
    branches = [(value, int(InteractionType[name])) for value, name in source.mapping.items()]
    return column.cast("string").cases(*branches, else_=0).cast("int8")


def _countries(clean: ir.Table, settings: InteractionTable) -> ir.Value:
    source = settings.country
    if source.constant is not None:
        return ibis.literal(source.constant)
    column = clean[source.column]
    text = column.cast("string")
    return text.cases(*source.mapping.items(), else_=ibis.null("string")) if source.mapping else text


def _check_mapped(clean: ir.Table, setting: str, name: str | None, mapping: dict[str, Any]) -> None:
    if name is None:
        return
    column = clean[name]
    text = column.cast("string")
    covered = text.isin(list(mapping)) if mapping else text.re_search("^[A-Z]{2}$")
    unmapped = clean.filter(~(text.notnull() & covered)).group_by(value=text).agg(rows=lambda t: t.count())
    found = unmapped.order_by("value").limit(MAX_NAMED).to_pyarrow().to_pylist()
    if found:
        values = ", ".join(f"'{row['value']}' ({row['rows']} rows)" for row in found)
        message = f"{setting}: column '{name}' holds values without a mapping: {values}. Add them to {setting}.mapping"
        raise DataError(message)
