"""One part of the bench over all four systems: published, served, asked, judged."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtest import bench_results

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_the_fused_scenario_is_measured_whole(tmp_path: Path) -> None:
    """Four sources with a merchant and a thousand exclusions: judged against exact search, all stages seen, kept."""
    found = _measured(tmp_path, "fused")["fused"]
    assert found["recall"] > 0.9
    assert found["capacity"]["errors"] == 0
    assert len(found["ladder"]) == 5
    searched = {name.split()[0] for name in found["stages"] if name.endswith("search")}
    assert searched == {"led", "two_tower", "pdn", "item_interaction"}
    spent, limit = found["capacity"]["server_cpu_us"]["median"], found["limit"]["limit_us"]
    assert found["tax"]["median"] == pytest.approx(spent - limit)
    assert 0 < found["limit"]["engine_us"] < found["limit"]["search_us"]


@pytest.mark.timeout(240)
def test_transports_and_workers_are_measured_in_turns(tmp_path: Path) -> None:
    """Each turn's tax is of its own limit; memory is of one server at a time."""
    found = _measured(tmp_path, "transports,workers")
    limit = found["transports"]["limit"]["limit_us"]["median"]
    for kind in ("native", "grpcio"):
        each = found["transports"][kind]
        assert each["capacity"]["errors"] == 0
        assert each["tax"]["median"] == pytest.approx(each["capacity"]["server_cpu_us"]["median"] - limit)
    for workers in (1, 2):  # beside master, generation and judge; a lobby may be there for a while
        assert found["workers"][str(workers)]["memory"]["processes"] >= workers + 3
    assert all(found["workers"][count]["capacity"]["calls"] > 0 for count in ("1", "2"))


def test_results_of_another_format_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lack what the page shows, so their part counts as not measured."""
    monkeypatch.setattr(bench_results, "RESULTS", tmp_path)
    bench_results.keep("floor", {"revision": "abc"})
    (tmp_path / "sleep.json").write_text(json.dumps({"revision": "abc", "found": {}}))
    assert bench_results.read_results() == {"floor": {"format": bench_results.FORMAT, "revision": "abc"}}


def _measured(folder: Path, parts: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "loadtest.bench", "--only", parts, "--items", "4000", "--no-report"]
    command += ["--runs", "1", "--seconds", "0.3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=220, check=False, cwd=folder, env=environment
    )
    assert result.returncode == 0, result.stderr
    results = folder / "build/bench/results"
    return {part: json.loads((results / f"{part}.json").read_text())["found"] for part in parts.split(",")}
