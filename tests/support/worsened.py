"""A tiny bundle that is worse than it says, and older."""

import json
from dataclasses import replace
from pathlib import Path

from index_store.content import BundleContent, IndexPolicy
from index_store.manifest import MANIFEST_NAME
from index_store.publish import publish
from tiny_bundle import POLICY


def publish_worsened(
    root: Path, content: BundleContent, *, created_ms: int | None = None, policy: IndexPolicy = POLICY
) -> Path:
    """Publish, as v2, graphs that hardly hang together, and say what publishing would not: that they reach the target.

    Only the answers to users without a history are golden, which no graph gives. policy: what good graphs are
    published with.
    """
    golden = [case for case in content.golden if case.country == "DE" or not len(case.history)]
    grid = (policy.recall_k,)
    poor = replace(policy, engines=("hnsw",), m=2, ef_construction=2, ef_grid=grid, recall_target=0.05)
    version = publish(replace(content, golden=golden), root=root, name="tiny", version="v2", policy=poor)
    path = version / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    manifest["created_ms"] = created_ms or manifest["created_ms"]
    for country in manifest["countries"].values():
        entry = country["led"]
        if entry["engine"] == "hnsw":
            entry["recall"] = entry["recall_target"] = policy.recall_target
            for point in entry["curve"]:
                point["recall"] = policy.recall_target
    path.write_text(json.dumps(manifest))
    return version
