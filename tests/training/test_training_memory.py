"""Training's memory against users x items, measured: the log is so wide that a matrix of all pairs would show."""

import subprocess
import sys
from pathlib import Path

import pytest
import training_memory
from training_memory import ITEMS, SYSTEMS, USERS


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a block is measured by /proc")
@pytest.mark.parametrize("system", SYSTEMS)
def test_training_takes_less_than_half_a_byte_per_user_and_item(system: str) -> None:
    """An epoch of each system with its validation, in a process of its own, which other tests' memory cannot blur."""
    command = [sys.executable, training_memory.__file__, system]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(done.stdout) < USERS * ITEMS / 2 / 2**20
