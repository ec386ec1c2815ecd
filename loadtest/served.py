"""The real server under a bench: `shortlist serve` as a process tree, its metrics, memory and time to start."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from loadtest.cpu import tree

_SERVING = re.compile(r"serving on (\S+): .*metrics (http\S+)")
_START_WITHIN_S = 600.0
_STOP_WITHIN_S = 30.0
_LAUNCH = "import sys; from server.cli import main; sys.exit(main())"


class NotServingError(RuntimeError):
    """The server ended, or did not say in time that it serves; has its log."""


@dataclass(frozen=True)
class ServedBundle:
    """A running server. `ready_s`: seconds from starting the process until it said that it serves."""

    address: str
    metrics_url: str
    pid: int
    ready_s: float

    def metrics(self) -> Mapping[tuple[str, ...], float]:
        """Scrape once: values by (name, label value, …), labels in alphabetical order of their names."""
        with urllib.request.urlopen(self.metrics_url, timeout=10) as reply:  # noqa: S310 - http, ours
            text = reply.read().decode()
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def memory_mib(self) -> dict[str, float]:
        """PSS and RSS of the whole tree; see `memory_mib`."""
        return memory_mib(tree(self.pid))


def memory_mib(pids: Sequence[int]) -> dict[str, float]:
    """Add up `pss` (shared pages divided by who shares them), `rss` and `anonymous` of processes, and count them."""
    total = {"pss": 0.0, "rss": 0.0, "anonymous": 0.0, "processes": 0.0}
    names = {"Pss:": "pss", "Rss:": "rss", "Anonymous:": "anonymous"}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        total["processes"] += 1
        for line in lines:
            name, _, rest = line.partition(" ")
            if name in names:
                total[names[name]] += int(rest.split()[0]) / 1024
    return total


def descriptors(pids: Sequence[int]) -> int:
    """Count open file descriptors of processes."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids if Path(f"/proc/{pid}/fd").exists())


@contextmanager
def served(
    root: Path,
    name: str,
    *,
    transport: str = "auto",
    workers: int = 0,
    profiles: str = "",
    code: Path | None = None,
    cpus: Sequence[int] = (),
    folder: Path = Path("build/bench/run"),
    inspector_port: int = -1,
) -> Iterator[ServedBundle]:
    """Run `shortlist serve` on a bundle until the block ends.

    profiles: TOML tables for the settings file. code: another checkout whose server to run. cpus: the only cores it may
    use. inspector_port: -1 is none: it would count as the server. Its log is `<folder>/<name>.log`. Raises
    `NotServingError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"{name}.toml"
    # an older checkout knows no such setting
    has_inspector = ((code or Path()) / "server/inspector_keeper.py").exists()
    inspector = f"[inspector]\nport = {inspector_port}\n" if has_inspector else ""
    config.write_text(
        f'[bundle]\nroot = "{root.resolve()}"\nname = "{name}"\n[server]\nport = 0\nworkers = {workers}\n'
        f'transport = "{transport}"\ndrain_delay_s = 0.0\n[metrics]\nport = 0\n{inspector}{profiles}'
    )
    environment = {**os.environ, "PYTHONPATH": str((code or Path()).resolve())}
    log = folder / f"{name}.log"
    started = time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own server
            [sys.executable, "-c", _LAUNCH, "serve", "--config", str(config.resolve())],
            stdout=subprocess.DEVNULL,
            stderr=sink,
            cwd=code,
            env=environment,
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,  # noqa: PLW1509 - no threads yet
        )
        try:
            yield _ready(process, log, started)
        finally:
            _stop(process)


def _ready(process: "subprocess.Popen[bytes]", log: Path, started: float) -> ServedBundle:
    """Wait for the line that says it serves."""
    while time.monotonic() - started < _START_WITHIN_S:
        match = _SERVING.search(log.read_text(errors="replace"))
        if match:
            return ServedBundle(match[1], match[2], process.pid, time.monotonic() - started)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    message = f"the server does not serve; it ended with {process.poll()}:\n{log.read_text(errors='replace')}"
    raise NotServingError(message)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
