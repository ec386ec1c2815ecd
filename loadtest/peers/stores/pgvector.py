"""PostgreSQL with pgvector over asyncpg: prepared statements, binary vectors, a pool."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import numpy as np
from numpy.typing import NDArray
from pgvector.asyncpg import register_vector

from loadtest.peers.front import Found
from loadtest.peers.job import Job
from loadtest.peers.stores.names import AUGMENTED


class PgvectorStore:
    """One table per variant, all with the same two columns."""

    def __init__(self, pool: asyncpg.Pool, variant: str, squares: float) -> None:
        self._pool = pool
        self._augmented = variant == AUGMENTED
        self._squares = squares
        operator = "<->" if self._augmented else "<#>"
        self._query = f"SELECT id, v {operator} $1 FROM items_{variant} ORDER BY v {operator} $1 LIMIT "  # noqa: S608

    async def search(self, user: NDArray[np.float32], k: int) -> Found:
        """See `loadtest.peers.front.Store`."""
        query = np.append(user, np.float32(0)) if self._augmented else user
        async with self._pool.acquire() as connection:
            # the limit is written out: with a parameter the planner would not know that an index pays
            rows = await connection.fetch(f"{self._query}{int(k)}", query)
        ids = np.fromiter((row[0] for row in rows), dtype=np.uint64, count=len(rows))
        found = np.fromiter((row[1] for row in rows), dtype=np.float64, count=len(rows))
        # <#> is the negative inner product; |u - x|² = |u|² + M² - 2 <u, x>
        scores = (self._squares + float(user @ user) - found**2) / 2 if self._augmented else -found
        return ids, scores.astype(np.float32)


async def connect(job: Job, options: Mapping[str, Any]) -> PgvectorStore:
    """Open a pool on the socket's directory; every connection gets the settings of `options["session"]`."""
    pool = await asyncpg.create_pool(
        host=options["host"],
        user="postgres",
        database="postgres",
        min_size=options["connections"],
        max_size=options["connections"],
        init=register_vector,
        server_settings={name: str(value) for name, value in options["session"].items()},
        # giving a connection back would otherwise cost four more statements
        reset=_keep,
    )
    return PgvectorStore(pool, options["variant"], largest_square(job.vectors))


async def _keep(_: object) -> None: ...


def largest_square(vectors: NDArray[np.float32]) -> float:
    """M², the largest squared norm of items (N, D)."""
    return float(np.einsum("nd,nd->n", vectors, vectors).max())
