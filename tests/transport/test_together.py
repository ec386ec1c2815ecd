"""Calls that wait together: one call per group; the answers are as they would be alone."""

from h2_client import H2Client, framed
from toy_process import RETRIEVE, ToyServer, ask

from protos.retrieval.v1 import retrieval_pb2 as pb

_HEALTH = "/grpc.health.v1.Health/Check"


def _answers(server: ToyServer, requests: list[bytes]) -> list[tuple[str | None, int]]:
    """Send all while the server is busy; status and size of its group for each, in order."""
    with H2Client(server.port) as client:
        with server.held():
            streams = [client.begin(RETRIEVE) for _ in requests]
            for stream, request in zip(streams, requests, strict=True):
                client.write(stream, framed(request))
            server.hand_over(client)
            if server.transport == "native":
                # calls are handed over in turn: once a later one is answered, which goes elsewhere, all have been
                client.call(_HEALTH, b"")
        ended = [client.wait_for_end(stream) for stream in streams]
    return [
        (one.status, pb.RetrieveResponse.FromString(one.message).unknown_items if one.status == "0" else 0)
        for one in ended
    ]


def test_groups(server: ToyServer) -> None:
    """Three of one country and two of another, mixed, make two groups."""
    found = _answers(server, [ask("FR"), ask("DE"), ask("FR"), ask("DE"), ask("FR")])
    assert found == [("0", size) for size in (3, 2, 3, 2, 3)]


def test_a_fault_stays_with_its_call(server: ToyServer) -> None:
    """Among calls that wait together, bad ones get their own statuses and good ones their answers."""
    found = _answers(server, [ask(k=0), ask("FR"), ask("XX"), ask("ER"), ask("XX"), ask("ER"), b"\xff", ask("FR")])
    assert [status for status, _ in found] == ["3", "0", "5", "13", "5", "13", "13", "0"]


def test_groups_are_not_endless(server: ToyServer) -> None:
    """40 of one country are answered in groups of at most 16."""
    sizes = [size for _, size in _answers(server, [ask()] * 40)]
    assert sorted(sizes) == [8] * 8 + [16] * 32
