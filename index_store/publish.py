"""Publishes a bundle: stage, build, calibrate, hash, verify, rename. The only writer of the format."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from index_store.arrays import StringTable, save_array
from index_store.bundle import verify_bundle
from index_store.calibration import calibrate
from index_store.content import BundleContent, CountryContent, GoldenCase, IndexPolicy
from index_store.errors import VersionExists
from index_store.golden import encode_golden
from index_store.integrity import file_sha256
from index_store.layout import (
    GOLDEN,
    LED_GRAPH,
    LED_SPEC,
    TIMELINES,
    catalog_array,
    led_index,
    led_vectors,
    string_table,
)
from index_store.location import set_current, sync_directory
from index_store.manifest import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST_NAME,
    Column,
    CountryEntry,
    EncoderEntry,
    FileEntry,
    Manifest,
    TrainingEntry,
    encode_manifest,
)
from models.spec import encode_spec

Progress = Callable[[str, int, int], None]
"""Hears (what is being done, how much is done, of how much)."""


def publish(
    content: BundleContent,
    *,
    root: Path,
    name: str,
    version: str,
    policy: IndexPolicy,
    progress: Progress | None = None,
) -> Path:
    """Write `content` as `<root>/<name>/<version>` and point `CURRENT` at it; returns the version directory.

    Nothing is visible before the whole bundle has been loaded and its golden requests replayed. Raises `VersionExists`,
    or the `BundleError` that stopped it (`RecallUnderTarget` names the country and what it reached); `CURRENT` and all
    published versions are then as before.
    """
    target = root / name / version
    if target.exists():
        message = f"{target} is published already; publish under another version"
        raise VersionExists(message)
    root.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=root))
    staged = staging / name / version
    try:
        staged.mkdir(parents=True)
        _write(staged, content, name, version, policy, progress or (lambda *_: None))
        verify_bundle(staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    set_current(root, name, version)
    return target


def _write(
    staged: Path, content: BundleContent, name: str, version: str, policy: IndexPolicy, progress: Progress
) -> None:
    _write_bytes(staged / LED_GRAPH, content.led_onnx)
    _write_bytes(staged / LED_SPEC, encode_spec(content.led_spec))
    _write_bytes(staged / GOLDEN, encode_golden(content.golden))
    if content.timelines:
        lines = [msgspec.json.encode(timeline) for timeline in content.timelines]
        _write_bytes(staged / TIMELINES, b"\n".join(lines) + b"\n")
    countries = {}
    for done, (code, country) in enumerate(sorted(content.countries.items())):
        progress(f"indexing {code}", done, len(content.countries))
        golden = [case for case in content.golden if case.country == code]
        countries[code] = _write_country(staged, code, country, golden, policy)
    progress("verifying", len(countries), len(countries))
    manifest = _manifest(staged, content, name, version, countries)
    _write_bytes(staged / MANIFEST_NAME, encode_manifest(manifest))
    for folder, _, _ in os.walk(staged):
        sync_directory(Path(folder))


def _write_country(
    staged: Path, code: str, country: CountryContent, golden: Sequence[GoldenCase], policy: IndexPolicy
) -> CountryEntry:
    columns: dict[Column, object] = {
        "keys": country.keys,
        "titles": country.titles,
        "merchants": country.merchants,
        "categories": country.categories,
    }
    present = {column: list(strings) for column, strings in columns.items() if strings is not None}  # type: ignore[call-overload]
    save_array(staged / catalog_array(code, "item_ids"), country.item_ids.astype(np.uint64))
    save_array(staged / catalog_array(code, "popularity"), country.popularity.astype(np.int64))
    for column, strings in present.items():
        utf8, offsets = string_table(code, column)
        StringTable.of(strings).save(staged / utf8, staged / offsets)
    vectors = np.column_stack([country.led_vectors, country.led_biases]).astype(np.float32)
    save_array(staged / led_vectors(code), vectors)
    calibrated = calibrate(code, vectors, country.calibration_queries, country.own_queries, golden, policy)
    if calibrated.index:
        calibrated.index.save(staged / led_index(code))
    return CountryEntry(items=len(vectors), columns=tuple(present), led=calibrated.entry)


def _manifest(
    staged: Path, content: BundleContent, name: str, version: str, countries: Mapping[str, CountryEntry]
) -> Manifest:
    paths = sorted(path for path in staged.rglob("*") if path.is_file())
    return Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        name=name,
        version=version,
        created_ms=round(time.time() * 1000),
        files=tuple(_file_entry(staged, path) for path in paths),
        encoders={"led": EncoderEntry(spec=LED_SPEC, graph=LED_GRAPH)},
        countries=dict(countries),
        training=TrainingEntry(
            data_fingerprint=content.data_fingerprint,
            seed=content.seed,
            metrics={model: dict(values) for model, values in content.metrics.items()},
            config=json.loads(json.dumps(content.config)),
        ),
    )


def _file_entry(staged: Path, path: Path) -> FileEntry:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return FileEntry(path=path.relative_to(staged).as_posix(), bytes=path.stat().st_size, sha256=file_sha256(path))


def _write_bytes(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
