"""The quick bench from an empty cache: a published bundle, a real server, a line of JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_the_last_line_has_the_headline(tmp_path: Path) -> None:
    """Over a few thousand items every promised key is there, with figures that hold together."""
    command = [sys.executable, "-m", "loadtest.bench_quick", "--items", "2500", "--seconds", "0.4", "--runs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=220, check=False, cwd=tmp_path, env=environment
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    headline = {"led_cpu_us", "tax_cpu_us", "led_recall", "led_qps", "led_p50_ms", "led_p99_ms"}
    assert headline <= found.keys()
    # of the closed loop; in the open one a stall of a busy machine may have more calls wait than the server takes
    assert found["errors"] == 0
    assert 0.93 <= found["led_recall"] <= 1  # of a thousand users that did not choose the setting
    assert found["half_rate"] * 2 == pytest.approx(found["led_qps"], abs=0.01)
    assert 0 < found["led_p50_ms"] <= found["led_p99_ms"] <= found["led_p99_9_ms"]
    assert found["led_cpu_us"] - found["limit_us"] == pytest.approx(found["tax_cpu_us"], abs=0.01)
    assert found["encode_us"] + found["search_us"] == pytest.approx(found["limit_us"], abs=0.01)
    assert found["pss_mib"] > 50
