"""The soak from the command line, and its judgement of drift."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_store.publish import publish
from loadtest.drift import drift
from tiny_bundle import POLICY
from tiny_sources import full_content

ROOT = Path(__file__).parents[2]
_CALLS = [100_000 * window for window in range(1, 101)]


def test_a_soak_goes_on_where_it_was(tmp_path: Path) -> None:
    """Two runs add up to the calls asked for, in windows with CPU, latency, memory and descriptors."""
    publish(full_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    found = [_soak(tmp_path, calls) for calls in (300, 500)]
    assert [report["calls"] for report in found] == [300, 500]
    windows = [json.loads(line) for line in (tmp_path / "soak.jsonl").read_text().splitlines()]
    assert [row["calls"] for row in windows] == [100] * 5
    assert [row["segment"] for row in windows] == [1, 1, 1, 2, 2]
    assert [row["done"] for row in windows] == [100, 200, 300, 400, 500]
    assert all(row["errors"] == 0 and row["p50_ms"] <= row["p99_ms"] for row in windows)
    assert all(row["pss_mib"] > 20 and row["descriptors"] > 10 for row in windows)
    assert not any(each["drifts"] for each in found[1]["drift"].values())


def test_a_drawn_bundle_is_soaked(tmp_path: Path) -> None:
    """It is made first, and asked as the bench asks it."""
    assert _soak(tmp_path, 200, "--drawn", "2000")["calls"] == 200


def test_a_negative_number_of_drawn_items_is_refused(tmp_path: Path) -> None:
    """By the option's name, before anything is made."""
    refused = _run(tmp_path, "--drawn", "-1")
    assert refused.returncode == 2
    assert "--drawn" in refused.stderr
    assert not list(tmp_path.iterdir())


def _soak(folder: Path, calls: int, *more: str) -> dict[str, dict[str, dict[str, float]]]:
    given = ["--root", str(folder), "--name", "tiny", "--window", "100", "--calls", str(calls)]
    result = _run(folder, *given, "--out", str(folder / "soak.jsonl"), *more)
    assert result.returncode == 0, result.stderr + result.stdout
    report: dict[str, dict[str, dict[str, float]]] = json.loads((folder / "soak.json").read_text())
    return report


def _run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest.soak", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, cwd=folder, env=environment
    )


@pytest.mark.parametrize(("leak", "drifts"), [(0.0, False), (0.2, True), (-0.2, False)])
def test_a_leak_under_noise_is_drift(leak: float, drifts: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A MiB per five windows shows under noise of a MiB; none, and a fall, do not. The slope is what was put in."""
    values = 500 + leak * np.arange(100) + np.random.default_rng(1).normal(size=100)
    found = drift(_CALLS, values.tolist(), allowed_share=0.01, allowed=4.0)
    assert found.drifts is drifts
    assert found.per_million == pytest.approx(leak * 10, abs=0.1)


def test_one_wild_window_is_no_drift() -> None:
    """A robust slope does not follow an outlier, first or last."""
    values = [1.0] * 99 + [1000.0]
    assert not drift(_CALLS, values, allowed_share=0.05).drifts
    assert drift(_CALLS, values, allowed_share=0.05).per_million == 0


def test_a_small_rise_is_allowed_however_sure() -> None:
    """A rise under what is allowed is no drift; the same rise is where less is allowed."""
    values = [100 + window / 100 for window in range(100)]
    assert not drift(_CALLS, values, allowed_share=0.02).drifts
    assert drift(_CALLS, values, allowed_share=0.001).drifts


@given(st.floats(-5, 5), st.floats(0.1, 100))
def test_a_line_has_its_slope(slope: float, start: float) -> None:
    """On a line without noise the slope is the line's."""
    values = [start + slope * window for window in range(100)]
    assert drift(_CALLS, values, allowed_share=0.0).per_million == pytest.approx(slope * 10, rel=1e-6, abs=1e-9)
