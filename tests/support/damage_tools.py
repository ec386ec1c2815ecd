"""The ways to damage a published bundle: functions of the version directory.

`reseal` rewrites the manifest's sizes and hashes afterwards, so that a damage gets past M9 and M10 to the check that
understands the content.
"""

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FR_INDEX = "countries/FR/led/index.bin"
US_INDEX = "countries/US/led/index.bin"
FR_VECTORS = "countries/FR/led/vectors.npy"
FR_IDS = "countries/FR/catalog/item_ids.npy"
FR_POPULARITY = "countries/FR/catalog/popularity.npy"
FR_KEYS, FR_KEY_ENDS = "countries/FR/catalog/keys.utf8.npy", "countries/FR/catalog/keys.offsets.npy"
FR_TITLES, FR_TITLE_ENDS = "countries/FR/catalog/titles.utf8.npy", "countries/FR/catalog/titles.offsets.npy"
FILES = (
    "encoders/led.onnx",
    "encoders/led.json",
    "golden/requests.json",
    FR_INDEX,
    FR_VECTORS,
    FR_IDS,
    FR_POPULARITY,
    FR_KEYS,
    FR_KEY_ENDS,
    "samples/timelines.jsonl",
)

Damage = Callable[[Path], None]


def reseal(bundle: Path) -> None:
    """Make the manifest list exactly the files that are there, as they are."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and path.name != "manifest.json")
    entries = [
        {
            "path": path.relative_to(bundle).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]
    edit(bundle, lambda manifest: manifest.update(files=entries))


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Apply `change` to the manifest's JSON."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def manifest_edit(change: Callable[[dict[str, Any]], object]) -> Damage:
    """A damage that changes only the manifest."""
    return lambda bundle: edit(bundle, change)


def truncate(name: str, by: int = 1) -> Damage:
    """Cut a file's last bytes."""

    def damage(bundle: Path) -> None:
        path = bundle / name
        path.write_bytes(path.read_bytes()[:-by])

    return damage


def flip(name: str, at: float = 0.5) -> Damage:
    """Flip one bit at a place between 0 (first byte) and 1 (last byte)."""

    def damage(bundle: Path) -> None:
        path = bundle / name
        raw = bytearray(path.read_bytes())
        raw[int(at * (len(raw) - 1))] ^= 1
        path.write_bytes(bytes(raw))

    return damage


def swap(first: str, second: str) -> Damage:
    """Exchange two files' contents."""

    def damage(bundle: Path) -> None:
        a, b = bundle / first, bundle / second
        kept = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(kept)

    return damage


def resealed(*damages: Damage) -> Damage:
    """Damage, then make sizes and hashes right again."""

    def damage(bundle: Path) -> None:
        for each in damages:
            each(bundle)
        reseal(bundle)

    return damage


def array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """Rewrite an array changed, sealed again."""

    def damage(bundle: Path) -> None:
        np.save(bundle / name, change(np.load(bundle / name)))

    return resealed(damage)


def npy_header(text: str) -> Damage:
    """Give FR's item ids another header, sealed again."""
    raw = text.encode() + b"\n"
    return resealed(put(FR_IDS, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + bytes(2400)))


def golden(change: Callable[[list[dict[str, Any]]], object], name: str = "golden/requests.json") -> Damage:
    """Change the golden requests, sealed again."""

    def damage(bundle: Path) -> None:
        path = bundle / name
        requests = json.loads(path.read_text())
        change(requests)
        path.write_text(json.dumps(requests))

    return resealed(damage)


def spec(_encoder: str = "led", **changes: object) -> Damage:
    """Change fields of an encoder's spec, sealed again."""

    def damage(bundle: Path) -> None:
        path = bundle / f"encoders/{_encoder}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return resealed(damage)


def set_at(*keys: str | int, value: object) -> Damage:
    """Set one value deep in the manifest."""

    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return manifest_edit(change)


def link(name: str) -> Damage:
    """Replace a file by a symbolic link to a copy outside the bundle."""

    def damage(bundle: Path) -> None:
        outside = bundle.parent / f"outside-{bundle.name}"
        shutil.move(bundle / name, outside)
        (bundle / name).symlink_to(outside)

    return damage


def put(name: str, content: bytes) -> Damage:
    """Write a file."""

    def damage(bundle: Path) -> None:
        (bundle / name).write_bytes(content)

    return damage


def rewrite(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes of a file."""
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))


def rewrite_all(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes of a file wherever they are."""
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new))


def pipe_for(name: str) -> Damage:
    """Replace a file by a pipe, which blocks whoever opens it."""

    def damage(bundle: Path) -> None:
        (bundle / name).unlink()
        os.mkfifo(bundle / name)

    return damage


def append(path: Path) -> None:
    """Add eight zero bytes to a file."""
    path.write_bytes(path.read_bytes() + bytes(8))


def directory_for(name: str) -> Damage:
    """Replace a file by an empty directory."""

    def damage(bundle: Path) -> None:
        (bundle / name).unlink()
        (bundle / name).mkdir()

    return damage


def negated(values: np.ndarray) -> np.ndarray:
    """All values, their sign turned."""
    return -values


def first_is(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Overwrite the first element."""

    def change(values: np.ndarray) -> np.ndarray:
        values.flat[0] = value
        return values

    return change
