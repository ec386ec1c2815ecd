"""Facts of the repository that nothing else would notice."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ["protos", "models", "index_store", "server"]


@pytest.mark.parametrize("name", OURS)
def test_our_packages_are_ours(name: str) -> None:
    """Generic names resolve inside this tree, not to a dependency that installs the same name."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


def test_the_wheel_has_every_serving_package_and_no_other() -> None:
    """What is listed for the wheel is what serves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert sorted(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(OURS)


@pytest.mark.parametrize("path", ["pyproject.toml", "training/pyproject.toml"])
def test_every_dependency_is_pinned(path: str) -> None:
    """Each requirement of both distributions has an exact version in constraints.txt."""
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
