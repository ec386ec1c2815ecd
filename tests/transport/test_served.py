"""The real server over both transports: the same bundle gives the same answers and the same counts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from running_server import RunningServer, call_raw, eventually, request

from index_store.publish import publish
from protos.retrieval.v1 import retrieval_pb2 as pb
from tiny_bundle import POLICY, tiny_content

Counts = Mapping[tuple[str, ...], float]
TIMES = ("encode_us", "search_us", "fuse_us")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle root with one version."""
    folder = tmp_path_factory.mktemp("bundles")
    publish(tiny_content(1), root=folder, name="tiny", version="v1", policy=POLICY)
    return folder


def _without_times(reply: pb.RetrieveResponse) -> pb.RetrieveResponse:
    for source in (reply, *reply.sources):
        for name in TIMES:
            if name in source.DESCRIPTOR.fields_by_name:
                source.ClearField(name)
    return reply


def _replies(server: RunningServer) -> Sequence[pb.RetrieveResponse]:
    asked = [
        request("FR", 50, (7,), exclude_history=True),
        request("DE", 5, ()),
        request("US", 1, (1, 2), include_item_details=True),
    ]
    batch = pb.RetrieveBatchRequest(requests=asked).SerializeToString()
    with server.channel() as channel:
        single = [pb.RetrieveResponse.FromString(call_raw(channel, one.SerializeToString())) for one in asked]
        together = pb.RetrieveBatchResponse.FromString(call_raw(channel, batch, "RetrieveBatch"))
    return [_without_times(reply) for reply in (*single, *together.responses)]


def _counts(server: RunningServer) -> Counts:
    """Counters of calls and answers, without those of time."""
    return {
        key: value
        for key, value in server.metrics().items()
        if key[0].endswith("_total")
        and not key[0].startswith(("python", "process", "shortlist_process", "shortlist_live"))
    }


def _wait_for_batch(server: RunningServer) -> None:
    """Until what was asked last is counted."""
    eventually(lambda: server.metrics()[("shortlist_batch_size_count",)] == 1)


def test_both_transports_serve_alike(root: Path, tmp_path: Path) -> None:
    """Replies are equal but for their times, single and in batches, and so are the metrics after them."""
    seen: list[tuple[Sequence[pb.RetrieveResponse], Counts]] = []
    for transport in ("grpcio", "native"):
        settings = {"bundle_root": root, "bundle_name": "tiny", "transport": transport, "workers": 1}
        with RunningServer(tmp_path / f"{transport}.log", **settings) as server:
            server.wait_until_serving()
            assert f"serving by the {transport} transport" in server.log
            replies = _replies(server)
            _wait_for_batch(server)
            seen.append((replies, _counts(server)))
    assert len(seen[0][0]) == 6
    assert seen[0] == seen[1]


@pytest.mark.parametrize("transport", ["grpcio", "native"])
def test_a_wrong_transport_is_refused(transport: str, tmp_path: Path) -> None:
    """A name that is nearly right stops the start."""
    with RunningServer(tmp_path / "log", transport=f"{transport}s") as server:
        assert server.wait_for_exit() != 0
        assert "server.transport" in server.log
