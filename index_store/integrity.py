"""Whether the files of a bundle are the published ones: paths, presence, sizes, hashes (M5 to M11)."""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from index_store.errors import (
    ChecksumMismatch,
    FileListedTwice,
    FileMissing,
    FileUnlisted,
    LayoutMismatch,
    SizeMismatch,
    UnsafePath,
)
from index_store.layout import ENCODERS, OPTIONAL_FILES, encoder_files, required_files
from index_store.manifest import MANIFEST_NAME, FileEntry, Manifest

_CHUNK_BYTES = 4 * 1024 * 1024
_MAX_PATH = 200  # characters; the layout's own paths are far shorter


def check_files(directory: Path, manifest: Manifest) -> None:
    """Check M5 to M11, cheap ones first: no file is hashed before all have the right size."""
    for entry in manifest.files:
        _check_path(directory, entry.path)
    _check_listed_once(manifest)
    _check_layout(manifest)
    _check_no_others(directory, manifest)
    for entry in manifest.files:
        _check_size(directory, entry)
    _check_hashes(directory, manifest)


def _check_hashes(directory: Path, manifest: Manifest) -> None:
    """Hash as many files at once as there are processors, the largest first: hashing does not need the interpreter."""
    entries = sorted(manifest.files, key=lambda entry: -entry.bytes)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashes = dict(zip(entries, pool.map(lambda entry: file_sha256(directory / entry.path), entries), strict=True))
    for entry in manifest.files:
        if hashes[entry] != entry.sha256:
            message = f"{entry.path}: expected sha256 {entry.sha256}, found {hashes[entry]}"
            raise ChecksumMismatch(message)


def file_sha256(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """Hash a file in chunks; `on_bytes` hears of each chunk's size."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        chunk = memoryview(bytearray(min(_CHUNK_BYTES, max(path.stat().st_size, 1))))
        while count := file.readinto(chunk):
            digest.update(chunk[:count])
            if on_bytes:
                on_bytes(count)
    return digest.hexdigest()


def _check_path(directory: Path, text: str) -> None:
    path = PurePosixPath(text)
    normal = text == str(path) and not path.is_absolute() and "\\" not in text and "\0" not in text
    if not normal or text == "." or ".." in path.parts or len(text) > _MAX_PATH:
        message = f"path {text[:_MAX_PATH]!r} is not a relative path in normal form inside the bundle"
        raise UnsafePath(message)
    here = directory
    for part in path.parts:
        here = here / part
        if here.is_symlink():
            message = f"path {text!r} goes through the symbolic link {part!r}"
            raise UnsafePath(message)


def _check_listed_once(manifest: Manifest) -> None:
    counts = Counter(entry.path for entry in manifest.files)
    twice = sorted(path for path, count in counts.items() if count > 1)
    if twice:
        message = f"{twice[0]} is listed {counts[twice[0]]} times"
        raise FileListedTwice(message)


def _check_layout(manifest: Manifest) -> None:
    needed = {name: encoder_files(name) for source in manifest.sources for name in ENCODERS[source]}
    for name in sorted(needed.keys() | manifest.encoders.keys()):
        if needed.get(name) != manifest.encoders.get(name):
            expected, found = (each.get(name, "no such encoder") for each in (needed, manifest.encoders))
            message = f"encoder {name}: expected {expected}, found {found}"
            raise LayoutMismatch(message)
    listed = {entry.path for entry in manifest.files}
    required = required_files(manifest)
    if missing := sorted(required - listed):
        message = f"{missing[0]} is needed by the manifest, but not listed"
        raise LayoutMismatch(message)
    if surplus := sorted(listed - required - OPTIONAL_FILES):
        message = f"{surplus[0]} is listed, but nothing in the manifest needs it"
        raise LayoutMismatch(message)


def _check_no_others(directory: Path, manifest: Manifest) -> None:
    listed = {entry.path for entry in manifest.files} | {MANIFEST_NAME}
    for folder, folders, files in os.walk(directory, onerror=_refuse_unreadable):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted(files + links):
            path = (Path(folder) / name).relative_to(directory).as_posix()
            if path not in listed:
                message = f"{path!r} lies in the bundle, but the manifest does not list it"
                raise FileUnlisted(message)


def _refuse_unreadable(error: OSError) -> None:
    message = f"{error.filename!r} cannot be searched for files that are not listed: {error.strerror}"
    raise FileUnlisted(message) from error


def _check_size(directory: Path, entry: FileEntry) -> None:
    try:
        status = (directory / entry.path).stat()
    except FileNotFoundError:
        message = f"{entry.path} is listed, but does not exist"
        raise FileMissing(message) from None
    if not stat.S_ISREG(status.st_mode):
        message = f"{entry.path} is not a regular file"
        raise UnsafePath(message)
    if status.st_size != entry.bytes:
        message = f"{entry.path}: expected {entry.bytes} bytes, found {status.st_size}"
        raise SizeMismatch(message)
