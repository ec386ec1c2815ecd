"""`python -m loadtest.peers.stores.load_milvus JOB SERVER COLLECTION`: insert every item, build the index, load it."""

import sys
from pathlib import Path

import numpy as np
from pymilvus import DataType, MilvusClient
from rich.progress import Progress

from loadtest.peers.job import Job

_CHUNK = 10_000
_PATIENCE_S = 1_800


def main() -> None:
    """Make the collection unless it is whole; load it in any case."""
    job, server, collection = Job(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
    client = MilvusClient(uri=f"http://{server}", timeout=300)
    if not _whole(client, collection, len(job.vectors)):
        _build(client, job, collection)
    client.load_collection(collection, timeout=_PATIENCE_S)


def _whole(client: MilvusClient, collection: str, items: int) -> bool:
    if not client.has_collection(collection):
        return False
    if int(client.get_collection_stats(collection)["row_count"]) == items and client.list_indexes(collection):
        return True
    client.drop_collection(collection)
    return False


def _build(client: MilvusClient, job: Job, collection: str) -> None:
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=job.vectors.shape[1])
    client.create_collection(collection, schema=schema, consistency_level="Eventually")
    count = len(job.vectors)
    with Progress() as progress:
        task = progress.add_task(f"inserting into {collection}", total=count)
        for start in range(0, count, _CHUNK):
            ids = job.item_ids[start : start + _CHUNK].tolist()
            items = np.asarray(job.vectors[start : start + _CHUNK])
            client.insert(collection, [{"id": id_, "v": item} for id_, item in zip(ids, items, strict=True)])
            progress.advance(task, len(ids))
        client.flush(collection, timeout=_PATIENCE_S)
        progress.add_task("building the index", total=None)
        _index(client, collection, count)


def _index(client: MilvusClient, collection: str, count: int) -> None:
    kinds = {
        "scann": ("SCANN", {"nlist": max(16, round(count**0.5))}),
        "hnsw": ("HNSW", {"M": 16, "efConstruction": 200}),
    }
    kind, parameters = kinds[collection]
    indices = client.prepare_index_params()
    indices.add_index("v", index_type=kind, metric_type="IP", params=parameters)
    client.create_index(collection, indices, timeout=_PATIENCE_S, sync=True)


if __name__ == "__main__":
    main()
