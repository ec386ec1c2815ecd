"""Profiles as tables `[profiles.<name>]` of the settings file: reading, checking, writing.

A key that is not known stops the start, as with every setting: a misspelt quota must not silently become the default.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from server.profiles import Diversity, FusionName, Profile, SourceName, SourceSetting
from server.settings_values import Check, SettingsError, between, fault_of, found, nearest, one_of, shown, widened

MAX_PROFILES = 64
_MAX_QUOTA = 100_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class _Key:
    """What one key may be."""

    kind: type
    check: Check


_SOURCE_KEYS: Mapping[str, _Key] = {
    "name": _Key(str, one_of(*get_args(SourceName))),
    "quota": _Key(int, between(0, _MAX_QUOTA)),
    "weight": _Key(float, between(1e-6, 1e6)),
    "triggers": _Key(int, between(0, 10_000)),
    "last_n": _Key(int, between(0, 1_000)),
}
_ONLY_OF: Mapping[str, SourceName] = {"triggers": "pdn", "last_n": "item_interaction"}
_DIVERSITY_KEYS: Mapping[str, _Key] = {
    "max_per_category": _Key(int, between(0, _MAX_QUOTA)),
    "max_per_merchant": _Key(int, between(0, _MAX_QUOTA)),
    "mmr": _Key(float, between(0, 1)),
    "mmr_pool": _Key(float, between(1, 100)),
}
_PROFILE_KEYS: Mapping[str, _Key] = {
    "fusion": _Key(str, one_of(*get_args(FusionName))),
    "exclude_history": _Key(bool, lambda _: None),
}
_TABLES = ("sources", "diversity")


def parse_profiles(document: Mapping[str, Any]) -> dict[str, Profile]:
    """Read the table `profiles` of a settings file; `SettingsError` names the key."""
    if len(document) > MAX_PROFILES:
        message = f"profiles: expected at most {MAX_PROFILES}, found {len(document)}"
        raise SettingsError(message)
    return {name: _profile(name, table) for name, table in document.items()}


def render_profiles(profiles: Mapping[str, Profile], origin: str) -> Iterator[str]:
    """Write profiles as lines of TOML that would give them again; `origin` is where they came from."""
    for name, profile in profiles.items():
        yield ""
        yield f"[profiles.{name}]  # {origin}"
        yield "sources = ["
        for source in profile.sources:
            yield f"  {{ {', '.join(f'{key} = {shown(getattr(source, key))}' for key in _SOURCE_KEYS)} }},"
        yield "]"
        yield f"fusion = {shown(profile.fusion)}"
        yield f"exclude_history = {str(profile.exclude_history).lower()}"
        yield f"[profiles.{name}.diversity]"
        for key in _DIVERSITY_KEYS:
            yield f"{key} = {shown(getattr(profile.diversity, key))}"


def _profile(name: str, table: object) -> Profile:
    place = f"profiles.{name}"
    if not _NAME.fullmatch(name):
        message = f"{place}: expected a name of 1 to 64 letters, digits, '_' and '-'"
        raise SettingsError(message)
    entries = _table(table, place)
    scalars = {key: value for key, value in entries.items() if key not in _TABLES}
    return Profile(
        name=name,
        sources=_sources(entries.get("sources"), f"{place}.sources"),
        diversity=_diversity(entries.get("diversity", {}), f"{place}.diversity"),
        **_checked(scalars, place, _PROFILE_KEYS, (*_PROFILE_KEYS, *_TABLES)),
    )


def _diversity(entries: object, place: str) -> Diversity:
    return Diversity(**_checked(_table(entries, place), place, _DIVERSITY_KEYS, _DIVERSITY_KEYS))


def _sources(entries: object, place: str) -> tuple[SourceSetting, ...]:
    if not isinstance(entries, list) or not entries:
        message = f'{place}: expected a list such as [{{ name = "led" }}], found {_none_or(entries)}'
        raise SettingsError(message)
    sources: list[SourceSetting] = []
    for number, entry in enumerate(entries):
        where = f"{place}[{number}]"
        values = _checked(_table(entry, where), where, _SOURCE_KEYS, _SOURCE_KEYS)
        if "name" not in values:
            message = f"{where}.name: expected one of {', '.join(get_args(SourceName))}, found nothing"
            raise SettingsError(message)
        if values["name"] in {source.name for source in sources}:
            message = f"{where}.name: expected each source once, found {values['name']} again"
            raise SettingsError(message)
        for key, only in _ONLY_OF.items():
            if values.get(key) and values["name"] != only:
                message = f"{where}.{key}: expected none, it is of {only} only, found {found(values[key])}"
                raise SettingsError(message)
        sources.append(SourceSetting(**values))
    return tuple(sources)


def _table(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        message = f"{place}: expected a table, found {found(value)}"
        raise SettingsError(message)
    return value


def _checked(
    entries: Mapping[str, Any], place: str, keys: Mapping[str, _Key], known: Mapping[str, _Key] | tuple[str, ...]
) -> dict[str, Any]:
    values = {}
    for name, raw in entries.items():
        key = keys.get(name)
        if key is None:
            message = f"unknown key {place}.{name}{nearest(name, known)}"
            raise SettingsError(message)
        value = widened(raw, key.kind)
        expected = fault_of(value, key.kind, key.check)
        if expected is not None:
            message = f"{place}.{name}: expected {expected}, found {found(value)}"
            raise SettingsError(message)
        values[name] = value
    return values


def _none_or(value: object) -> str:
    return "nothing" if value is None else "an empty list" if value == [] else found(value)
