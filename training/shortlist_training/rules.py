"""Which rows of the log are kept: the project's [[drop]] rules and de-duplication, as Ibis expressions.

Used by `ingest`. A row that several rules match is counted under the first of them.
"""

from collections.abc import Sequence
from typing import Any

import ibis
from ibis import ir
from ibis.common.exceptions import IbisError

from shortlist_training.config import DropRule
from shortlist_training.errors import ConfigError

KEPT = "kept"
DUPLICATE = "duplicate"
NO_USER, NO_ITEM, NO_TIME = "no user", "no item", "no time"
_REASON = "shortlist_reason"


def condition(table: ir.Table, rule: DropRule) -> ir.BooleanValue:
    """Build the rule's predicate; null values never match, except under `is_null`."""
    column: Any = table[rule.column]  # ibis types a column by its data type, which is known only at run time
    if rule.is_null:
        return column.isnull()
    if rule.matches is not None:
        test = column.cast("string").re_search(rule.matches)
    elif rule.at_most is not None:
        test = column <= rule.at_most
    elif rule.at_least is not None:
        test = column >= rule.at_least
    elif rule.any_of is not None:
        test = column.isin(rule.any_of)
    else:
        test = column == rule.equals
    return column.notnull() & test


def _condition(table: ir.Table, rule: DropRule) -> ir.BooleanValue:
    try:
        return condition(table, rule)
    except IbisError as error:
        kind = table[rule.column].type()
        message = f"drop rule '{rule.name}': its condition does not fit column '{rule.column}', which is {kind}"
        raise ConfigError(message) from error


def reasons(rules: Sequence[DropRule]) -> list[str]:
    """List every reason to drop a row, in the order in which they apply."""
    return [*(rule.name for rule in rules), NO_USER, NO_ITEM, NO_TIME, DUPLICATE]


def with_reason(
    table: ir.Table, rules: Sequence[DropRule], keys: tuple[str, str, str], duplicate_columns: Sequence[str]
) -> ir.Table:
    """Add `shortlist_reason`: `kept`, or the first reason to drop the row. `keys` are user, item and time columns."""
    branches: list[tuple[Any, str]] = [(_condition(table, rule), rule.name) for rule in rules]
    branches += [(table[key].isnull(), name) for key, name in zip(keys, (NO_USER, NO_ITEM, NO_TIME), strict=True)]
    marked = table.mutate(**{_REASON: ibis.cases(*branches, else_=KEPT)})
    if not duplicate_columns:
        return marked
    # all columns order the copies, so that which one stays does not depend on the engine
    rest = [name for name in table.columns if name not in duplicate_columns]
    copies = ibis.window(group_by=[_REASON, *duplicate_columns], order_by=rest or list(duplicate_columns))
    numbered = marked.mutate(shortlist_copy=ibis.row_number().over(copies))
    duplicate = (numbered[_REASON] == KEPT) & (numbered.shortlist_copy > 0)
    return numbered.mutate(**{_REASON: duplicate.ifelse(DUPLICATE, numbered[_REASON])}).drop("shortlist_copy")


def counts_by_reason(marked: ir.Table) -> ir.Table:
    """Count rows per reason: columns `reason`, `rows`."""
    return marked.group_by(reason=marked[_REASON]).agg(rows=lambda t: t.count()).order_by("reason")


def kept(marked: ir.Table) -> ir.Table:
    """Leave only the rows without a reason to drop them."""
    return marked.filter(marked[_REASON] == KEPT).drop(_REASON)


def require_columns(table: ir.Table, wanted: Sequence[tuple[str, str]], source: str) -> None:
    """Check (setting, column) pairs; `ConfigError` names the setting, the column and the columns there are."""
    for setting, column in wanted:
        if column not in table.columns:
            message = f"{setting} = '{column}': {source} has no such column; it has {', '.join(table.columns)}"
            raise ConfigError(message)
