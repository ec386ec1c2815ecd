"""`make image-check`: run the image as Kubernetes would, and hold it to what docs/deploy.md says of it.

Not root, no capability, a root that cannot be written to, and the bundle mounted read-only. Exits 0 only if all of it
holds. Needs the image (`make image`) and the Debian packages podman and runc.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from rich.console import Console
from rich.table import Table

from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub

IMAGE = "localhost/shortlist:latest"
ENVIRONMENT = {**os.environ, "STORAGE_DRIVER": "overlay"}
LOCKED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges")
# a container may have no more than its host's; the defaults of podman can be more
LIMITS = ("--ulimit=nofile=4096", "--ulimit=nproc=4096")
RUNTIME = ("--runtime=runc", "--cgroup-manager=cgroupfs", "--network=host")
SITE = "/opt/shortlist/lib/python3.11/site-packages"
UNWANTED = ("gcc", "g++", "cc", "c++", "as", "ld", "make", "pip", "pip3", "curl", "wget")
UNWANTED_PACKAGES = ("torch", "pip", "setuptools", "scipy", "sklearn", "duckdb", "ibis", "shortlist_training", "tests")
CONTENT = f"""
import json, os, shutil, sys
def size(path):
    found = [(each.st_ino, each.st_blocks * 512) for top, _, files in os.walk(path) for name in files
             for each in [os.lstat(os.path.join(top, name))]]
    return sum(dict(found).values())
packages = {{name: size(os.path.join("{SITE}", name)) for name in os.listdir("{SITE}")}}
tools = [name for name in {UNWANTED} if shutil.which(name)]
try:
    open("/written", "w")
    written = True
except OSError:
    written = False
json.dump(dict(packages=packages, opt=size("/opt"), usr=size("/usr"), tools=tools, uid=os.getuid(), written=written,
    capabilities=[line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")][0]), sys.stdout)
"""
# of all processes in the container and of the children that they have waited for, but not of the one that asks
CPU = """
import os
asked = [f"/proc/{pid}/stat" for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
ticks = [sum(map(int, open(path).read().rpartition(")")[2].split()[11:15])) for path in asked]
print(sum(ticks) / os.sysconf("SC_CLK_TCK"))
"""
_CONSOLE = Console()


def main(
    bundle_root: Annotated[Path, typer.Option(help="Folder that holds the bundles.")] = Path("build/bundles"),
    bundle_name: Annotated[str, typer.Option(help="Which of them to serve.")] = "online-retail",
    within_s: Annotated[float, typer.Option(help="From the start of the container to the first answer, at most.")] = 60,
) -> None:
    """Check content, start, answers and stop of the image."""
    faults = check_content()
    faults += check_serving(bundle_root.resolve(), bundle_name, within_s)
    if faults:
        sys.exit("image: " + "; ".join(faults))
    _CONSOLE.print("image: all good")


def check_content() -> list[str]:
    """Print what is in the image and how large it is; what should not be there."""
    found = json.loads(podman("run", "--rm", *LOCKED, *LIMITS, *RUNTIME, "--entrypoint=python", IMAGE, "-c", CONTENT))
    image = json.loads(podman("image", "inspect", IMAGE))[0]
    show_content(found, image["Size"])
    faults = [f"{tool} is in the image" for tool in found["tools"]]
    faults += [f"package {name} is in the image" for name in UNWANTED_PACKAGES if name in found["packages"]]
    config = image["Config"]
    if found["uid"] == 0 or not config["User"].split(":")[0].isdigit():
        faults.append(f"runs as uid {found['uid']}, User {config['User']}")
    if found["written"] or int(found["capabilities"], 16):
        faults.append("the root can be written to, or there are capabilities")
    if config.get("StopSignal") != "SIGTERM":
        faults.append("another stop signal than SIGTERM")
    return faults


def show_content(found: dict[str, Any], size: int) -> None:
    """Show sizes in MB of 10^6 bytes, as registries do; small packages are summed."""
    table = Table(title=f"{IMAGE}: {size / 1e6:.0f} MB uncompressed")
    table.add_column("part")
    table.add_column("MB", justify="right")
    packages = sorted(found["packages"].items(), key=lambda item: -item[1])
    large = [(f"  {name}", bytes_) for name, bytes_ in packages if bytes_ >= 2e6]
    rest = sum(bytes_ for _, bytes_ in packages) - sum(bytes_ for _, bytes_ in large)
    debian = size - found["opt"]
    rows = [("Debian: base, Python 3.11, tini", debian), ("/opt/shortlist", found["opt"]), *large, ("  others", rest)]
    for name, bytes_ in rows:
        table.add_row(name, f"{bytes_ / 1e6:.0f}")
    _CONSOLE.print(table)


def check_serving(root: Path, name: str, within_s: float) -> list[str]:
    """Start, ask health inside, ask every country outside, stop with SIGTERM; what went wrong."""
    port = free_port()
    start = time.monotonic()
    with container(root, name, port) as identity, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        info = first_answer(RetrievalStub(channel), start + within_s)
        serving_s = time.monotonic() - start
        cpu_s = float(podman("exec", identity, "python", "-c", CPU))
        _CONSOLE.print(f"from `podman run` to the first answer: {serving_s:.1f} s, {cpu_s:.1f} s of CPU inside")
        faults = [fault for country in info.countries for fault in ask(channel, country.country)]
        faults += check_health(identity, port)
        before_stop = time.monotonic()
        podman("stop", "--time=30", identity)
        _CONSOLE.print(f"from SIGTERM to the end, a drain_delay of 1 s in it: {time.monotonic() - before_stop:.1f} s")
        exit_code = int(podman("wait", identity).strip())
    return [*faults, *([f"SIGTERM ended it with exit code {exit_code}"] if exit_code else [])]


def check_health(identity: str, port: int) -> list[str]:
    """The image's own health check, as an engine would run it, against the port of this container."""
    configured = json.loads(podman("inspect", identity))[0]["Config"].get("Healthcheck")
    if configured is None:
        return ["there is no health check"]
    command = [part.replace(":50051", f":{port}") for part in configured["Test"][1:]]
    health = podman("exec", identity, *command).strip()
    return [] if health == "SERVING" else [f"health says {health}"]


def first_answer(stub: RetrievalStub, deadline: float) -> pb.GetServingInfoResponse:
    """Ask until the server answers; the answer. Ends the program at `deadline`."""
    while time.monotonic() < deadline:
        try:
            return stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=1, wait_for_ready=True)
        except grpc.RpcError:  # the lobby says UNAVAILABLE until the bundle is warm
            time.sleep(0.02)
    sys.exit("image: not serving in time")


def ask(channel: grpc.Channel, country: str) -> list[str]:
    """One request without a history: popularity and biases alone, whatever the bundle's sources are."""
    reply = RetrievalStub(channel).Retrieve(pb.RetrieveRequest(country=country, k=5), timeout=10)
    return [] if reply.candidates else [f"{country}: no candidates"]


@contextmanager
def container(root: Path, name: str, port: int) -> Iterator[str]:
    """Run the image's own command, locked, until the block ends; gives the container's id."""
    settings = {
        "SHORTLIST_BUNDLE_NAME": name,
        "SHORTLIST_HOST": "127.0.0.1",  # the network is the host's
        "SHORTLIST_PORT": port,
        "SHORTLIST_METRICS_PORT": -1,
        "SHORTLIST_DRAIN_DELAY_S": 1,
    }
    options = [f"--env={key}={value}" for key, value in settings.items()]
    identity = podman("run", "-d", *LOCKED, *LIMITS, *RUNTIME, f"--volume={root}:/bundles:ro", *options, IMAGE).strip()
    try:
        yield identity
    finally:
        _CONSOLE.print(podman("logs", identity), markup=False, highlight=False)
        podman("rm", "--force", identity)


def podman(*arguments: str) -> str:
    """Run podman; standard output with what it logged. Ends the program where it fails."""
    command = [shutil.which("podman") or sys.exit("image: podman is not installed: run `make tools`"), *arguments]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)
    if result.returncode != 0:
        sys.exit(f"image: podman {arguments[0]} ended with {result.returncode}: {result.stderr}")
    return result.stdout + (result.stderr if arguments[0] == "logs" else "")


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    typer.run(main)
