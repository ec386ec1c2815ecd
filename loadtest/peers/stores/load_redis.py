"""`python -m loadtest.peers.stores.load_redis JOB SOCKET QUANTISATION`: VADD of every item, a thread per core."""

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import redis
from rich.progress import Progress, TaskID

from loadtest.peers.job import Job
from loadtest.peers.stores.redis import KEY, largest_norm

_CHUNK = 500
_BREADTH = 200


def main() -> None:
    """Add all items, then save the database file, which holds the graph too."""
    job, address, quantisation = Job(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
    largest = largest_norm(job.vectors)
    count = len(job.vectors)
    threads = os.cpu_count() or 1
    with Progress() as progress, ThreadPoolExecutor(threads) as pool:
        task = progress.add_task(f"VADD {quantisation}", total=count)
        bounds = np.linspace(0, count, threads + 1).astype(int)
        for done in [
            pool.submit(_add, job, address, quantisation, largest, range(start, end), progress, task)
            for start, end in itertools.pairwise(bounds.tolist())
        ]:
            done.result()
    client = _client(address)
    client.config_set("save", "")
    client.save()


def _client(address: str) -> redis.Redis:
    # 500 items into a graph of a million, or all of it onto the disk, take longer than redis-py waits unless told
    return redis.Redis(unix_socket_path=address, socket_timeout=None)


def _add(
    job: Job, address: str, quantisation: str, largest: float, rows: range, progress: Progress, task: TaskID
) -> None:
    client = _client(address)
    for start in range(rows.start, rows.stop, _CHUNK):
        end = min(rows.stop, start + _CHUNK)
        items = np.asarray(job.vectors[start:end])
        added = np.sqrt(np.maximum(largest**2 - np.einsum("nd,nd->n", items, items), 0)).astype(np.float32)
        names = job.item_ids[start:end].astype("<u8")
        pipe = client.pipeline(transaction=False)
        for name, item in zip(names, np.column_stack([items, added]), strict=True):
            # CAS looks for neighbours on a thread of its own, so that both cores build
            pipe.execute_command(
                "VADD", KEY, "FP32", item.tobytes(), name.tobytes(), "CAS", quantisation, "EF", _BREADTH
            )
        pipe.execute()
        progress.advance(task, end - start)


if __name__ == "__main__":
    main()
