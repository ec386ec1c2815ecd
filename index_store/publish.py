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
from index_store.content import BundleContent, CountryContent, EncoderContent, GoldenCase, IndexPolicy
from index_store.errors import VersionExists
from index_store.format_versions import FORMAT_VERSION
from index_store.golden import encode_golden
from index_store.index_entry import VectorEntry
from index_store.integrity import file_sha256
from index_store.layout import (
    GOLDEN,
    SOURCE_GOLDEN,
    TIMELINES,
    catalog_array,
    encoder_files,
    led_vectors,
    string_table,
)
from index_store.location import set_current, sync_directory
from index_store.manifest import (
    FORMAT,
    MANIFEST_NAME,
    Column,
    CountryEntry,
    FileEntry,
    InteractionEntry,
    Manifest,
    TrainingEntry,
    encode_manifest,
)
from index_store.publish_sources import type_name, write_item_interaction, write_pdn, write_two_tower
from index_store.recall import GoldenSearch
from index_store.source_golden import encode_source_golden
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
    for encoder, exported in _encoders(content).items():
        _write_bytes(staged / encoder_files(encoder).graph, exported.graph)
        _write_bytes(staged / encoder_files(encoder).spec, encode_spec(exported.spec))
    _write_bytes(staged / GOLDEN, encode_golden(content.golden))
    if _sources(content):
        _write_bytes(staged / SOURCE_GOLDEN, encode_source_golden(content.source_golden))
    if content.timelines:
        lines = [msgspec.json.encode(timeline) for timeline in content.timelines]
        _write_bytes(staged / TIMELINES, b"\n".join(lines) + b"\n")
    countries = {}
    for done, (code, country) in enumerate(sorted(content.countries.items())):
        progress(f"indexing {code}", done, len(content.countries))
        countries[code] = _write_country(staged, code, country, content, policy)
    progress("verifying", len(countries), len(countries))
    manifest = _manifest(staged, content, name, version, countries)
    _write_bytes(staged / MANIFEST_NAME, encode_manifest(manifest))
    for folder, _, _ in os.walk(staged):
        sync_directory(Path(folder))


def _encoders(content: BundleContent) -> dict[str, EncoderContent]:
    return {"led": EncoderContent(content.led_onnx, content.led_spec), **content.encoders}


def _sources(content: BundleContent) -> bool:
    """Whether there is any source but LED."""
    countries = content.countries.values()
    return any(each.two_tower or each.pdn or each.item_interaction for each in countries)


def _write_country(
    staged: Path, code: str, country: CountryContent, content: BundleContent, policy: IndexPolicy
) -> CountryEntry:
    columns = _write_catalog(staged, code, country)
    cases = [case for case in content.source_golden if case.country == code]
    return CountryEntry(
        items=len(country.item_ids),
        columns=columns,
        led=_write_led(staged, code, country, [case for case in content.golden if case.country == code], policy),
        prices=country.prices is not None,
        two_tower=write_two_tower(staged, code, country, cases, policy),
        pdn=write_pdn(staged, code, country),
        item_interaction=write_item_interaction(staged, code, country, cases, content.item_interaction, policy),
    )


def _write_catalog(staged: Path, code: str, country: CountryContent) -> tuple[Column, ...]:
    columns: dict[Column, Sequence[str] | None] = {
        "keys": country.keys,
        "titles": country.titles,
        "merchants": country.merchants,
        "categories": country.categories,
    }
    present = {column: list(strings) for column, strings in columns.items() if strings is not None}
    save_array(staged / catalog_array(code, "item_ids"), country.item_ids.astype(np.uint64))
    save_array(staged / catalog_array(code, "popularity"), country.popularity.astype(np.int64))
    if country.prices is not None:
        save_array(staged / catalog_array(code, "prices"), country.prices.astype(np.float32))
    for column, strings in present.items():
        utf8, offsets = string_table(code, column)
        StringTable.of(strings).save(staged / utf8, staged / offsets)
    return tuple(present)


def _write_led(
    staged: Path, code: str, country: CountryContent, cases: Sequence[GoldenCase], policy: IndexPolicy
) -> VectorEntry:
    vectors = np.column_stack([country.led_vectors, country.led_biases]).astype(np.float32)
    save_array(staged / led_vectors(code), vectors)
    # null histories never reach an index
    golden = [GoldenSearch.of(vectors, case.user_vector, case.k) for case in cases if len(case.history)]
    calibrated = calibrate(code, vectors, country.calibration_queries, country.own_queries, golden, policy)
    if calibrated.index:
        calibrated.index.save((staged / led_vectors(code)).parent)
    return calibrated.entry


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
        encoders={encoder: encoder_files(encoder) for encoder in _encoders(content)},
        countries=dict(countries),
        training=TrainingEntry(
            data_fingerprint=content.data_fingerprint,
            seed=content.seed,
            metrics={model: dict(values) for model, values in content.metrics.items()},
            config=json.loads(json.dumps(content.config)),
        ),
        pdn_triggers=content.pdn_triggers if any(each.pdn for each in content.countries.values()) else None,
        item_interaction=_interaction_settings(content),
    )


def _interaction_settings(content: BundleContent) -> InteractionEntry | None:
    settings = content.item_interaction
    if settings is None:
        return None
    return InteractionEntry(
        sources=tuple(type_name(kind) for kind in settings.sources),
        targets=tuple(type_name(kind) for kind in settings.targets),
        last_n=settings.last_n,
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
