"""Whether the manifest's countries, settings and sources belong together (M23). Reads nothing but the manifest."""

from typing import NoReturn

from index_store.errors import SourcesMismatch
from index_store.manifest import Manifest


def check_sources(manifest: Manifest) -> None:
    """Refuse a source that only some countries have, settings without their source, and the reverse."""
    _check_everywhere("two_tower", {code: bool(country.two_tower) for code, country in manifest.countries.items()})
    pdn = {code: bool(country.pdn) for code, country in manifest.countries.items()}
    _check_everywhere("pdn", pdn)
    if any(pdn.values()) != (manifest.pdn_triggers is not None):
        _refuse("expected pdn_triggers where there is pdn, and nowhere else")
    _check_pairs(manifest)


def _check_everywhere(source: str, has: dict[str, bool]) -> None:
    without = sorted(code for code, found in has.items() if not found)
    if without and any(has.values()):
        _refuse(f"expected {source} in all countries or in none, country {without[0]} has it not")


def _check_pairs(manifest: Manifest) -> None:
    settings = manifest.item_interaction
    entries = [
        (code, kind, entry)
        for code, country in manifest.countries.items()
        for kind, entry in country.item_interaction.items()
    ]
    if bool(entries) != (settings is not None):
        _refuse("expected settings of item_interaction where a country has pairs, and nowhere else")
    for code, kind, entry in entries:
        if entry.dim != entries[0][2].dim:
            _refuse(f"country {code}, {kind}: expected pairs of {entries[0][2].dim} dimensions, found {entry.dim}")


def _refuse(reason: str) -> NoReturn:
    raise SourcesMismatch(reason)
