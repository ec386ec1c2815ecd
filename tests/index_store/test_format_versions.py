"""Bundles of every format version that was ever written load, and say what they are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from index_store.bundle import load_bundle, verify_bundle
from index_store.errors import FormatVersionUnsupported, LayoutMismatch, ManifestMalformed
from index_store.publish import publish
from tiny_bundle import POLICY, tiny_content
from tiny_sources import full_content

STORED = Path(__file__).parent / "stored-1.0" / "tiny" / "v1"
STORED_1_1 = Path(__file__).parent / "stored-1.1" / "tiny" / "v1"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A copy of a bundle that the writer of format 1.0 published: DE exact, FR with a graph."""
    return Path(shutil.copytree(STORED, tmp_path / "tiny" / "v1"))


def test_a_stored_bundle_of_format_1_0_verifies() -> None:
    """Every check and golden request passes; what 1.0 has not is absent."""
    bundle = verify_bundle(STORED)
    assert (bundle.format_version, bundle.sources) == ("1.0", ("led",))
    assert bundle.source_golden == ()
    assert {code: country.led.entry.engine for code, country in bundle.countries.items()} == {
        "DE": "exact",
        "FR": "hnsw",
    }
    for country in bundle.countries.values():
        assert (country.two_tower, country.pdn, country.item_interaction) == (None, None, None)
        assert country.catalog.prices is None
    assert bundle.countries["FR"].catalog.rows_of_merchant("merchant-1").tolist() == list(range(1, 60, 7))


def test_a_stored_bundle_of_format_1_1_verifies() -> None:
    """Every check and golden request of all four sources passes; what 1.1 has not is absent."""
    bundle = verify_bundle(STORED_1_1)
    assert (bundle.format_version, bundle.sources) == ("1.1", ("led", "two_tower", "pdn", "item_interaction"))
    led = bundle.countries["FR"].led.entry
    assert (led.engine, led.scann, led.reason) == ("hnsw", None, "")
    assert {point.m for point in led.curve} == {None}
    assert sum(led.chosen(point) for point in led.curve) == 1


@pytest.mark.parametrize(("field", "value"), [("reason", ""), ("scann", None)])
def test_fields_of_1_2_are_none_of_1_1(tmp_path: Path, field: str, value: object) -> None:
    """A manifest of 1.1 with a field that a reader of 1.1 would not know is refused, even if it is null."""
    copy = Path(shutil.copytree(STORED_1_1, tmp_path / "tiny" / "v1"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["countries"]["FR"]["item_interaction"]["CART"][field] = value
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ManifestMalformed, match=r"no field of format 1\.1"):
        load_bundle(copy)


def test_a_curve_of_1_1_names_no_engine(tmp_path: Path) -> None:
    """Points of 1.1 are a graph's; a point that says so is of 1.2."""
    copy = Path(shutil.copytree(STORED_1_1, tmp_path / "tiny" / "v1"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["countries"]["FR"]["led"]["curve"][0]["engine"] = "hnsw"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ManifestMalformed, match=r"'engine' is no field of format 1\.1"):
        load_bundle(copy)


def test_a_bundle_of_led_alone_is_of_1_2_without_the_new_files(tmp_path: Path) -> None:
    """Publishing writes 1.2 and no file that LED does not need."""
    path = publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    bundle = load_bundle(path)
    assert (bundle.format_version, bundle.sources) == ("1.2", ("led",))
    assert not (path / "golden" / "sources.json").exists()


def test_a_bundle_of_1_2_is_none_of_1_0(tmp_path: Path) -> None:
    """A manifest of 1.2 that calls itself 1.0 is refused: 1.0 has no such fields."""
    path = publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format_version": "1.0"}))
    with pytest.raises(ManifestMalformed, match=r"no field of format 1\.0"):
        load_bundle(path)


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_a_bundle_of_1_0_may_call_itself_a_newer_one(stored: Path, version: str) -> None:
    """All that newer versions add is optional."""
    manifest = json.loads((stored / "manifest.json").read_text())
    (stored / "manifest.json").write_text(json.dumps(manifest | {"format_version": version}))
    assert verify_bundle(stored).format_version == version


def test_source_golden_requests_are_no_part_of_a_bundle_of_1_0(stored: Path) -> None:
    """A file of the new layout in an old bundle is refused, listed or not."""
    (stored / "golden" / "sources.json").write_bytes(b"[]")
    manifest = json.loads((stored / "manifest.json").read_text())
    digest = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    manifest["files"].append({"path": "golden/sources.json", "bytes": 2, "sha256": digest})
    (stored / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LayoutMismatch):
        load_bundle(stored)


@pytest.mark.parametrize("version", ["0.9", "1.3", "1.10", "1", "2.0"])
def test_versions_that_nobody_knows_are_refused(stored: Path, version: str) -> None:
    """Only 1.0 to 1.2 are read."""
    manifest = json.loads((stored / "manifest.json").read_text())
    (stored / "manifest.json").write_text(json.dumps(manifest | {"format_version": version}))
    with pytest.raises(FormatVersionUnsupported, match=r"1\.0 or 1\.1 or 1\.2"):
        load_bundle(stored)


def test_all_sources_come_back_as_they_were_published(tmp_path: Path) -> None:
    """Arrays, prices, settings and encoders' specs are what was handed in."""
    content = full_content(seed=3)
    bundle = verify_bundle(publish(content, root=tmp_path, name="tiny", version="v1", policy=POLICY))
    assert bundle.sources == ("led", "two_tower", "pdn", "item_interaction")
    assert {name: bundle.specs[name] for name in content.encoders} == {n: e.spec for n, e in content.encoders.items()}
    for code, given in content.countries.items():
        country = bundle.countries[code]
        for name in ("vectors", "input_vectors"):
            assert np.array_equal(getattr(country.two_tower, name), getattr(given.two_tower, name))
        for name in ("neighbours", "scores", "item_vectors", "trigger_vectors"):
            assert np.array_equal(getattr(country.pdn, name), getattr(given.pdn, name))
        assert country.pdn.triggers == content.pdn_triggers
        assert country.item_interaction.pairs.keys() == given.item_interaction.keys()
        for kind, pairs in given.item_interaction.items():
            assert np.array_equal(country.item_interaction.pairs[kind].rows, pairs.rows)
            assert np.array_equal(country.item_interaction.pairs[kind].vectors, pairs.vectors)
        assert (country.item_interaction.sources, country.item_interaction.targets) == (
            content.item_interaction.sources,
            content.item_interaction.targets,
        )
        assert (country.catalog.prices is None) == (given.prices is None)
        if given.prices is not None:
            assert np.array_equal(country.catalog.prices, given.prices, equal_nan=True)


def test_only_target_types_get_an_index(tmp_path: Path) -> None:
    """FR has enough views for a graph, but nobody searches among them."""
    bundle = load_bundle(publish(full_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY))
    entries = bundle.manifest.countries["FR"].item_interaction
    assert {kind: entry.engine for kind, entry in entries.items()} == {
        "VIEW": "exact",
        "CART": "hnsw",
        "PURCHASE": "exact",
    }
    assert (entries["VIEW"].queries, entries["VIEW"].count) == (0, 270)
