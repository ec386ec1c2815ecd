"""The documentation site."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from running_server import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; the build is strict, so a link that leads nowhere fails it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-d", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=ROOT, check=True, env=environment)
    return folder


def _pages(nav: object) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    values = nav.values() if isinstance(nav, dict) else nav
    return {page for value in values for page in _pages(value)}  # type: ignore[attr-defined]


def test_every_page_is_in_the_navigation() -> None:
    """A page that nobody can find might as well not be there."""
    nav = _pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert written <= nav


def test_the_api_reference_has_every_method_and_field(site: Path) -> None:
    """The page is made from the proto, comments included."""
    page = (site / "api.html").read_text(encoding="utf-8")
    for words in (
        "RetrieveBatch",
        "excluded_item_keys",
        "FALLBACK_UNKNOWN_HISTORY",
        "Which country's catalogue answered",
    ):
        assert words in page


def test_readmes_are_pages_with_links_that_stay_on_the_site(site: Path) -> None:
    """The quick start is the repository's README, and its links lead to pages."""
    page = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="bundle-format.html"' in page
    assert 'href="training.html"' in page
    assert "docs/bundle-format.md" not in page
