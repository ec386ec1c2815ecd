"""From any interaction table to the one form that the rest of training reads.

Second in the dataflow: the tables that the project file names become `interactions` (user, item, time, type, country,
quantity; ordered by user, time, item, type), `items` (item, item_id and attributes; ordered by item), `users`, and a
report. All table work is Ibis expressions, so a cluster can do it; only item ids and the report are made in Python.
"""

import hashlib

import ibis
import msgspec
import pyarrow as pa
from ibis import ir
from ibis.util import gen_name

from shortlist_training.config import LoadedProject
from shortlist_training.errors import DataError, TrainingError
from shortlist_training.items import item_table
from shortlist_training.records import IngestReport
from shortlist_training.rules import KEPT, counts_by_reason, kept, reasons, require_columns, with_reason
from shortlist_training.tables import canonical, check_columns, check_values, item_column, read_table

CHUNK_BYTES = 1 << 20


class Ingested(msgspec.Struct, frozen=True):
    """The ingested tables (the log not yet computed) and the report on them."""

    interactions: ir.Table
    items: pa.Table
    users: ir.Table | None
    report: IngestReport


def ingest(connection: ibis.BaseBackend, loaded: LoadedProject) -> Ingested:
    """Read the project's tables on an Ibis backend; `DataError` or `ConfigError` if they are not what it says."""
    try:
        return _ingest(connection, loaded)
    except TrainingError:
        raise
    except Exception as error:  # each backend has its own family of errors
        message = f"{loaded.project.interactions.path}: the values cannot be processed: {str(error).splitlines()[0]}"
        raise DataError(message) from error


def _ingest(connection: ibis.BaseBackend, loaded: LoadedProject) -> Ingested:
    project, settings = loaded.project, loaded.project.interactions
    strings = [settings.item] if settings.item_type == "string" else []
    raw = read_table(connection, loaded.folder / settings.path, strings)
    check_columns(raw, project)
    raw = raw.mutate(**{settings.item: item_column(raw, settings.item, settings)})
    keys = (settings.user, settings.item, settings.time)
    marked = with_reason(raw, project.drop, keys, settings.deduplicate)
    rows_by_reason = {row["reason"]: row["rows"] for row in counts_by_reason(marked).to_pyarrow().to_pylist()}
    if not rows_by_reason.get(KEPT):
        most = max(rows_by_reason, key=lambda name: rows_by_reason[name], default="the table is empty")
        message = f"{settings.path}: no row is left; what dropped most is '{most}'. Check the [[drop]] rules"
        raise DataError(message)
    # computed once, since every later expression would otherwise read and judge the log again
    clean = connection.create_table(gen_name("shortlist_clean"), kept(marked), temp=True)
    check_values(clean, project)
    interactions = canonical(clean, project)
    dropped = [(name, rows_by_reason.get(name, 0)) for name in reasons(project.drop)]
    return Ingested(
        interactions=interactions.order_by("user", "time", "item", "type", "country", "quantity"),
        items=item_table(connection, clean, interactions, loaded),
        users=_users(connection, interactions, loaded),
        report=_report(interactions, sum(rows_by_reason.values()), dropped, fingerprint(loaded)),
    )


def fingerprint(loaded: LoadedProject) -> str:
    """Hash the data files' contents, in the order interactions, items, users: sha256, hex."""
    project = loaded.project
    paths = [project.interactions.path, project.items.path, project.users.path if project.users else None]
    digest = hashlib.sha256()
    for path in paths:
        if path is not None:
            with (loaded.folder / path).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
    return digest.hexdigest()


def _users(connection: ibis.BaseBackend, interactions: ir.Table, loaded: LoadedProject) -> ir.Table | None:
    settings = loaded.project.users
    if settings is None:
        return None
    table = read_table(connection, loaded.folder / settings.path)
    wanted = [("users.user", settings.user), *(("users.keep", column) for column in settings.keep)]
    require_columns(table, wanted, settings.path)
    named = table.select(user=table[settings.user].cast("string"), **{name: table[name] for name in settings.keep})
    return named.semi_join(interactions, "user").order_by("user", *settings.keep)


def _report(interactions: ir.Table, read: int, dropped: list[tuple[str, int]], digest: str) -> IngestReport:
    totals = interactions.agg(
        kept=interactions.count(),
        users=interactions.user.nunique(),
        items=interactions["item"].nunique(),
        first=interactions.time.min(),
        last=interactions.time.max(),
    )
    row = totals.to_pyarrow().to_pylist()[0]
    per_country = interactions.group_by("country").agg(rows=lambda t: t.count()).order_by("country")
    return IngestReport(
        read=read,
        dropped=dropped,
        kept=row["kept"],
        users=row["users"],
        items=row["items"],
        countries={entry["country"]: entry["rows"] for entry in per_country.to_pyarrow().to_pylist()},
        first_time=row["first"].isoformat(),
        last_time=row["last"].isoformat(),
        fingerprint=digest,
    )
