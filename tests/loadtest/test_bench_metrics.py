"""The bench of what recording a call costs."""

import json
import subprocess
import sys

PARTS = {"sources", "noted_ns", "noted_spread_ns", "settled_ns", "settled_spread_ns", "publish_us"}


def test_the_bench_measures_both_parts() -> None:
    """A tiny run of the command: a line for one source and one for five, the time before the reply and after it."""
    command = [sys.executable, "-m", "loadtest.bench_metrics", "--rounds", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    one, five = map(json.loads, done.stdout.splitlines())
    assert set(one) == set(five) == PARTS
    assert (one["sources"], five["sources"]) == (1, 5)
    assert 0 < one["noted_ns"] < one["settled_ns"] < five["settled_ns"]
