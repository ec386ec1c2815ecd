"""The project file: what is refused, and that the message names the key and what was expected."""

from pathlib import Path
from typing import Any

import pytest

from index_store.content import IndexPolicy
from shortlist_training.config import LoadedProject
from shortlist_training.errors import ConfigError, DataError


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A project path without a file is a data error that says so."""
    with pytest.raises(DataError, match=r"there is no project file .*nowhere\.toml"):
        LoadedProject.read(tmp_path / "nowhere.toml")


def test_broken_toml_is_refused(tmp_path: Path) -> None:
    """Text that is not TOML is a config error with the line."""
    path = tmp_path / "shop.toml"
    path.write_text("name = \n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1"):
        LoadedProject.read(path)


CASES: list[tuple[dict[str, Any], str]] = [
    ({"colour": 1}, "unknown field `colour`"),
    ({"led": {"epoch": 3}}, r"unknown field `epoch` - at `\$\.led`"),
    ({"led": {"dropout": 1.5}}, r"< 1\.0 - at `\$\.led\.dropout`"),
    ({"led": {"tuning": "both"}}, r"'both' - at `\$\.led\.tuning`; expected 'project', 'train'"),
    ({"name": "Shop One"}, r"matching regex .* - at `\$\.name`"),
    ({"svd": {"dim": "big"}}, r"Expected `int`, got `str` - at `\$\.svd\.dim`"),
    ({"index": {"recall": 0.9}}, r"\[index\] has no key 'recall'; its keys are recall_target"),
    ({"index": {"recall_target": "high"}}, r"recall_target"),
    ({"split": {"validation": 0.5, "test": 0.5}}, "leave users to train on"),
    ({"drop": [{"name": "n", "column": "sku"}]}, "rule 'n' needs exactly one of matches, is_null"),
    ({"drop": [{"name": "n", "column": "sku", "equals": 1, "at_most": 2}]}, "rule 'n' needs exactly one of"),
    ({"drop": [{"name": "n", "column": "sku", "matches": "("}]}, "'matches' is not a regular expression"),
    ({"drop": [{"name": "n", "column": "sku", "equals": 1}] * 2}, "have the same name"),
    ({"two_tower": {"split_by": "user"}}, r"'user' - at `\$\.two_tower\.split_by`"),
    ({"two_tower": {"hidden": []}}, r"length >= 1 - at `\$\.two_tower\.hidden`"),
    ({"pdn": {"users": {"origins": []}}}, r"'users\.origins' names at least one.* - at `\$\.pdn`"),
    ({"pdn": {"users": {"origins": ["planet"]}}}, r"'planet' - at `\$\.pdn\.users\.origins\[0\]`; expected '"),
    ({"item_interaction": {"sources": ["CLICK"]}}, r"'sources' names VIEW, FAVORITE, CART or PURCHASE"),
    ({"item_interaction": {"targets": []}}, r"'targets' names .* at least one"),
    ({"led": {"input_types": ["LOOK"]}}, r"'LOOK' - at `\$\.led\.input_types\[0\]`"),
    ({"items": {"path": "items.parquet"}}, "'path' and 'item' .* go together"),
]


@pytest.mark.parametrize(("change", "message"), CASES)
def test_wrong_settings_are_refused(shop: Any, change: dict[str, Any], message: str) -> None:
    """Each wrong key or value is a config error that names it."""
    shop.settings |= change
    with pytest.raises(ConfigError, match=message):
        LoadedProject.read(shop.write_project())


INTERACTION_CASES: list[tuple[dict[str, Any], str]] = [
    ({"type": {}}, "exactly one of 'constant' and 'column'"),
    ({"type": {"column": "action"}}, "'column' needs a 'mapping'"),
    ({"type": {"column": "action", "mapping": {"see": "LOOK"}}}, "'LOOK' .*; expected .*'VIEW'"),
    ({"country": {"constant": "NL", "column": "land"}}, "exactly one of 'constant' and 'column'"),
    ({"country": {"constant": "Holland"}}, r"\^\[A-Z\]\{2\}\$"),
]


@pytest.mark.parametrize(("change", "message"), INTERACTION_CASES)
def test_wrong_sources_are_refused(shop: Any, change: dict[str, Any], message: str) -> None:
    """Types and countries come from exactly one place, in the values that there are."""
    shop.settings["interactions"] |= change
    with pytest.raises(ConfigError, match=message):
        LoadedProject.read(shop.write_project())


def test_index_settings_become_the_publishers_policy(shop: Any) -> None:
    """[index] overrides single fields of `IndexPolicy`; the others keep the publisher's defaults."""
    shop.settings["index"] = {"recall_target": 0.9, "ef_grid": [32, 64]}
    policy = LoadedProject.read(shop.write_project()).project.index_policy()
    assert policy == IndexPolicy(recall_target=0.9, ef_grid=(32, 64))


def test_the_demo_project_is_valid() -> None:
    """The project file in the repository decodes and its table is there."""
    path = Path(__file__).parents[2] / "training/demo/online-retail/online-retail.toml"
    loaded = LoadedProject.read(path)
    assert (loaded.folder / loaded.project.interactions.path).is_file()
    assert len(loaded.project.interactions.country.mapping) == 38


def test_a_source_is_learned_if_its_section_says_so(shop: Any) -> None:
    """Absent and disabled sections leave their source out; an empty section is enough to have it."""
    shop.settings |= {"two_tower": {}, "pdn": {"enabled": False}}
    assert LoadedProject.read(shop.write_project()).project.sources() == ("two_tower",)
    shop.settings |= {"pdn": {}, "item_interaction": {}}
    assert LoadedProject.read(shop.write_project()).project.sources() == ("two_tower", "pdn", "item_interaction")
