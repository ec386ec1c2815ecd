"""Compiled modules say so when their sources have changed since."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "server"


@pytest.mark.parametrize(
    ("name", "text"), [("lanes.pyx", "# changed\n"), ("lane_wire.pxd", "# changed\n"), ("more.pyx", "")]
)
def test_modules_that_are_older_than_their_sources_are_refused(tmp_path: Path, name: str, text: str) -> None:
    """After a pull without an installation, say; as they were compiled, they are taken."""
    shutil.copytree(SERVER, tmp_path / "server", ignore=shutil.ignore_patterns("__pycache__"))
    assert _imported(tmp_path).returncode == 0
    with (tmp_path / "server" / name).open("a") as source:
        source.write(text)
    refused = _imported(tmp_path)
    assert refused.returncode == 1
    assert "changed after they were compiled: run make, or pip install -e ." in refused.stderr


def _imported(folder: Path) -> subprocess.CompletedProcess[str]:
    script = f"import sys; sys.path.insert(0, {str(folder)!r}); import server.usual"
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
