"""Publishing is all or nothing, and what is published loads as what was handed in."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from damage import DAMAGES
from index_store.bundle import load_bundle, verify_bundle
from index_store.errors import (
    BundleUnreadable,
    CurrentInvalid,
    GoldenMismatch,
    LayoutMismatch,
    RecallUnderTarget,
    SourcesMismatch,
    VersionExists,
)
from index_store.index_entry import Space
from index_store.item_interaction import merged
from index_store.location import current_bundle, set_current
from index_store.publish import publish
from tiny_bundle import POLICY, tiny_content, with_wrong_golden
from tiny_sources import full_content


def test_what_is_loaded_is_what_was_published(tmp_path: Path) -> None:
    """Ids, keys, details, vectors, biases and the origin come back unchanged."""
    content = tiny_content(seed=4)
    bundle = verify_bundle(publish(content, root=tmp_path, name="tiny", version="v1", policy=POLICY))
    assert bundle.countries.keys() == content.countries.keys()
    for code, country in bundle.countries.items():
        given = content.countries[code]
        assert np.array_equal(country.catalog.item_ids, given.item_ids)
        assert np.array_equal(country.catalog.popularity, given.popularity)
        assert np.array_equal(country.led.vectors[:, :-1], given.led_vectors)
        assert np.array_equal(country.led.biases, given.led_biases)
        if given.titles:
            assert [country.catalog.details(row).title for row in range(country.catalog.size)] == given.titles
    assert bundle.manifest.training.metrics == content.metrics
    assert bundle.manifest.training.data_fingerprint == content.data_fingerprint


def test_publishing_points_current_at_the_new_version(tmp_path: Path) -> None:
    """The newest publication is the one that a server finds, and the older one stays."""
    for version in ("v1", "v2"):
        publish(tiny_content(), root=tmp_path, name="tiny", version=version, policy=POLICY)
        assert current_bundle(tmp_path, "tiny").name == version
    assert load_bundle(tmp_path / "tiny" / "v1").version == "v1"


def test_a_published_version_is_never_written_again(tmp_path: Path) -> None:
    """Publishing an existing version is refused and changes nothing."""
    path = publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    before = (path / "manifest.json").read_bytes()
    with pytest.raises(VersionExists):
        publish(tiny_content(seed=9), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    assert (path / "manifest.json").read_bytes() == before


def test_a_bundle_under_its_recall_target_is_not_published(tmp_path: Path) -> None:
    """The old version stays current, and nothing of the refused one is left."""
    publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    poor = replace(POLICY, recall_target=1.0, m=2, ef_construction=2, ef_grid=(10,))
    with pytest.raises(RecallUnderTarget):
        publish(tiny_content(sizes={"FR": 3000}), root=tmp_path, name="tiny", version="v2", policy=poor)
    assert current_bundle(tmp_path, "tiny").name == "v1"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_dir() and path.parent.name == "tiny") == ["v1"]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_bundle_that_answers_unlike_training_is_not_published(tmp_path: Path) -> None:
    """Golden requests are replayed before the rename."""
    with pytest.raises(GoldenMismatch):
        publish(with_wrong_golden(tiny_content()), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    assert not (tmp_path / "tiny").exists()


def test_the_same_content_gives_the_same_index_bytes(tmp_path: Path) -> None:
    """Publishing twice from one seed gives files with equal hashes, the clock in the manifest apart."""
    bundles = [
        load_bundle(publish(tiny_content(), root=tmp_path, name="tiny", version=v, policy=POLICY)) for v in ("a", "b")
    ]
    assert bundles[0].manifest.files == bundles[1].manifest.files


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    """The graphs of all sources are built in row order from one seed."""
    bundles = [
        load_bundle(publish(full_content(), root=tmp_path, name="tiny", version=v, policy=POLICY)) for v in ("a", "b")
    ]
    assert bundles[0].manifest.files == bundles[1].manifest.files


@pytest.mark.parametrize("name", ["two_tower_query", "trignet", "pdn_user"])
def test_an_encoder_of_another_training_is_not_published(tmp_path: Path, name: str) -> None:
    """Same inputs, same dimensions, other weights: only the golden requests can tell, and they do."""
    content, other = full_content(seed=1), full_content(seed=2)
    mixed = replace(content, encoders={**content.encoders, name: other.encoders[name]})
    with pytest.raises(GoldenMismatch, match=f"encoder {name}"):
        publish(mixed, root=tmp_path, name="tiny", version="v1", policy=POLICY)
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize("source", ["two_tower", "pdn", "item_interaction"])
def test_a_source_that_answers_unlike_training_is_not_published(tmp_path: Path, source: str) -> None:
    """Each source's golden requests are replayed before the rename."""
    content = full_content()
    wrong = [
        replace(case, scores=[score + 0.5 for score in case.scores]) if case.source == source else case
        for case in content.source_golden
    ]
    with pytest.raises(GoldenMismatch, match=f"to {source}"):
        publish(replace(content, source_golden=wrong), root=tmp_path, name="tiny", version="v1", policy=POLICY)


def test_a_source_under_its_recall_target_is_named(tmp_path: Path) -> None:
    """The error says which country's source cannot be searched well enough."""
    content = full_content()
    french = content.countries["FR"]
    tower = replace(french.two_tower, calibration_queries=french.two_tower.calibration_queries[:0])
    countries = {**content.countries, "FR": replace(french, two_tower=tower)}
    with pytest.raises(RecallUnderTarget, match="FR, two_tower: 300 items need an index, and there is no query"):
        publish(replace(content, countries=countries), root=tmp_path, name="tiny", version="v1", policy=POLICY)


def test_a_country_without_a_source_that_others_have_is_not_published(tmp_path: Path) -> None:
    """A source is in all countries or in none."""
    content = full_content()
    countries = {**content.countries, "US": replace(content.countries["US"], pdn=None)}
    with pytest.raises(SourcesMismatch, match="country US"):
        publish(replace(content, countries=countries), root=tmp_path, name="tiny", version="v1", policy=POLICY)


def test_a_source_without_its_encoder_is_not_published(tmp_path: Path) -> None:
    """Vectors alone answer nobody."""
    content = full_content()
    encoders = {name: encoder for name, encoder in content.encoders.items() if name != "trignet"}
    with pytest.raises(LayoutMismatch, match="encoder trignet"):
        publish(replace(content, encoders=encoders), root=tmp_path, name="tiny", version="v1", policy=POLICY)


def test_a_country_whose_items_have_no_pair_is_no_fault(tmp_path: Path) -> None:
    """Item-interaction answers nothing there, and needs no golden request."""
    content = full_content()
    countries = {**content.countries, "DE": replace(content.countries["DE"], item_interaction={})}
    golden = [case for case in content.source_golden if (case.source, case.country) != ("item_interaction", "DE")]
    path = publish(
        replace(content, countries=countries, source_golden=golden),
        root=tmp_path,
        name="tiny",
        version="v1",
        policy=POLICY,
    )
    pairs = load_bundle(path).countries["DE"].item_interaction
    assert pairs is not None
    assert merged(pairs.modules(np.array([1, 2]), np.array([1, 1]), k=5)).rows.tolist() == []


def test_all_encoders_are_opened_by_name(tmp_path: Path) -> None:
    """One session for each encoder of the bundle's sources."""
    for version, content, names in (
        ("v1", tiny_content(), {"led"}),
        ("v2", full_content(), {"led", "two_tower_query", "trignet", "pdn_user"}),
    ):
        bundle = load_bundle(publish(content, root=tmp_path, name="tiny", version=version, policy=POLICY))
        encoders = bundle.open_encoders()
        assert {name: encoder.spec.encoder for name, encoder in encoders.items()} == {name: name for name in names}


@pytest.mark.parametrize("line", ["", "v2", "../v1", "v1\nv2", "/", "\x00", "v1" * 200])
def test_a_pointer_to_nowhere_is_refused(tmp_path: Path, line: str) -> None:
    """`CURRENT` must be one line with the name of a version that is there."""
    publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    (tmp_path / "tiny" / "CURRENT").write_text(line)
    with pytest.raises(CurrentInvalid):
        current_bundle(tmp_path, "tiny")


def test_a_missing_pointer_is_refused(tmp_path: Path) -> None:
    """Nothing published under a name is a clear error."""
    with pytest.raises(CurrentInvalid, match="nothing is published"):
        current_bundle(tmp_path, "tiny")


def test_the_pointer_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Setting `CURRENT` leaves one line and no draft beside it."""
    (tmp_path / "tiny" / "v7").mkdir(parents=True)
    set_current(tmp_path, "tiny", "v7")
    assert (tmp_path / "tiny" / "CURRENT").read_text() == "v7\n"
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["CURRENT", "v7"]


def test_there_are_more_than_forty_damages() -> None:
    """The list of damages that the other tests go through has not been emptied by accident."""
    assert len(DAMAGES) > 80


def test_a_pointer_that_is_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    """Reading `CURRENT` never blocks: the master reads it."""
    (tmp_path / "tiny").mkdir()
    os.mkfifo(tmp_path / "tiny" / "CURRENT")
    with pytest.raises(CurrentInvalid, match="expected a regular file"):
        current_bundle(tmp_path, "tiny")


def test_whatever_else_a_file_makes_a_library_raise_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that no MUST foresees still refuses the bundle by name."""
    path = publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("index_store.bundle.load_golden", fail)
    with pytest.raises(BundleUnreadable, match=r"\(M22\).*MemoryError"):
        load_bundle(path)


@pytest.mark.parametrize("space", ["ip", "l2_augmented"])
def test_graphs_of_both_spaces_pass_their_own_check(tmp_path: Path, space: Space) -> None:
    """What is built and saved is accepted when it is loaded, whichever layout it has."""
    policy = replace(POLICY, spaces=(space,))
    bundle = load_bundle(publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=policy))
    assert {country.led.entry.space for country in bundle.countries.values()} == {space, None}
