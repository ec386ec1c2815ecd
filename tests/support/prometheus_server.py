"""A real Prometheus of Debian's package, on a free port, with the rules of deploy/ as they are or in short."""

import json
import math
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from running_server import eventually
from short_rules import shorten

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules"
OFTEN = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}


def tool(name: str) -> str:
    """The path of a program of Debian's package `prometheus`; fails the test in words where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is not installed: run `make tools`, or apt-get install prometheus")
    return path


class Prometheus:
    """Scrapes `jobs` ({job: [host:port]}) and evaluates the rules, their durations divided by `factor`.

    intervals: the section `global` of its configuration.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Mapping[str, Sequence[str]],
        factor: float = 1,
        intervals: Mapping[str, str] = OFTEN,
    ) -> None:
        self._folder = folder
        (folder / "rules").mkdir(parents=True)
        for path in RULES.glob("*.yml"):
            rules = path.read_text(encoding="utf-8")
            (folder / "rules" / path.name).write_text(rules if factor == 1 else shorten(rules, factor))
        scrapes = [{"job_name": job, "static_configs": [{"targets": list(found)}]} for job, found in jobs.items()]
        config = {
            "global": dict(intervals),
            "rule_files": ["rules/*.yml"],
            "scrape_configs": scrapes,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = "http://{}:{}".format(*listener.getsockname())

    def __enter__(self) -> Self:
        with (self._folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    tool("prometheus"),
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdout=log,
                stderr=log,
            )
        eventually(self._ready, within_s=60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Evaluate an instant query now: labels and values, without what is no number."""
        result = self._get("query", query=expression)["result"]
        found = [(each["metric"], float(each["value"][1])) for each in result]
        return [(labels, value) for labels, value in found if not math.isnan(value)]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health, its last error and, of alerts, its state."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _ready(self) -> bool:
        if self._process.poll() is not None:
            pytest.fail((self._folder / "log.txt").read_text())
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as reply:  # noqa: S310 - http, ours
                return bool(reply.status == 200)
        except OSError:
            return False

    def _get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - whatever Prometheus has there
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as reply:  # noqa: S310 - http, ours
            return json.load(reply)["data"]
