"""The command line over a bundle, without a server: `inspect` and `verify`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import one_line_of, shortlist

from index_store.publish import publish
from tiny_bundle import POLICY, tiny_content


def test_inspect_and_verify_print_what_a_bundle_says_as_it_is(odd_root: Path, tmp_path: Path) -> None:
    """Fingerprints, model names and folders with brackets are no markup."""
    result = shortlist("inspect", odd_root / "tiny")
    assert result.returncode == 0, result.stderr
    for text in ("on data [/x]…", "[/led]", "[/recall]"):
        assert text in result.stdout
    folder = tmp_path / "[" / "x]"
    folder.mkdir(parents=True)
    for command in ("inspect", "verify"):
        refused = shortlist(command, folder)
        assert "[/x]" in one_line_of(refused)
        assert refused.returncode == 3


def test_inspect_refuses_a_year_that_no_calendar_has(root: Path, tmp_path: Path) -> None:
    """A time that cannot be printed is the manifest's fault."""
    manifest = json.loads((root / "tiny" / "v1" / "manifest.json").read_text())
    folder = tmp_path / "tiny" / "v1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "created_ms": 2**62}))
    result = shortlist("inspect", folder)
    assert "created_ms" in one_line_of(result)
    assert result.returncode == 3


def test_verify_accepts_a_good_bundle_by_version_and_by_name(root: Path) -> None:
    """Both the version's directory and the bundle's directory with its CURRENT are understood."""
    for path in (root / "tiny", root / "tiny" / "v1"):
        result = shortlist("verify", path)
        assert result.returncode == 0
        assert "tiny/v1 is good: format 1.2, 3 countries" in result.stdout


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_what_is_no_bundle_is_refused_in_one_line(tmp_path: Path, command: str) -> None:
    """A folder without a manifest is refused by name with the exit code for bundles."""
    result = shortlist(command, tmp_path)
    assert "ManifestMissing (M1)" in one_line_of(result)
    assert result.returncode == 3


@pytest.mark.parametrize("command", ["verify", "inspect"])
@pytest.mark.parametrize("make", [lambda folder: folder / ("x" * 300), lambda folder: _circle(folder / "circle")])
def test_a_path_that_cannot_be_followed_is_refused_in_one_line(
    tmp_path: Path, command: str, make: Callable[[Path], Path]
) -> None:
    """What the operating system says of it is told with the exit code for bundles."""
    result = shortlist(command, make(tmp_path))
    assert "BundleUnreadable (M22): " in one_line_of(result)
    assert result.returncode == 3


def _circle(path: Path) -> Path:
    path.symlink_to(path)
    return path


def test_verify_refuses_a_flipped_bit(tmp_path: Path) -> None:
    """The checksum error names the file."""
    publish(tiny_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    path = tmp_path / "tiny" / "v1" / "countries" / "FR" / "led" / "index.bin"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    result = shortlist("verify", tmp_path / "tiny")
    assert "ChecksumMismatch (M10): countries/FR/led/index.bin" in one_line_of(result)
    assert result.returncode == 3


def test_inspect_shows_countries_curve_and_metrics(root: Path) -> None:
    """What a person wants to know of a bundle is in the tables."""
    result = shortlist("inspect", root / "tiny")
    assert result.returncode == 0
    for text in (
        "tiny version v1",
        "3 countries, 460 items",
        "FR, led: recall@10 against",
        "chosen",
        "popularity",
    ):
        assert text in result.stdout


def test_inspect_as_json_is_the_manifest(root: Path) -> None:
    """`--json` gives the manifest to a program."""
    result = shortlist("inspect", root / "tiny", "--json")
    assert json.loads(result.stdout) == json.loads((root / "tiny" / "v1" / "manifest.json").read_text())
