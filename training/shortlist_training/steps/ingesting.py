"""The ingest step: canonical tables, the user split, and a report on what was kept."""

import pyarrow as pa

from shortlist_training.errors import DataError, TrainingError
from shortlist_training.ingest import fingerprint, ingest
from shortlist_training.records import IngestReport
from shortlist_training.splits import distinct_items, split_users
from shortlist_training.steps.learning import Progress, database
from shortlist_training.workspace import INGEST, Workspace


def is_ingested(work: Workspace) -> bool:
    """Whether the run directory holds today's data, ingested with today's settings."""
    if not work.is_done(INGEST):
        return False
    try:
        return work.json("ingest.json", IngestReport).fingerprint == fingerprint(work.loaded)
    except (TrainingError, OSError):  # a file that is gone is ingest's to report
        return False


def ingest_step(work: Workspace, progress: Progress) -> IngestReport:
    """Write the canonical tables, the user split and ingest.json."""
    project = work.loaded.project
    work.begin(INGEST)
    connection = database(work)
    progress("reading and judging the log", 0, 3)
    ingested = ingest(connection, work.loaded)
    progress("writing tables", 1, 3)
    work.save_table("interactions.parquet", ingested.interactions.to_pyarrow())
    work.save_table("items.parquet", ingested.items)
    if ingested.users is not None:
        work.save_table("users.parquet", ingested.users.to_pyarrow())
    progress("splitting users", 2, 3)
    users = distinct_items(connection.read_parquet(work.path("interactions.parquet"))).to_pyarrow()
    splits = split_users(users["user"].to_pylist(), users["items"].to_pylist(), project.split, project.seed)
    _check_splits(splits, project.split.min_items)
    work.save_table("splits.parquet", splits)
    work.save_json("ingest.json", ingested.report)
    work.save_json("config.json", work.loaded.source)
    work.finish(INGEST)
    progress("done", 3, 3)
    return ingested.report


def _check_splits(splits: pa.Table, min_items: int) -> None:
    present = set(splits["split"].to_pylist())
    for split in ("train", "validation", "test"):
        if split not in present:
            message = (
                f"no {split} users: too few of the {splits.num_rows} users have {min_items} distinct items. "
                "Lower split.min_items or raise its shares"
            )
            raise DataError(message)
