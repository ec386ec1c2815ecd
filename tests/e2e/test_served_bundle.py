"""A real server over real bundles: what it serves is exact, and damaged bundles never reach it."""

import os
import re
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from damage import DAMAGES, ENCODER_DAMAGES
from exact import read_country, share_found
from index_store.content import IndexPolicy
from index_store.location import set_current
from index_store.publish import publish
from processes import ServerProcess, serving
from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub
from tiny_bundle import POLICY, tiny_content

ALL_DAMAGES = DAMAGES | ENCODER_DAMAGES


def test_served_top_100_has_the_recall_that_the_manifest_states(tmp_path: Path) -> None:
    """Through gRPC, every country reaches its target against numpy over the files, with exact scores."""
    sizes = {"AA": 3000, "BB": 1200, "CC": 90}
    policy = IndexPolicy(exact_below=1000, engines=("hnsw",))
    path = publish(tiny_content(5, sizes=sizes, dim=24), root=tmp_path, name="tiny", version="v1", policy=policy)
    rng = np.random.default_rng(11)
    with (
        serving(["--bundle-root", str(tmp_path), "--bundle-name", "tiny"]) as (_, address, _),
        grpc.insecure_channel(address) as channel,
    ):
        stub = RetrievalStub(channel)
        for code, size in sizes.items():
            country = read_country(path, code)
            shares = []
            for _ in range(60):
                history = country.item_ids[rng.integers(0, size, size=rng.integers(1, 7))]
                interactions = [pb.Interaction(item_id=int(item)) for item in history]
                reply = stub.Retrieve(pb.RetrieveRequest(country=code, history=interactions, k=100), timeout=10)
                item_ids = [candidate.item_id for candidate in reply.candidates]
                scores = country.scores(history)
                by_id = dict(zip(country.item_ids.tolist(), scores, strict=True))
                np.testing.assert_allclose(
                    [c.score for c in reply.candidates], [by_id[i] for i in item_ids], rtol=1e-4, atol=1e-4
                )
                assert len(set(item_ids)) == min(100, size)
                shares.append(share_found(country, scores, item_ids, 100))
            assert country.engine == ("exact" if size < 1000 else "hnsw")
            assert np.mean(shares) >= country.recall_target == 0.95


@pytest.fixture(scope="module")
def damaged_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a good version to serve."""
    root = tmp_path_factory.mktemp("root")
    publish(tiny_content(), root=root, name="tiny", version="good", policy=POLICY)
    return root


@pytest.fixture(scope="module")
def server(damaged_root: Path) -> Iterator[tuple[ServerProcess, str, str]]:
    """One server that meets all the damages, one after the other."""
    with serving(["--bundle-root", str(damaged_root), "--bundle-name", "tiny", "--workers", "1"]) as running:
        yield running


@pytest.mark.parametrize("number", range(len(ALL_DAMAGES)), ids=list(ALL_DAMAGES))
def test_a_damaged_bundle_is_refused_and_the_good_one_goes_on(
    damaged_root: Path, server: tuple[ServerProcess, str, str], number: int
) -> None:
    """A reload into each damage is refused by name in the log; the same server then answers from the good version."""
    process, address, _ = server
    damage, error = list(ALL_DAMAGES.values())[number]
    version = f"damaged-{number}"
    bad = damaged_root / "tiny" / version
    shutil.copytree(damaged_root / "tiny" / "good", bad)
    manifest = bad / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": "good"', f'"version": "{version}"'))
    damage(bad)
    set_current(damaged_root, "tiny", version)
    seen = len(process.lines)
    os.kill(process.process.pid, signal.SIGHUP)
    process.wait_for(rf"reload.*{error.__name__} \({error.rule}\)", 30, after=seen)
    with grpc.insecure_channel(address) as channel:
        reply = RetrievalStub(channel).Retrieve(pb.RetrieveRequest(country="FR", k=5), timeout=10)
    assert reply.bundle_version == "good"
    assert len(reply.candidates) == 5


def test_refused_reloads_are_counted(server: tuple[ServerProcess, str, str]) -> None:
    """The metrics have as many refused reloads as there were damages before this test."""
    _, _, metrics = server
    text = urllib.request.urlopen(metrics, timeout=10).read().decode()  # noqa: S310 - our own http URL
    count = re.search(r'shortlist_reloads_total\{outcome="refused"\} (\S+)', text)
    assert count is not None
    assert float(count[1]) == len(ALL_DAMAGES)
