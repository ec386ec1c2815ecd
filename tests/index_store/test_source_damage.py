"""A bundle of all four sources that is damaged anywhere is refused by name, before anything of it is used."""

import shutil
from pathlib import Path

import pytest

from index_store.bundle import load_bundle, verify_bundle
from index_store.publish import publish
from source_damage import SOURCE_DAMAGES, SOURCE_ENCODER_DAMAGES
from tiny_bundle import POLICY
from tiny_sources import full_content


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good bundle that the tests copy."""
    root = tmp_path_factory.mktemp("bundles")
    return publish(full_content(), root=root, name="tiny", version="v1", policy=POLICY)


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    """A copy of the good bundle, under the same name and version."""
    target = tmp_path / published.parent.name / published.name
    shutil.copytree(published, target)
    return target


def test_the_undamaged_copy_is_accepted(copy: Path) -> None:
    """What the damages start from passes every check and has all sources."""
    assert verify_bundle(copy).sources == ("led", "two_tower", "pdn", "item_interaction")


@pytest.mark.parametrize("name", SOURCE_DAMAGES)
def test_loading_refuses_by_name(copy: Path, name: str) -> None:
    """Each damage raises the error of the MUST it breaks, with the MUST's number in the message."""
    damage, error = SOURCE_DAMAGES[name]
    damage(copy)
    with pytest.raises(error) as caught:
        load_bundle(copy)
    assert type(caught.value) is error
    assert f"({error.rule})" in str(caught.value)


@pytest.mark.parametrize("name", SOURCE_ENCODER_DAMAGES)
def test_verifying_refuses_what_only_the_encoders_show(copy: Path, name: str) -> None:
    """What loading cannot see, because it opens no session, opening and replaying refuses."""
    damage, error = SOURCE_ENCODER_DAMAGES[name]
    damage(copy)
    load_bundle(copy)
    with pytest.raises(error) as caught:
        verify_bundle(copy)
    assert type(caught.value) is error


def test_every_rule_of_the_new_sources_has_a_damage() -> None:
    """The list of damages that the other tests go through has not been emptied by accident."""
    rules = {error.rule for _, error in (SOURCE_DAMAGES | SOURCE_ENCODER_DAMAGES).values()}
    assert rules >= {f"M{number}" for number in (3, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20, 23, 24, 25)}
