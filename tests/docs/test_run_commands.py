"""Every command that a page prints is executed here, or is told where else it is."""

import fnmatch
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format
from page_commands import Block, blocks, commands, lines_of
from reader import Reader, reader
from running_server import ROOT

from processes import serving
from protos.retrieval.v1 import retrieval_pb2
from server.settings import load_settings
from shortlist_training.config import LoadedProject

# What is not executed here: a pattern, why not, and which test or target does the same.
ELSEWHERE = {
    "make run": ("is `make demo` and `make serve`", "make smoke"),
    "make MARCH=* run": ("compiles hnswlib; the image's Dockerfile compiles the same way", "make image-check"),
    "make demo": ("three minutes of training", "make smoke"),
    "make serve": ("has the demo's fixed ports; the server below has the same settings file", "make smoke"),
    "make test": ("is this", "make test"),
    "make smoke": ("trains the demo", "make smoke"),
    "make lint": ("a minute", "make lint"),
    "make tools": ("installs from Debian", "make test"),
    "make image": ("minutes; needs root and buildah", "make image-check"),
    "make image-check": ("minutes; needs root and podman", "make image-check"),
    "make docs": ("is built strictly in its own test", "tests/docs/test_site.py"),
    "make dashboards": ("writes into the repository; what it would write is compared", "tests/deploy/test_rules.py"),
    "make recall-drill": ("three minutes; in short in the suite", "tests/deploy/test_prometheus.py"),
    "make inspector-screenshots": ("needs the demo; the same browser and page", "tests/inspector/test_page_bench.py"),
    "make bench": ("half an hour; one part of it, tiny", "tests/loadtest/test_bench.py"),
    "python -m loadtest.bench --only *": ("half an hour; one part of it, tiny", "tests/loadtest/test_bench.py"),
    "make bench-quick": ("a million items; over a few thousand", "tests/loadtest/test_bench_quick.py"),
    "make bench-compare REV=*": ("makes another checkout; what it runs there", "tests/loadtest/test_bench_quick.py"),
    "make bench-inspector": ("a million items; 200 countries in small", "tests/inspector/test_many_countries.py"),
    "make bench-sources": ("a million items", "make bench-sources"),
    "make bench-peers": ("hours; one peer, tiny", "tests/loadtest/test_peers.py"),
    "python -m loadtest.peers *": ("hours; one peer, tiny", "tests/loadtest/test_peers.py"),
    "make soak": ("two hours; two short runs", "tests/loadtest/test_soak.py"),
    "python -m loadtest.soak *": ("half an hour; two short runs", "tests/loadtest/test_soak.py"),
    "python -m loadtest.bench_engines*": ("minutes; tiny", "tests/loadtest/test_bench_engines.py"),
    "python -m loadtest.bench_order*": ("minutes; tiny", "tests/loadtest/test_bench_order.py"),
    "python -m loadtest.in_process *": ("a million items; a few thousand", "tests/loadtest/test_bench.py"),
    "python -m loadtest.draw_log*": ("a million items; a few thousand", "tests/loadtest/test_draw_log.py"),
    "shortlist-train run build/drawn-log/*": ("a million items; a few thousand", "tests/loadtest/test_draw_log.py"),
    "shortlist-train vectors build/drawn-log/*": ("a million items; a tiny log", "tests/training/test_sources_run.py"),
    "shortlist-train train build/drawn-log/*": ("a million items; a tiny log", "tests/training/test_sources_run.py"),
    "python -m loadtest.bench_request": ("a million items", "make bench"),
    "shortlist-train run training/demo/*": ("three minutes of training", "make smoke"),
    "shortlist* training/examples/movielens-1m/*": (
        "needs MovieLens, and minutes; a tiny log instead",
        "tests/training/test_served_evaluation.py",
    ),
    "*python -m loadtest.bench_encoders": ("minutes", "make bench"),
    "shortlist-train reproduce*": ("hours; each system's parts, tiny", "tests/training/test_reproduction*.py"),
    "pip install*": ("would change this environment; the Makefile installs the same packages", "make test"),
    "docker build *": ("needs Docker's engine; buildah runs the same Dockerfile", "make image-check"),
    "docker run *": ("needs Docker's engine; podman runs the same image as restricted", "make image-check"),
    "podman run": ("a name, not a command line", "make image-check"),
    "python tests/image.py *": ("needs the image", "make image-check"),
    "kubectl [!k]*": ("needs a cluster; what `kubectl apply -k` sends is checked", "tests/deploy/test_manifests.py"),
    "kubectl kustomize": ("with both overlays", "tests/deploy/test_manifests.py"),
    "grpcurl *": ("has no kept package; its request is sent by grpcio", "tests/docs/test_run_commands.py"),
    "ghz *": ("is on no registry; its configuration is checked", "tests/deploy/test_load_tools.py"),
    "ssh -L *": ("needs another machine", "tests/inspector/test_process.py"),
    "shortlist --debug …": ("a name, not a command line", "tests/e2e/test_cli_serve.py"),
}
# What is put for names that stand for the reader's own, and for ports that may be taken; {these} are the world's.
FILLED_IN = {
    r"BUNDLE": "build/bundles/online-retail/v1",
    r"ROOT/NAME/VERSION": "build/bundles/online-retail/v1",
    r"online-retail/VERSION": "online-retail/v1",
    r"\b(your|PROJECT)\.toml|\bCONFIG\b": "shop.toml",
    r"SETTINGS\.toml": "settings.toml",
    r"^shortlist-train run$": "shortlist-train run shop.toml",
    r"evaluate shop\.toml --serve \S+": "evaluate shop.toml --serve {shop}",
    r"127\.0\.0\.1:50051|(?<=--address )…": "{address}",
    r"--server-pid (PID|…)": "--server-pid {pid}",
    r"^(kill -HUP)$": r"\1 {pid}",
    r"^(ps -o comm)$": r"\1 {pid}",
    r"^(shortlist (query|health))\b": r"\1 --address {address}",
    r"^(shortlist query (?!.*--country).*?)( --user)?$": r"\1 --country FR --user 12413",
    r"^(shortlist verify|shortlist inspect)$": r"\1 build/bundles/online-retail",
    r"^((?:\w+=\S+ )?shortlist serve)$": r"\1 --config deploy/demo.toml",
    r"^((?:\w+=\S+ )?shortlist serve (?!.*--print-config).*)$": r"\1 --port 0 --metrics-port 0 --inspector-port -1",
    r"^(python -m loadtest)$": r"\1 build/bundles/online-retail/v1",
    r"^(python -m loadtest (?!.*--address).*)$": r"\1 --address {address}",
    r"^make": "make --old-file=.venv/.run --old-file=.venv/.dev",
}
# Less of the same, so that it takes seconds.
SHORTER = {
    r"(python -m loadtest .*?)(--rates \S+ --seconds \d+)?$": r"\1 --rates 20 --seconds 0.5 --warm-up 0.2",
    r"RATE=200 -e SECONDS=30": "RATE=20 -e SECONDS=1 -e P99_MS=10000 -e DEADLINE=10s",
    r"^locust .*": r"\g<0> --headless --users 2 --run-time 2s --deadline 10",
    r"bench_metrics$": "bench_metrics --rounds 2",
    r"loadtest\.clients$": "loadtest.clients --calls 200 --runs 1",
    r"loadtest\.fit .*": r"\g<0> --reference 2000",
    r"docker compose (.*) up --build": r"docker-compose \1 config --quiet",
    r"kubectl apply -k": "kubectl kustomize",
}
# Commands whose files another command makes.
FIRST = {
    "build/load/requests.json": "python -m loadtest.payloads build/bundles/online-retail",
    "settings.toml": "shortlist-train run shop.toml",
    "protoc -I.": "mkdir -p gen",
    "overlays/mine": "cp -r deploy/kubernetes/overlays/example deploy/kubernetes/overlays/mine",
}
# What an indented block has that is no command but a drawing.
DRAWN = re.compile(r"[→─│└]|<root>")


def filled_in(world: Reader, command: str) -> str:
    """Put what the tables say."""
    for table in (FILLED_IN, SHORTER):
        for pattern, text in table.items():
            command = re.sub(pattern, text, command)
    return re.sub(r"\{(address|pid|shop)\}", lambda match: str(getattr(world, match[1])), command)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Everything served."""
    with reader(tmp_path_factory.mktemp("reader")) as found:
        yield found


def _elsewhere(command: str) -> bool:
    return any(fnmatch.fnmatchcase(command, pattern) for pattern in ELSEWHERE)


RUN = [command for command in commands() if not _elsewhere(command)]


def test_every_block_is_understood() -> None:
    """An indented one has a command in every line, or is a drawing."""
    known = set(commands())
    for block in blocks():
        if block.indented and not DRAWN.search(block.text):
            unknown = [line for line in lines_of(block) if line.replace(".venv/bin/", "") not in known]
            assert [line for line in unknown if line] == [], block.page


@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_what_is_executed_elsewhere_is(pattern: str) -> None:
    """The command is still printed, and the test or target that stands in for it exists."""
    instead = ELSEWHERE[pattern][1]
    assert fnmatch.filter(commands(), pattern)
    if instead.startswith("make "):
        assert re.search(rf"^{instead.removeprefix('make ')}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:
        assert list(ROOT.glob(instead))


@pytest.mark.parametrize("command", RUN)
def test_a_printed_command_runs(world: Reader, command: str) -> None:
    """It ends with exit code 0; a server serves, and ends so when it is told to."""
    filled = filled_in(world, command)
    for file, first in FIRST.items():
        if file in filled and first != command:
            assert world.run(first).returncode == 0
    if "shortlist serve" in filled and "--print-config" not in filled:
        assert serve(world, filled) == 0
        return
    result = world.run(filled)
    assert result.returncode == 0, f"{filled}\n{result.stdout}{result.stderr}"


def serve(world: Reader, command: str) -> int:
    """Run a server until it serves, and give its exit code after SIGTERM."""
    variables, _, arguments = command.partition("shortlist serve")
    settings = dict(each.split("=", 1) for each in variables.split())
    with serving(arguments.split(), cwd=world.folder, env={**os.environ, **settings}) as (server, _, _):
        return server.stop()


@pytest.mark.parametrize("block", [each for each in blocks() if each.language == "python"], ids=lambda each: each.page)
def test_a_printed_example_runs(world: Reader, block: Block) -> None:
    """As a program of its own, with the server's address and time enough on a busy machine."""
    program = block.text.replace("=0.05", "=10").replace("127.0.0.1:50051", world.address)
    program = program.replace(f'Client("{world.address}")', f'Client("{world.address}", timeout_s=10)')
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=world.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr


def test_the_printed_grpcurl_request_is_one(world: Reader) -> None:
    """Its JSON is a message of the proto that the server answers, and its method is one."""
    for command in fnmatch.filter(commands(), "grpcurl *"):
        _, _, _, data, _, method = shlex.split(command)
        request = json_format.Parse(data, retrieval_pb2.RetrieveRequest())
        service, _, name = method.partition("/")
        assert name in retrieval_pb2.DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods_by_name
        with grpc.insecure_channel(world.address) as channel:
            reply = channel.unary_unary(f"/{method}")(request.SerializeToString(), timeout=10)
        assert len(retrieval_pb2.RetrieveResponse.FromString(reply).candidates) == request.k


def test_printed_settings_are_settings(tmp_path: Path) -> None:
    """Blocks of TOML are read as the files that they are parts of: a server's settings, or a project."""
    of: dict[str, list[str]] = {}
    for block in blocks():
        if block.language == "toml":
            of.setdefault(block.page, []).append(block.text)
    assert set(of) == {"training/README.md", "docs/configuration.md", "docs/engines.md"}
    settings, project = tmp_path / "settings.toml", tmp_path / "project.toml"
    settings.write_text("".join(of["docs/configuration.md"]))
    assert "feed" in load_settings(settings, {}, {}).profiles
    project.write_text("".join([*of["training/README.md"], *of["docs/engines.md"]]))
    assert LoadedProject.read(project).project.index_policy().recall_target == 0.98


@pytest.mark.parametrize("target", ["load", "rank", "dashboard"])
def test_without_a_server_a_line_says_so(world: Reader, target: str) -> None:
    """No traceback: what is missing, and where it was looked for."""
    command = (
        f"make --old-file=.venv/.run --old-file=.venv/.dev {target} SERVER=127.0.0.1:1 INSPECTOR=http://127.0.0.1:1/"
    )
    result = world.run(command)
    assert result.returncode != 0
    assert "127.0.0.1:1" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
