"""One part of the bench over all four systems: published, served, asked, judged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_the_fused_scenario_is_measured_whole(tmp_path: Path) -> None:
    """Four sources with a merchant and a thousand exclusions: judged against exact search, all stages seen, kept."""
    command = [sys.executable, "-m", "loadtest.bench", "--only", "fused", "--items", "4000", "--no-report"]
    command += ["--runs", "1", "--seconds", "0.3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=220, check=False, cwd=tmp_path, env=environment
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "build/bench/results/fused.json").read_text())["found"]
    assert found["recall"] > 0.9
    assert found["capacity"]["errors"] == 0
    assert len(found["ladder"]) == 5
    searched = {name.split()[0] for name in found["stages"] if name.endswith("search")}
    assert searched == {"led", "two_tower", "pdn", "item_interaction"}
    assert found["limit"]["limit_us"] > 0
