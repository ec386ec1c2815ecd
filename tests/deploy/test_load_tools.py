"""Load generators of others against a real server, tiny; ghz, whose binary is on no registry, by its options."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_server import eventually

from index_store.publish import publish
from processes import serving
from protos.retrieval.v1 import retrieval_pb2
from tiny_bundle import POLICY
from tiny_sources import full_content

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
# The fields of `Config` in runner/config.go of github.com/bojand/ghz at 37ed69e00c424407cccf45a177be4a72b2d54e39 that a
# configuration file may have, by the type of their JSON.
GHZ_OPTIONS = {
    str: {
        "proto",
        "protoset",
        "call",
        "cacert",
        "cert",
        "key",
        "cname",
        "authority",
        "concurrency-schedule",
        "data-file",
    }
    | {"concurrency-step-duration", "concurrency-max-duration", "duration", "duration-stop", "max-duration", "timeout"}
    | {"binary-file", "metadata-file", "stream-interval", "output", "format", "connect-timeout", "keepalive", "name"}
    | {"debug", "host", "load-schedule", "load-step-duration", "load-max-duration"},
    int: {
        "skipFirst",
        "total",
        "concurrency",
        "concurrency-start",
        "concurrency-end",
        "concurrency-step",
        "connections",
    }
    | {"rps", "cpus", "load-start", "load-end", "load-step"},
    bool: {"skipTLS", "insecure", "async", "enable-compression"},
    list: {"import-paths"},
    dict: {"metadata", "tags", "reflect-metadata"},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with every source."""
    return publish(
        full_content(1), root=tmp_path_factory.mktemp("root"), name="tiny", version="v1", policy=POLICY
    ).parent


@pytest.fixture(scope="module")
def address(bundle: Path) -> Iterator[str]:
    """A server of it."""
    with serving(["--bundle-root", str(bundle.parent), "--bundle-name", "tiny", "--workers", "1"]) as (_, address, _):
        yield address


@pytest.fixture(scope="module")
def payloads(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests as JSON, made as docs/load-testing.md says."""
    out = tmp_path_factory.mktemp("load") / "requests.json"
    command = [sys.executable, "-m", "loadtest.payloads", str(bundle), "--out", str(out), "--count", "20", "-k", "10"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return out


def test_payloads_are_requests(payloads: Path) -> None:
    """Of the proto, with a history each."""
    from google.protobuf import json_format  # noqa: PLC0415 - only this test speaks of it

    requests = [
        json_format.ParseDict(each, retrieval_pb2.RetrieveRequest()) for each in json.loads(payloads.read_text())
    ]
    assert len(requests) == 20
    assert all(len(request.history) and request.k == 10 for request in requests)


def locust(address: str, bundle: Path, *options: str) -> list[str]:
    """The command line of a run."""
    program = [str(BIN / "locust"), "-f", "loadtest/locust/locustfile.py", "--host", address, "--bundle", str(bundle)]
    return [*program, "--users", "6", "--spawn-rate", "6", "--k", "10", "--deadline", "10", *options]


def test_locust_runs_without_its_page(address: str, bundle: Path, tmp_path: Path) -> None:
    """Every kind of call is made, and none fails."""
    report = tmp_path / "report"
    options = ["--headless", "--run-time", "5s", "--csv", str(report), "--profiles", ",default"]
    run = subprocess.run(
        locust(address, bundle, *options), cwd=ROOT, capture_output=True, text=True, check=False, timeout=90
    )
    assert run.returncode == 0, run.stderr
    rows = [line.split(",") for line in Path(f"{report}_stats.csv").read_text().splitlines()[1:]]
    kinds = {name.split()[0]: int(count) for _, name, count, *_ in rows}
    assert kinds.keys() >= {"Retrieve", "SimilarItems", "RetrieveBatch"}
    assert all(int(failed) == 0 for _, _, _, failed, *_ in rows)


def test_locust_shows_its_page(address: str, bundle: Path) -> None:
    """With our options as fields of the form, and figures while it runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    options = ["--web-host", "127.0.0.1", "--web-port", str(port), "--autostart"]
    with subprocess.Popen(locust(address, bundle, *options), cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            page = eventually(lambda: _page(f"http://127.0.0.1:{port}/"), within_s=60)
            assert "deadline" in page
            eventually(
                lambda: json.loads(_page(f"http://127.0.0.1:{port}/stats/requests"))["total_rps"] > 0, within_s=60
            )
        finally:
            process.terminate()


def _page(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 - http, ours
            return str(reply.read().decode())
    except OSError:
        return ""


def test_k6_keeps_its_rate(address: str, payloads: Path, tmp_path: Path) -> None:
    """Open loop over gRPC with the proto: no call fails, none is dropped."""
    summary = tmp_path / "summary.json"
    settings = {"ADDRESS": address, "REQUESTS": payloads, "RATE": 20, "SECONDS": 2, "P99_MS": 10_000, "DEADLINE": "10s"}
    options = [f"--env={name}={value}" for name, value in settings.items()]
    command = [BIN / "k6", "run", "--quiet", "--no-usage-report", "--summary-export", summary, *options]
    run = subprocess.run(
        [*map(str, command), "loadtest/k6/retrieve.js"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["checks"]["fails"] == 0
    assert metrics["iterations"]["count"] >= 35


def test_ghz_is_configured_by_options_that_it_has() -> None:
    """Every key with its type; the method and its files are ours; open loop over several connections."""
    config = json.loads((ROOT / "loadtest" / "ghz" / "retrieve.json").read_text())
    for key, value in config.items():
        assert key in GHZ_OPTIONS[type(value)], f"{key} is no {type(value).__name__} of ghz's"
    service, _, method = config["call"].rpartition(".")
    assert method in retrieval_pb2.DESCRIPTOR.services_by_name["Retrieval"].methods_by_name
    assert service == retrieval_pb2.DESCRIPTOR.services_by_name["Retrieval"].full_name
    assert (ROOT / config["proto"]).exists()
    assert config["async"]
    assert 1 < config["connections"] <= config["concurrency"]
