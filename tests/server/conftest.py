"""Fixtures of the server's tests: published tiny bundles and one shared real server."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_server import RunningServer

from index_store.bundle import Bundle, load_bundle
from index_store.content import BundleContent
from index_store.publish import publish
from tiny_bundle import POLICY, tiny_content
from tiny_sources import full_content as make_full_content

NAME = "tiny"
PROFILES = """
[serving]
fallback_country = "US"
[profiles.default]
sources = [
  { name = "led" }, { name = "two_tower" }, { name = "pdn" }, { name = "item_interaction" },
  { name = "popular", weight = 0.5 },
]
[profiles.led]
sources = [{ name = "led" }]
fusion = "single"
[profiles.two_tower]
sources = [{ name = "two_tower" }]
fusion = "single"
[profiles.pdn]
sources = [{ name = "pdn" }]
fusion = "single"
[profiles.varied]
sources = [{ name = "led" }, { name = "two_tower" }]
fusion = "quota"
exclude_history = true
[profiles.varied.diversity]
max_per_category = 2
"""
Publish = Callable[[str, BundleContent], Path]


@pytest.fixture(scope="session")
def content() -> BundleContent:
    """What the shared bundle is made of."""
    return tiny_content(1)


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory, content: BundleContent) -> Path:
    """A bundle root with version v1 of "tiny", read only."""
    root = tmp_path_factory.mktemp("bundles")
    publish(content, root=root, name=NAME, version="v1", policy=POLICY)
    return root


@pytest.fixture(scope="session")
def bundle(shared_root: Path) -> Bundle:
    """The shared bundle, loaded in the test's process."""
    return load_bundle(shared_root / NAME / "v1")


@pytest.fixture(scope="session")
def server(shared_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that leave it as it is."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with RunningServer(log, bundle_root=shared_root, bundle_name=NAME) as running:
        yield running.wait_until_serving()


@pytest.fixture(scope="session")
def full_content() -> BundleContent:
    """A bundle with every source."""
    return make_full_content(1)


@pytest.fixture(scope="session")
def full_root(tmp_path_factory: pytest.TempPathFactory, full_content: BundleContent) -> Path:
    """A bundle root with it as version v1, read only, and the settings file `profiles.toml`."""
    root = tmp_path_factory.mktemp("full")
    publish(full_content, root=root, name=NAME, version="v1", policy=POLICY)
    (root / "profiles.toml").write_text(PROFILES)
    return root


@pytest.fixture(scope="session")
def full_server(full_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server of every source for all tests that leave it as it is."""
    log = tmp_path_factory.mktemp("full-server") / "log.txt"
    settings = {"bundle_root": full_root, "bundle_name": NAME, "config": full_root / "profiles.toml"}
    with RunningServer(log, **settings) as running:
        yield running.wait_until_serving()


@pytest.fixture
def root(tmp_path: Path, shared_root: Path) -> Path:
    """A bundle root of the test's own, with version v1."""
    return shutil.copytree(shared_root, tmp_path / "bundles")


@pytest.fixture
def publish_version(root: Path) -> Publish:
    """Publish another version into `root` and point CURRENT at it."""

    def publish_it(version: str, content: BundleContent) -> Path:
        return publish(content, root=root, name=NAME, version=version, policy=POLICY)

    return publish_it


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Callable[..., RunningServer]:
    """Prepare a server of the test's own on `root`."""

    def prepare(**settings: object) -> RunningServer:
        return RunningServer(tmp_path / "log.txt", **{"bundle_root": root, "bundle_name": NAME, **settings})

    return prepare
