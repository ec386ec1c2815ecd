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

HEADER_BYTES = 96
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


def golden(change: Callable[[list[dict[str, Any]]], object]) -> Damage:
    """Change the golden requests, sealed again."""

    def damage(bundle: Path) -> None:
        path = bundle / "golden/requests.json"
        requests = json.loads(path.read_text())
        change(requests)
        path.write_text(json.dumps(requests))

    return resealed(damage)


def spec(**changes: object) -> Damage:
    """Change fields of the LED spec, sealed again."""

    def damage(bundle: Path) -> None:
        path = bundle / "encoders/led.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return resealed(damage)


def header(offset: int, value: int) -> Damage:
    """Overwrite one 64-bit field of FR's graph header, sealed again."""

    def damage(bundle: Path) -> None:
        path = bundle / FR_INDEX
        raw = bytearray(path.read_bytes())
        struct.pack_into("<Q", raw, offset, value)
        path.write_bytes(bytes(raw))

    return resealed(damage)


def link_to_nowhere(bundle: Path) -> None:
    """Let the first link of FR's first row lead to a row that does not exist."""
    path = bundle / FR_INDEX
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, 96 + 4, 1 << 30)
    path.write_bytes(bytes(raw))


def upper_link_to_nowhere(bundle: Path) -> None:
    """The same on the upper levels: the file's last word belongs to a list or says that there is none."""
    path = bundle / FR_INDEX
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, len(raw) - 4, 1 << 30)
    path.write_bytes(bytes(raw))


def upper_links_to_the_ground(bundle: Path) -> None:
    """Let every upper list lead to a row that does not reach that level."""
    path = bundle / FR_INDEX
    raw = bytearray(path.read_bytes())
    graph = GraphBytes(raw)
    lists = graph.upper_lists()
    ground_row = next(row for row in range(graph.count) if row not in lists)
    for levels, place in lists.values():
        for level in range(levels):
            start = place + 4 * level * (1 + graph.m)
            (used,) = struct.unpack_from("<I", raw, start)
            for link in range(used):
                struct.pack_into("<I", raw, start + 4 * (1 + link), ground_row)
    path.write_bytes(bytes(raw))


def ground_word(row: int, word: int, value: int) -> Damage:
    """Overwrite one 32-bit word of a row on the ground level of FR's graph, sealed again; -1 is the row's last word."""

    def damage(bundle: Path) -> None:
        path = bundle / FR_INDEX
        raw = bytearray(path.read_bytes())
        graph = GraphBytes(raw)
        words = graph.row_bytes // 4
        struct.pack_into("<I", raw, HEADER_BYTES + row * graph.row_bytes + 4 * (word % words), value)
        path.write_bytes(bytes(raw))

    return resealed(damage)


class GraphBytes:
    """Where things lie in an hnswlib file."""

    def __init__(self, raw: bytearray) -> None:
        self.raw = raw
        self.count, self.row_bytes = struct.unpack_from("<QQ", raw, 16)
        (self.m,) = struct.unpack_from("<Q", raw, 72)

    def upper_lists(self) -> dict[int, tuple[int, int]]:
        """Row → (levels, offset of the first list) of the rows that have any."""
        place, found = HEADER_BYTES + self.count * self.row_bytes, {}
        for row in range(self.count):
            (size,) = struct.unpack_from("<I", self.raw, place)
            if size:
                found[row] = (size // (4 * (1 + self.m)), place + 4)
            place += 4 + size
        return found


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
