"""Where bundles lie: `<root>/<name>/<version>` and the `CURRENT` pointer, swapped by rename (M21)."""

import os
import re
import stat
from pathlib import Path

from index_store.errors import CurrentInvalid
from index_store.manifest import NAME_PATTERN

CURRENT_NAME = "CURRENT"
_MAX_POINTER_BYTES = 256


def current_bundle(root: Path, name: str) -> Path:
    """The version directory that `<root>/<name>/CURRENT` names; `CurrentInvalid` if there is none (M21)."""
    pointer = root / name / CURRENT_NAME
    line = _read_pointer(pointer).decode("utf-8", errors="replace").removesuffix("\n")
    if not re.match(NAME_PATTERN, line) or "\n" in line:
        message = f"{pointer}: expected one line with a version, found {line[:80]!r}"
        raise CurrentInvalid(message)
    directory = root / name / line
    if not directory.is_dir():
        message = f"{pointer} names version {line}, but {directory} is not a directory"
        raise CurrentInvalid(message)
    return directory


def _read_pointer(pointer: Path) -> bytes:
    try:
        # a FIFO would block whoever reads it, and the master reads this
        descriptor = os.open(pointer, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, ValueError) as error:
        message = f"{pointer} cannot be read ({error}): nothing is published under this name"
        raise CurrentInvalid(message) from error
    with open(descriptor, "rb") as file:  # noqa: PTH123 - the descriptor is open already
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            message = f"{pointer}: expected a regular file, found {stat.filemode(mode)}"
            raise CurrentInvalid(message)
        return file.read(_MAX_POINTER_BYTES + 1)


def set_current(root: Path, name: str, version: str) -> None:
    """Point `CURRENT` at a version; a reader sees the old line or the new one."""
    folder = root / name
    draft = folder / f".{CURRENT_NAME}-{os.getpid()}"
    with draft.open("w", encoding="utf-8") as file:
        file.write(f"{version}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(folder / CURRENT_NAME)
    sync_directory(folder)


def sync_directory(folder: Path) -> None:
    """Flush a directory's entries, so that a rename in it survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
