"""Bundles that the command line is tried on."""

from dataclasses import replace
from pathlib import Path

import pytest

from index_store.publish import publish
from tiny_bundle import POLICY, tiny_content


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one published bundle."""
    root = tmp_path_factory.mktemp("root")
    publish(tiny_content(), root=root, name="tiny", version="v1", policy=POLICY)
    return root


@pytest.fixture(scope="session")
def odd_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose bundle has brackets and control characters where it may."""
    root = tmp_path_factory.mktemp("odd")
    content = tiny_content()
    titles = ["Shirt [/XL] 3", "[blue] mug :smile:", "a\x1b[2Jb\nc"] * 100
    countries = {**content.countries, "FR": replace(content.countries["FR"], titles=titles)}
    metrics = {"[/led]": {"[/recall]": 0.5}}
    odd = replace(content, countries=countries, data_fingerprint="[/x]", metrics=metrics)
    publish(odd, root=root, name="tiny", version="v1", policy=POLICY)
    return root
