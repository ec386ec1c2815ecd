"""Redis vector sets over RESP3, pooled."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from loadtest.peers.front import Found
from loadtest.peers.job import Job

KEY = "items"


class RedisStore:
    """VSIM knows cosines only: items are stored with one more dimension that gives all of them the norm `largest`."""

    def __init__(self, client: "redis.asyncio.Redis", largest: float, options: Mapping[str, Any]) -> None:
        self._client = client
        self._largest = largest
        self._tail = ("EF", options["ef"], *(("NOTHREAD",) if options["nothread"] else ()))

    async def search(self, user: NDArray[np.float32], k: int) -> Found:
        """See `loadtest.peers.front.Store`. VSIM's score is (1 + cosine) / 2."""
        query = np.append(user, np.float32(0)).astype(np.float32)
        found = await self._client.execute_command(
            "VSIM", KEY, "FP32", query.tobytes(), "WITHSCORES", "COUNT", k, *self._tail
        )
        ids = np.frombuffer(b"".join(found), dtype="<u8")
        similarities = np.fromiter(found.values(), dtype=np.float32, count=len(found))
        length = self._largest * float(np.linalg.norm(user))
        return ids, ((2 * similarities - 1) * length).astype(np.float32)


async def connect(job: Job, options: Mapping[str, Any]) -> RedisStore:
    """Open a pool on `options["socket"]`."""
    client = redis.asyncio.Redis(unix_socket_path=options["socket"], protocol=3, max_connections=64)
    await client.ping()
    return RedisStore(client, largest_norm(job.vectors), options)


def largest_norm(vectors: NDArray[np.float32]) -> float:
    """M, the largest norm of items (N, D)."""
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max()))
