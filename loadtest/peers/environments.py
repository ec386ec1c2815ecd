"""Each peer has a virtual environment of its own under `build/peers`: their requirements exclude each other."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from loadtest.peers.peer import Place, UnavailableError

_REQUIREMENTS = Path(__file__).parent / "requirements"
_CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
_SHOWN = 5


def python_of(place: Place, name: str, *, interpreter: str = sys.executable, constrained: bool = True) -> Path:
    """Install `requirements/<name>.txt` unless that is done; gives the environment's python.

    `constrained`: with the versions that the project itself is pinned to. UnavailableError with pip's last words.
    """
    requirements, overruled = _REQUIREMENTS / f"{name}.txt", _REQUIREMENTS / f"{name}-overruled.txt"
    directory = place.environments / name
    python, mark = directory / "bin" / "python", directory / "installed.txt"
    if mark.exists() and mark.read_text(encoding="utf-8") == requirements.read_text(encoding="utf-8"):
        return python
    with place.console.status(f"{name}: installing {requirements.name} into {directory}"):
        _run([interpreter, "-m", "venv", directory])
        limits = ["-c", _CONSTRAINTS] if constrained else []
        _run([python, "-m", "pip", "install", "--quiet", *limits, "-r", requirements])
        if overruled.exists():
            # what its metadata forbids, and what works all the same
            _run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-c", _CONSTRAINTS, "-r", overruled])
    mark.write_text(requirements.read_text(encoding="utf-8"), encoding="utf-8")
    return python


def versions_in(python: Path, packages: Sequence[str]) -> Mapping[str, str]:
    """Look up the versions of distributions in an environment."""
    site = next((python.parent.parent / "lib").glob("python3*/site-packages"))
    found = {each.metadata["Name"].lower(): each.version for each in distributions(path=[str(site)])}
    return {name: found.get(name.lower(), "?") for name in packages}


def _run(command: Sequence[object]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - commands of this bench
            [str(part) for part in command], capture_output=True, text=True, check=False
        )
    except OSError as error:
        message = f"cannot be installed: {error}"
        raise UnavailableError(message) from error
    if done.returncode:
        shown = "\n".join((done.stderr or done.stdout).splitlines()[-_SHOWN:])
        message = f"cannot be installed: {shown}"
        raise UnavailableError(message)
