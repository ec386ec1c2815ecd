"""The bench of what recording a call costs."""

import json
import subprocess
import sys

PARTS = {"sources", "noted_ns", "settled_ns", "counted_ns", "in_all_ns", "in_all_spread_ns", "publishing_us"}


def test_the_bench_measures_every_part() -> None:
    """A tiny run of the command: a line for one source and one for five, before the reply, after it, when published."""
    command = [sys.executable, "-m", "loadtest.bench_metrics", "--rounds", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    one, five = map(json.loads, done.stdout.splitlines())
    assert set(one) == set(five) == PARTS
    assert (one["sources"], five["sources"]) == (1, 5)
    assert 0 < one["noted_ns"] < one["settled_ns"] < five["settled_ns"]
    assert 0 < one["counted_ns"] < one["in_all_ns"] < five["in_all_ns"]
