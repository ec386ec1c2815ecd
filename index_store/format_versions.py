"""The versions of the format, and what each has not yet: a reader of that version would refuse it, too."""

from collections.abc import Mapping
from typing import Any

from index_store.errors import ManifestMalformed

FORMAT_VERSION = "1.2"
"""The one that is written."""
KNOWN_VERSIONS = ("1.0", "1.1", "1.2")

_Fields = tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]

# what manifests of older formats have not, even as null: of the whole, of a country, of an index, of a curve's point
_NOT_YET: Mapping[str, _Fields] = {
    "1.0": (
        frozenset({"pdn_triggers", "item_interaction"}),
        frozenset({"prices", "two_tower", "pdn", "item_interaction"}),
        frozenset(),
        frozenset(),
    ),
    "1.1": (
        frozenset(),
        frozenset(),
        frozenset({"scann", "reason"}),
        frozenset({"engine", "m", "leaves", "reorder"}),
    ),
}


def check_older(fields: Mapping[str, Any], version: str) -> None:
    """Refuse a field that a manifest of `version` has not (M3); `fields` is the manifest's JSON, already decoded."""
    for last, added in _NOT_YET.items():
        if version <= last:
            _check(fields, version, added)


def _check(fields: Mapping[str, Any], version: str, added: _Fields) -> None:
    of_all, of_country, of_index, of_point = added
    newer = sorted(of_all & fields.keys())
    for country in fields["countries"].values():
        newer += sorted(of_country & country.keys())
        for index in _indices(country):
            newer += sorted(of_index & index.keys())
            newer += sorted(name for point in index["curve"] for name in of_point & point.keys())
    if newer:
        message = f"manifest.json: {newer[0]!r} is no field of format {version}"
        raise ManifestMalformed(message)


def _indices(country: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [country["led"], country.get("two_tower"), *(country.get("item_interaction") or {}).values()]
    return [index for index in found if index]
