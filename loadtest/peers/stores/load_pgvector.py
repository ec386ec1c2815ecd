"""`python -m loadtest.peers.stores.load_pgvector JOB HOST VARIANT`: COPY of every item, then the index."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import numpy as np
from numpy.typing import NDArray
from pgvector.asyncpg import register_vector
from rich.progress import Progress

from loadtest.peers.job import Job
from loadtest.peers.stores.names import AUGMENTED
from loadtest.peers.stores.pgvector import largest_square

_CHUNK = 20_000
_INDEX = {
    "hnsw_ip": "hnsw (v vector_ip_ops) WITH (m = 16, ef_construction = 128)",
    AUGMENTED: "hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 128)",
    "ivfflat_ip": "ivfflat (v vector_ip_ops) WITH (lists = {lists})",
}
_WATCH = "SELECT coalesce(max(blocks_done), 0), coalesce(max(blocks_total), 1) FROM pg_stat_progress_create_index"


async def _load(job: Job, host: str, variant: str) -> None:
    connection = await asyncpg.connect(host=host, user="postgres", database="postgres")
    await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    await register_vector(connection)
    items = _items(job, variant)
    table = f"items_{variant}"
    # named so until it is whole: a run that was stopped builds again
    await connection.execute(f"DROP TABLE IF EXISTS {table}_new")
    await connection.execute(f"CREATE TABLE {table}_new (id bigint NOT NULL, v vector({items.shape[1]}) NOT NULL)")
    with Progress() as progress:
        task = progress.add_task(f"COPY into {table}", total=len(items))
        for start in range(0, len(items), _CHUNK):
            records = _records(job, items, start)
            await connection.copy_records_to_table(f"{table}_new", records=records, columns=("id", "v"))
            progress.update(task, completed=min(start + _CHUNK, len(items)))
        await _index(connection, host, table, _INDEX[variant].format(lists=max(10, len(items) // 1000)), progress)
    await connection.execute(f"VACUUM ANALYZE {table}_new")
    await connection.execute(f"ALTER TABLE {table}_new RENAME TO {table}")
    await connection.execute("CHECKPOINT")


def _items(job: Job, variant: str) -> NDArray[np.float32]:
    items = np.asarray(job.vectors)
    if variant != AUGMENTED:
        return items
    left = largest_square(items) - np.einsum("nd,nd->n", items, items)
    return np.column_stack([items, np.sqrt(np.maximum(left, 0))]).astype(np.float32)


def _records(job: Job, items: NDArray[np.float32], start: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    chunk = slice(start, start + _CHUNK)
    return zip(job.item_ids[chunk].tolist(), items[chunk], strict=True)


async def _index(connection: asyncpg.Connection, host: str, table: str, definition: str, progress: Progress) -> None:
    await connection.execute("SET maintenance_work_mem = '3GB'")
    await connection.execute("SET max_parallel_maintenance_workers = 2")
    watcher = await asyncpg.connect(host=host, user="postgres", database="postgres")
    task = progress.add_task(f"building {definition.split(maxsplit=1)[0]}", total=None)
    building = asyncio.create_task(connection.execute(f"CREATE INDEX ON {table}_new USING {definition}"))
    while not building.done():
        done, total = await watcher.fetchrow(_WATCH)
        progress.update(task, completed=done, total=total)
        await asyncio.wait([building], timeout=1)
    await building
    await watcher.close()


if __name__ == "__main__":
    asyncio.run(_load(Job(Path(sys.argv[1])), sys.argv[2], sys.argv[3]))
