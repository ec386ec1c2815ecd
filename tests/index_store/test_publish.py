"""Publishing is all or nothing, and what is published loads as what was handed in."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from damage import DAMAGES
from index_store.bundle import load_bundle, verify_bundle
from index_store.errors import BundleUnreadable, CurrentInvalid, GoldenMismatch, RecallUnderTarget, VersionExists
from index_store.location import current_bundle, set_current
from index_store.manifest import Space
from index_store.publish import publish
from tiny_bundle import POLICY, tiny_content, with_wrong_golden


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
