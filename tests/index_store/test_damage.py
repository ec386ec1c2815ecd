"""A damaged bundle is refused by name, before anything of it is used."""

import shutil
from pathlib import Path

import pytest

from damage import DAMAGES, ENCODER_DAMAGES
from index_store.bundle import load_bundle, verify_bundle
from index_store.publish import publish
from tiny_bundle import POLICY, tiny_content


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good bundle that the tests copy."""
    root = tmp_path_factory.mktemp("bundles")
    return publish(tiny_content(), root=root, name="tiny", version="v1", policy=POLICY)


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    """A copy of the good bundle, under the same name and version."""
    target = tmp_path / published.parent.name / published.name
    shutil.copytree(published, target)
    return target


def test_the_undamaged_copy_is_accepted(copy: Path) -> None:
    """What the damages start from passes every check."""
    assert verify_bundle(copy).version == "v1"


@pytest.mark.parametrize("name", DAMAGES)
def test_loading_refuses_by_name(copy: Path, name: str) -> None:
    """Each damage raises the error of the MUST it breaks, with the MUST's number in the message."""
    damage, error = DAMAGES[name]
    damage(copy)
    with pytest.raises(error) as caught:
        load_bundle(copy)
    assert type(caught.value) is error
    assert f"({error.rule})" in str(caught.value)


@pytest.mark.parametrize("name", ENCODER_DAMAGES)
def test_verifying_refuses_what_only_the_encoder_shows(copy: Path, name: str) -> None:
    """What loading cannot see, because it opens no session, opening and replaying refuses."""
    damage, error = ENCODER_DAMAGES[name]
    damage(copy)
    with pytest.raises(error) as caught:
        verify_bundle(copy)
    assert type(caught.value) is error
