"""Ways to damage a published bundle, each with the error that must refuse it.

A damage is a function of the version directory. `reseal` rewrites the manifest's sizes and hashes afterwards, so that
the damage gets past M9 and M10 to the check that understands the content.
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

from index_store import errors

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

DAMAGES: dict[str, tuple[Damage, type[errors.BundleError]]] = {
    "manifest missing": (lambda bundle: (bundle / "manifest.json").unlink(), errors.ManifestMissing),
    "manifest is a directory": (directory_for("manifest.json"), errors.ManifestMissing),
    "manifest truncated": (
        truncate("manifest.json", by=2),
        errors.ManifestMalformed,
    ),
    "manifest empty": (put("manifest.json", b""), errors.ManifestMalformed),
    "manifest is a list": (put("manifest.json", b"[]"), errors.ManifestMalformed),
    "manifest not UTF-8": (put("manifest.json", b'{"format": "\xff"}'), errors.ManifestMalformed),
    "future major format": (set_at("format_version", value="2.0"), errors.FormatVersionUnsupported),
    "future minor format": (set_at("format_version", value="1.999"), errors.FormatVersionUnsupported),
    "another format": (set_at("format", value="tarball"), errors.FormatVersionUnsupported),
    "manifest without countries": (set_at("countries", value={}), errors.ManifestMalformed),
    "unknown manifest field": (set_at("extra", value=1), errors.ManifestMalformed),
    "field missing": (manifest_edit(lambda m: m.pop("training")), errors.ManifestMalformed),
    "items is a string": (set_at("countries", "FR", "items", value="300"), errors.ManifestMalformed),
    "items is negative": (set_at("countries", "FR", "items", value=-1), errors.ManifestMalformed),
    "recall over one": (set_at("countries", "FR", "led", "recall", value=1.5), errors.ManifestMalformed),
    "hash is not hex": (set_at("files", 0, "sha256", value="z" * 64), errors.ManifestMalformed),
    "country code with a slash": (
        manifest_edit(lambda m: m["countries"].update({"../FR": m["countries"].pop("FR")})),
        errors.ManifestMalformed,
    ),
    "engine unknown": (set_at("countries", "FR", "led", "engine", value="lsh"), errors.ManifestMalformed),
    "hnsw without ef": (set_at("countries", "FR", "led", "ef", value=None), errors.ManifestMalformed),
    "exact with ef": (set_at("countries", "DE", "led", "ef", value=10), errors.ManifestMalformed),
    "another name": (set_at("name", value="other"), errors.IdentityMismatch),
    "another version": (set_at("version", value="other"), errors.IdentityMismatch),
    "path with ..": (set_at("files", 0, "path", value="../escape"), errors.UnsafePath),
    "inner ..": (set_at("files", 0, "path", value="encoders/../encoders/led.onnx"), errors.UnsafePath),
    "absolute path": (set_at("files", 0, "path", value="/etc/hostname"), errors.UnsafePath),
    "backslash path": (set_at("files", 0, "path", value="encoders\\led.onnx"), errors.UnsafePath),
    "empty path": (set_at("files", 0, "path", value=""), errors.UnsafePath),
    "dotted path": (set_at("files", 0, "path", value="./encoders/led.onnx"), errors.UnsafePath),
    "file is a link": (link(FR_VECTORS), errors.UnsafePath),
    "folder is a link": (link("encoders"), errors.UnsafePath),
    "file listed twice": (manifest_edit(lambda m: m["files"].append(m["files"][0])), errors.FileListedTwice),
    "key twice in the manifest": (
        lambda bundle: rewrite(bundle / "manifest.json", b'"name":', b'"name": "tiny", "name":'),
        errors.ManifestMalformed,
    ),
    "deep JSON in the manifest": (
        lambda bundle: rewrite(bundle / "manifest.json", b'"config": {', b'"config": {"a": ' + b"[" * 100_000),
        errors.ManifestMalformed,
    ),
    "ef over 31 bits": (set_at("countries", "FR", "led", "ef", value=2**64), errors.ManifestMalformed),
    "published in a far future": (set_at("created_ms", value=2**62), errors.ManifestMalformed),
    "country code with a newline": (
        manifest_edit(lambda m: m["countries"].update({"FR\n": m["countries"].pop("FR")})),
        errors.ManifestMalformed,
    ),
    "a column twice": (
        manifest_edit(lambda m: m["countries"]["FR"]["columns"].append("keys")),
        errors.ManifestMalformed,
    ),
    "path of 5,000 characters": (set_at("files", 0, "path", value="a" * 5000), errors.UnsafePath),
    "stray file with a name that is not UTF-8": (
        lambda bundle: Path(os.fsdecode(bytes(bundle) + b"/\xff.txt")).write_bytes(b"") and None,
        errors.FileUnlisted,
    ),
    "file is a pipe": (pipe_for(FR_INDEX), errors.UnsafePath),
    "manifest is a pipe": (pipe_for("manifest.json"), errors.ManifestMissing),
    "file removed": (lambda bundle: (bundle / FR_INDEX).unlink(), errors.FileMissing),
    "file is a directory": (directory_for(FR_INDEX), errors.UnsafePath),
    "stray file": (put("stray.txt", b"hello"), errors.FileUnlisted),
    **{f"truncated: {name}": (truncate(name), errors.SizeMismatch) for name in FILES},
    **{f"bit flipped: {name}": (flip(name), errors.ChecksumMismatch) for name in FILES},
    "listed size changed": (set_at("files", 0, "bytes", value=1), errors.SizeMismatch),
    "listed hash changed": (set_at("files", 0, "sha256", value="0" * 64), errors.ChecksumMismatch),
    "vectors swapped between countries": (
        swap(FR_VECTORS, "countries/US/led/vectors.npy"),
        errors.SizeMismatch,
    ),
    "golden missing": (
        resealed(lambda bundle: (bundle / "golden/requests.json").unlink()),
        errors.LayoutMismatch,
    ),
    "index missing, resealed": (resealed(lambda bundle: (bundle / FR_INDEX).unlink()), errors.LayoutMismatch),
    "stray file, resealed": (resealed(put("stray.txt", b"hello")), errors.LayoutMismatch),
    "encoder elsewhere": (set_at("encoders", "led", "graph", value="encoders/led.json"), errors.LayoutMismatch),
    "no encoder": (set_at("encoders", value={}), errors.LayoutMismatch),
    "vectors swapped, resealed": (
        resealed(swap(FR_VECTORS, "countries/US/led/vectors.npy")),
        errors.ArrayMalformed,
    ),
    "vectors of float64": (array(FR_VECTORS, lambda a: a.astype(np.float64)), errors.ArrayMalformed),
    "vectors in Fortran order": (array(FR_VECTORS, np.asfortranarray), errors.ArrayMalformed),
    "vectors of one dimension less": (array(FR_VECTORS, lambda a: a[:, :-1]), errors.ArrayMalformed),
    "ids of int64": (array(FR_IDS, lambda a: a.astype(np.int64)), errors.ArrayMalformed),
    "one id less": (array(FR_IDS, lambda a: a[:-1]), errors.ArrayMalformed),
    "array is text": (resealed(put(FR_IDS, b"not an array")), errors.ArrayMalformed),
    "array is an archive": (resealed(put(FR_IDS, b"PK" + bytes(30))), errors.ArrayMalformed),
    "array with a second one behind": (
        resealed(lambda bundle: append(bundle / FR_IDS)),
        errors.ArrayMalformed,
    ),
    "array of a negative size": (
        npy_header("{'descr': '<u8', 'fortran_order': False, 'shape': (-300,)}"),
        errors.ArrayMalformed,
    ),
    "array of a huge size": (
        npy_header("{'descr': '<u8', 'fortran_order': False, 'shape': (2**70,)}"),
        errors.ArrayMalformed,
    ),
    "array of 2^60 rows": (
        npy_header(f"{{'descr': '<u8', 'fortran_order': False, 'shape': ({2**60},)}}"),
        errors.ArrayMalformed,
    ),
    "array of a true size": (
        npy_header("{'descr': '<u8', 'fortran_order': False, 'shape': (True,)}"),
        errors.ArrayMalformed,
    ),
    "array header is no literal": (npy_header("{'a': ("), errors.ArrayMalformed),
    "array header is deep": (npy_header("-" * 9000), errors.ArrayMalformed),
    "array header of Python 2": (
        npy_header("{'descr': '<u8', 'fortran_order': False, 'shape': (300L,)}"),
        errors.ArrayMalformed,
    ),
    "array is a pickle": (
        array(FR_IDS, lambda a: np.array([{"id": int(i)} for i in a], dtype=object)),
        errors.ArrayMalformed,
    ),
    "two equal ids": (array(FR_IDS, lambda a: np.concatenate([a[:1], a[:-1]])), errors.CatalogInvalid),
    "negative popularity": (array(FR_POPULARITY, negated), errors.CatalogInvalid),
    "key offsets fall": (array(FR_KEY_ENDS, lambda a: a[::-1].copy()), errors.StringTableMalformed),
    "key offsets begin late": (array(FR_KEY_ENDS, first_is(1)), errors.StringTableMalformed),
    "keys not UTF-8": (array(FR_KEYS, first_is(0xFF)), errors.StringTableMalformed),
    "empty key": (
        array(FR_KEY_ENDS, lambda a: np.concatenate([a[:1], a[:1], a[2:]])),
        errors.CatalogInvalid,
    ),
    "all keys equal": (array(FR_KEYS, lambda a: np.full_like(a, ord("k"))), errors.CatalogInvalid),
    "spec is not JSON": (resealed(put("encoders/led.json", b"{")), errors.EncoderMismatch),
    "spec with zero history": (spec(max_history=0), errors.EncoderMismatch),
    "spec of another dimension": (
        spec(output={"name": "user_vector", "dtype": "float32", "shape": ["B", 5]}),
        errors.EncoderMismatch,
    ),
    "NaN in a vector": (array(FR_VECTORS, first_is(np.nan)), errors.VectorsInvalid),
    "infinity in a vector": (array(FR_VECTORS, first_is(np.inf)), errors.VectorsInvalid),
    "indices swapped, resealed": (resealed(swap(FR_INDEX, US_INDEX)), errors.IndexMismatch),
    "index is text": (resealed(put(FR_INDEX, b"not a graph")), errors.IndexMismatch),
    "index truncated, resealed": (resealed(truncate(FR_INDEX)), errors.IndexMismatch),
    "index claims more items": (header(16, 1_000_000), errors.IndexMismatch),
    "index links to nowhere": (resealed(link_to_nowhere), errors.IndexMismatch),
    "index links to nowhere above": (resealed(upper_link_to_nowhere), errors.IndexMismatch),
    "index too long": (
        resealed(lambda bundle: append(bundle / FR_INDEX)),
        errors.IndexMismatch,
    ),
    "index begins elsewhere": (header(0, 8), errors.IndexMismatch),
    "index begins far away": (header(0, 1 << 40), errors.IndexMismatch),
    "index links above to rows on the ground": (resealed(upper_links_to_the_ground), errors.IndexMismatch),
    "index row without links": (ground_word(3, 0, 0), errors.IndexMismatch),
    "index row marked as deleted": (ground_word(3, 0, 1 << 16 | 1), errors.IndexMismatch),
    "index row linked to itself": (ground_word(3, 1, 3), errors.IndexMismatch),
    "index with a huge label": (ground_word(3, -1, 1 << 31), errors.IndexMismatch),
    "index with two equal labels": (ground_word(3, -2, 4), errors.IndexMismatch),
    "index with one vector changed": (ground_word(3, 1 + 16 + 2, 0), errors.IndexMismatch),
    "index enters at nowhere": (header(48, 1 << 60), errors.IndexMismatch),
    "index claims other dimensions": (header(32, 4), errors.IndexMismatch),
    "index with another M": (set_at("countries", "FR", "led", "m", value=4), errors.IndexMismatch),
    "vectors of another model": (array(FR_VECTORS, negated), errors.IndexMismatch),
    "recall under target": (
        manifest_edit(lambda m: m["countries"]["FR"]["led"].update(recall_target=0.9999)),
        errors.RecallUnderTarget,
    ),
    "recall not on the curve": (set_at("countries", "FR", "led", "recall", value=1.0), errors.RecallUnderTarget),
    "ef not on the curve": (set_at("countries", "FR", "led", "ef", value=7), errors.RecallUnderTarget),
    "golden is not JSON": (resealed(put("golden/requests.json", b"[")), errors.GoldenInvalid),
    "no golden request": (golden(list.clear), errors.GoldenInvalid),
    "a country without golden request": (
        golden(lambda requests: requests.__setitem__(slice(None), [r for r in requests if r["country"] != "DE"])),
        errors.GoldenInvalid,
    ),
    "golden of an unknown country": (golden(lambda r: r[0].update(country="XX")), errors.GoldenInvalid),
    "golden of an unknown item": (golden(lambda r: r[0]["history"].append(1)), errors.GoldenInvalid),
    "golden answers with one item": (golden(lambda r: r[0].update(item_ids=[7] * 10)), errors.GoldenInvalid),
    "golden scores that rise": (golden(lambda r: r[0]["scores"].reverse()), errors.GoldenInvalid),
    "golden user vector beyond float32": (golden(lambda r: r[0].update(user_vector=[1e300] * 9)), errors.GoldenInvalid),
    "spec is not UTF-8": (resealed(put("encoders/led.json", b'{"encoder": "\xff"}')), errors.EncoderMismatch),
    "golden answer too short": (golden(lambda r: r[0]["item_ids"].pop()), errors.GoldenInvalid),
    "golden id over 64 bits": (golden(lambda r: r[0]["history"].append(1 << 64)), errors.GoldenInvalid),
}

# refused once the encoder is opened: by `verify_bundle` and by every worker before it serves
ENCODER_DAMAGES: dict[str, tuple[Damage, type[errors.BundleError]]] = {
    "graph is not ONNX": (resealed(put("encoders/led.onnx", b"not a graph")), errors.EncoderMismatch),
    "graph without a promised input": (
        spec(
            inputs=[
                {"name": "history_vectors", "dtype": "float32", "shape": ["B", "T", 8]},
                {"name": "ages", "dtype": "float32", "shape": ["B", "T"]},
            ]
        ),
        errors.EncoderMismatch,
    ),
    "golden user vector changed": (
        golden(lambda r: r[0].update(user_vector=[value + 1 for value in r[0]["user_vector"]])),
        errors.GoldenMismatch,
    ),
    "golden answers that are not the best": (
        golden(lambda r: r[0].update(item_ids=r[0]["item_ids"][::-1], scores=[-1e9] * 10)),
        errors.GoldenMismatch,
    ),
    "golden user vector shortened": (
        golden(lambda r: r[0].update(user_vector=r[0]["user_vector"][:-1])),
        errors.GoldenMismatch,
    ),
    "golden scores changed": (
        golden(lambda r: r[0].update(scores=[score + 1 for score in r[0]["scores"]])),
        errors.GoldenMismatch,
    ),
}
