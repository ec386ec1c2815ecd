"""What the compiled modules were made from; `hatch_build.py` runs this file with the standard library alone."""

import hashlib
from pathlib import Path


def sources_digest() -> str:
    """Digest the names and contents of all Cython sources of this folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in {".pyx", ".pxd"}):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def refuse_older(compiled_from: str) -> None:
    """Raise ImportError if the sources beside this file are no longer what the modules say they are compiled from.

    Without this, calls between what is compiled and what is not would fail one by one, and go a slower way unnoticed.
    """
    if compiled_from != sources_digest():
        message = "server/*.pyx changed after they were compiled: run make, or pip install -e ."
        raise ImportError(message)
