"""What is asked: encoded requests drawn from a bundle's sample users, countries by how many users they have."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from protos.retrieval.v1 import retrieval_pb2 as pb


def requests_of(bundle: Path, *, count: int, k: int, max_history: int, profile: str, seed: int) -> list[bytes]:
    """Draw `count` encoded RetrieveRequests from `samples/timelines.jsonl`; the same seed draws the same ones."""
    lines = (bundle / "samples" / "timelines.jsonl").read_text(encoding="utf-8").splitlines()
    timelines = [json.loads(line) for line in lines]
    rng = np.random.default_rng(seed)
    return [
        _request(timelines[choice], k, max_history, profile) for choice in rng.integers(0, len(timelines), size=count)
    ]


def _request(timeline: dict[str, Any], k: int, max_history: int, profile: str) -> bytes:
    recent = slice(max(0, len(timeline["item_ids"]) - max_history), None)
    return pb.RetrieveRequest(
        country=timeline["country"],
        history=[
            pb.Interaction(item_id=item_id, type=kind)
            for item_id, kind in zip(timeline["item_ids"][recent], timeline["types"][recent], strict=True)
        ],
        k=k,
        exclude_history=True,
        profile=profile,
    ).SerializeToString()
