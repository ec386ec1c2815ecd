"""The same table expressions compile for PySpark, so that a cluster can do what DuckDB does here."""

from typing import Any

import ibis
import pytest
from ibis import ir
from ibis.config import Config

from shortlist_training.config import CooccurrenceConfig, DropRule, Project
from shortlist_training.cooccurrence import pair_counts
from shortlist_training.items import most_frequent
from shortlist_training.rules import counts_by_reason, kept, with_reason
from shortlist_training.splits import distinct_items, of_split, positions, sessions
from shortlist_training.tables import canonical, item_column


class SparkOptions(Config):
    """What Ibis registers when pyspark is installed; compiling alone reads only this."""

    treat_nan_as_null: bool = False


@pytest.fixture(autouse=True)
def _spark_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ibis.options, "pyspark", SparkOptions())


def log() -> ir.Table:
    columns = {"user": "string", "item": "string", "time": "timestamp", "type": "int8", "country": "string"}
    return ibis.table({**columns, "quantity": "float64"}, name="log")


def raw() -> ir.Table:
    columns = {"customer": "int64", "sku": "string", "when": "string", "action": "string", "land": "string"}
    return ibis.table({**columns, "amount": "int64", "label": "string"}, name="raw")


def spark(expression: ir.Table) -> str:
    sql: str = ibis.to_sql(expression, dialect="pyspark")
    return sql


def test_rules_and_deduplication_compile() -> None:
    """Every kind of rule and the duplicate window are expressible in Spark."""
    rules = [
        DropRule(name="a", column="sku", matches="^P"),
        DropRule(name="b", column="sku", is_null=True),
        DropRule(name="c", column="amount", at_most=0),
        DropRule(name="d", column="amount", at_least=9),
        DropRule(name="e", column="sku", equals="x"),
        DropRule(name="f", column="sku", any_of=["y", "z"]),
    ]
    marked = with_reason(raw(), rules, ("customer", "sku", "when"), ["customer", "sku"])
    assert "RLIKE" in spark(counts_by_reason(marked))
    assert "ROW_NUMBER" in spark(kept(marked))


def test_canonical_columns_compile(shop: Any) -> None:
    """Casting, mapping and key normalisation are expressible in Spark."""
    shop.settings["interactions"]["item_case"] = "upper"
    project: Project = shop.load().project
    table = raw()
    table = table.mutate(sku=item_column(table, "sku", project.interactions))
    assert "UPPER" in spark(canonical(table, project))


def test_splits_sessions_and_attributes_compile() -> None:
    """Windows over timelines, the semi-join on a split and the most frequent value are expressible in Spark."""
    splits = ibis.table({"user": "string", "split": "string"}, name="splits")
    assert "LAG" in spark(sessions(positions(log()), 1800))
    assert "SEMI JOIN" in spark(of_split(log(), splits, "train"))
    assert "COUNT(DISTINCT" in spark(distinct_items(log()))
    assert "ROW_NUMBER" in spark(most_frequent(raw(), "sku", "label", "title", "string", "string"))


@pytest.mark.parametrize("within", ["timeline", "session"])
@pytest.mark.parametrize("window", [0, 5])
def test_pair_counts_compile(within: Any, window: int) -> None:
    """The self-join that counts pairs is expressible in Spark, whatever the settings."""
    sql = spark(pair_counts(log(), CooccurrenceConfig(within=within, window=window), 1800))
    assert "JOIN" in sql
    assert ("ABS(" in sql) == (window > 0)
