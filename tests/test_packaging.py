"""Facts of the repository that nothing else would notice."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
OURS = ["protos", "models", "index_store", "server"]


@pytest.mark.parametrize("name", OURS)
def test_our_packages_are_ours(tmp_path: Path, name: str) -> None:
    """Generic names resolve inside this tree, from any directory: not to a dependency with the same name."""
    script = f"import importlib.util; print(importlib.util.find_spec({name!r}).origin)"
    found = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    origin = Path(found.stdout.strip())
    assert origin.is_relative_to(ROOT)
    assert ".venv" not in origin.parts


def test_the_wheel_has_every_serving_package_and_no_other() -> None:
    """What is listed for the wheel is what serves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert sorted(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(OURS)


@pytest.mark.parametrize("path", ["pyproject.toml", "training/pyproject.toml", "client/pyproject.toml"])
def test_every_dependency_is_pinned(path: str) -> None:
    """Each requirement of every distribution has an exact version in constraints.txt."""
    project = tomllib.loads((ROOT / path).read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    requirements = [*project["dependencies"], *(each for extra in extras for each in extra)]
    names = {re.match(r"[A-Za-z0-9._-]+", each)[0].lower() for each in requirements} - {"shortlist"}  # type: ignore[index]
    pins = re.findall(r"^([A-Za-z0-9._-]+)==\S+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert {name.replace("_", "-") for name in names} <= {pin.lower().replace("_", "-") for pin in pins}


def test_every_must_of_the_format_has_its_error_and_every_error_its_must() -> None:
    """The numbers and names in docs/bundle-format.md are those of index_store/errors.py."""
    from index_store import errors  # noqa: PLC0415 - only this test speaks of it

    text = (ROOT / "docs" / "bundle-format.md").read_text()
    documented = re.findall(r"^- \*\*(M\d+)\*\* (?:.|\n)*?\(`(\w+)`\)", text, re.MULTILINE)
    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.BundleError)
    ]
    assert documented == [(each.rule, each.__name__) for each in classes if each is not errors.BundleError]


def test_the_configuration_page_has_every_setting_and_no_other() -> None:
    """Keys, variables and defaults of the settings table are those of the code."""
    from server.settings import SPECS  # noqa: PLC0415 - only this test speaks of it

    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `(\w+)` \| `?([^`|]+?)`? \|", page, re.MULTILINE)
    values = {spec.toml_key: f"{spec.default:g}" if isinstance(spec.default, float) else spec.default for spec in SPECS}
    shown = {key: str(value) or '""' for key, value in values.items()}
    assert rows == [(spec.toml_key, spec.variable, shown[spec.toml_key]) for spec in _in_order(rows, SPECS)]
    assert len(rows) == len(SPECS)


def _in_order(rows: list[tuple[str, str, str]], specs: tuple[Any, ...]) -> list[Any]:
    by_key = {spec.toml_key: spec for spec in specs}
    return [by_key[key] for key, _, _ in rows]


def test_the_page_has_every_metric_and_no_other() -> None:
    """What a fresh server would expose is what the table lists."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - only this test speaks of them

    from server.board import Board  # noqa: PLC0415
    from server.collector import BoardCollector  # noqa: PLC0415
    from server.master_metrics import MasterMetrics  # noqa: PLC0415
    from server.reports import CountryReport, Ready  # noqa: PLC0415

    metrics = MasterMetrics()
    metrics.serving = Ready("demo", "v1", "1.0", 1, (CountryReport("FR", 1),))
    registry = CollectorRegistry()
    registry.register(BoardCollector(Board.create(1), metrics))
    exposed = set(re.findall(r"^# TYPE (\w+)", generate_latest(registry).decode(), re.MULTILINE))
    documented = re.findall(
        r"^\| `((?:grpc|shortlist)_\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    assert set(documented) == exposed
    assert len(documented) == len(exposed)


def test_exit_codes_of_the_readme_are_those_of_the_code() -> None:
    """Each number is named in the README and in the command's help."""
    from server import exit_codes  # noqa: PLC0415 - only this test speaks of them
    from server.cli import EXIT_CODES  # noqa: PLC0415

    internal = {"WORKER_BOOT"}
    codes = {value for name, value in vars(exit_codes).items() if name.isupper() and name not in internal}
    for text in (EXIT_CODES, (ROOT / "README.md").read_text().partition("Exit codes:")[2].partition("##")[0]):
        assert {int(number) for number in re.findall(r"\b(\d+) [a-z]", text)} == codes
