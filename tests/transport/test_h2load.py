"""nghttp2's load generator against both transports: a client that shares no code with gRPC, and many calls of it."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from toy_process import RETRIEVE, ToyServer, ask

H2LOAD = shutil.which("h2load")
CALLS = 2_000

pytestmark = pytest.mark.skipif(
    H2LOAD is None, reason="h2load is missing: run `make tools`, or install Debian's nghttp2-client"
)


def _h2load(server: ToyServer, body: Path, *options: str) -> str:
    headers = ("content-type: application/grpc", "te: trailers")
    command = [str(H2LOAD), f"--data={body}", *(f"--header={each}" for each in headers), *options]
    return subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}{RETRIEVE}"], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def _new(counts: Mapping[tuple[str, str], float], before: Mapping[tuple[str, str], float]) -> Mapping[str, float]:
    found = {code: count - before.get((method, code), 0) for (method, code), count in counts.items()}
    return {code: count for code, count in found.items() if count}


@pytest.mark.parametrize(("connections", "streams"), [(1, 1), (1, 64), (50, 4)])
def test_every_call_is_answered(server: ToyServer, tmp_path: Path, connections: int, streams: int) -> None:
    """One connection and many, one call at a time and many: all get HTTP 200, and are counted OK."""
    message = ask(k=100)
    body = tmp_path / "body"
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    before = server.handled()
    said = _h2load(server, body, f"-n{CALLS}", f"-c{connections}", f"-m{streams}")
    expected = (
        f"requests: {CALLS} total, {CALLS} started, {CALLS} done, {CALLS} succeeded, 0 failed, 0 errored, 0 timeout"
    )
    assert expected in said
    assert _new(server.handled(), before) == {"OK": CALLS}
