"""Where settings come from: defaults < TOML file < `SHORTLIST_*` variables < overrides of the command line.

A key or a variable that is not known stops the start: a misspelt limit must not silently become the default.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from server.profile_settings import parse_profiles, render_profiles
from server.profiles import Profile
from server.settings_fields import ENV_PREFIX, SPECS, Settings, Spec
from server.settings_values import KIND_NAMES, SettingsError, cut, found, nearest, shown, widened
from server.text import encodable

__all__ = [
    "SPECS",
    "Settings",
    "SettingsError",
    "load_settings",
    "read_environment",
    "render_settings",
    "reread_profiles",
]

_PROFILES = "profiles"


def read_environment() -> Mapping[str, str]:
    """Copy the environment; nothing else in the server reads it."""
    return dict(os.environ)


def load_settings(path: Path | None, env: Mapping[str, str], overrides: Mapping[str, Any]) -> Settings:
    """Merge defaults, the TOML file at `path`, `SHORTLIST_*` of `env` and `overrides` (by field name).

    An override of None counts as not given. `SettingsError` says which key, what was expected and what was found.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers = [_from_file(path) if path else {}, _from_env(env), _from_overrides(overrides)]
    for layer in layers:
        for name, (value, origin) in layer.items():
            values[name], origins[name] = value, origin
    return Settings(**values, file=path, origins=origins)


def reread_profiles(settings: Settings) -> Settings:
    """Take profiles and the fallback country from the file as it is now; the other settings stay as they are.

    `SettingsError` if anything in the file is wrong. A fallback country that came from elsewhere stays, too.
    """
    if settings.file is None:
        return settings
    now = load_settings(settings.file, {}, {})
    file = encodable(str(settings.file))
    origins = {**settings.origins, _PROFILES: file}
    fallback = settings.fallback_country
    if settings.origins.get("fallback_country", file) == file:
        fallback = now.fallback_country
    return replace(settings, profiles=now.profiles, fallback_country=fallback, origins=origins)


def render_settings(settings: Settings) -> str:
    """Write the settings as a TOML file that would give them again, with the origin of each value."""
    lines: list[str] = []
    table = ""
    for spec in SPECS:
        if spec.table != table:
            table = spec.table
            lines += ["", f"[{table}]"] if lines else [f"[{table}]"]
        origin = settings.origins.get(spec.name, "default")
        lines.append(f"{spec.key} = {shown(getattr(settings, spec.name))}  # {origin}")
    lines += render_profiles(settings.profiles, settings.origins.get(_PROFILES, "default"))
    return "\n".join(lines) + "\n"


_Layer = dict[str, tuple[Any, str]]


def _from_file(path: Path) -> _Layer:
    document = _read_toml(path)
    origin = encodable(str(path))
    tables = {spec.table for spec in SPECS} | {_PROFILES}
    layer: _Layer = {}
    for table, entries in document.items():
        if table not in tables:
            message = f"{path}: unknown table or key {table!r}{nearest(table, tables)}"
            raise SettingsError(message)
        if not isinstance(entries, dict):
            message = f"{path}: {table}: expected a table, found {found(entries)}"
            raise SettingsError(message)
        if table == _PROFILES:
            layer[_PROFILES] = (_profiles(path, entries), origin)
        else:
            layer |= _table_layer(path, table, entries, origin)
    return layer


def _read_toml(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        message = f"{path}: cannot be read: {error}"
        raise SettingsError(message) from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a list of a thousand lists
        message = f"{path}: not valid TOML: {error}"
        raise SettingsError(message) from error


def _profiles(path: Path, entries: Mapping[str, Any]) -> Mapping[str, Profile]:
    try:
        return parse_profiles(entries)
    except SettingsError as error:
        message = f"{path}: {error}"
        raise SettingsError(message) from error


def _table_layer(path: Path, table: str, entries: Mapping[str, Any], origin: str) -> _Layer:
    by_key = {spec.toml_key: spec for spec in SPECS}
    layer: _Layer = {}
    for key, value in entries.items():
        spec = by_key.get(f"{table}.{key}")
        if spec is None:
            message = f"{path}: unknown key {table}.{key}{nearest(f'{table}.{key}', by_key)}"
            raise SettingsError(message)
        layer[spec.name] = (widened(value, spec.kind), origin)
    return layer


def _from_env(env: Mapping[str, str]) -> _Layer:
    by_variable = {spec.variable: spec for spec in SPECS}
    layer: _Layer = {}
    for variable, text in sorted(env.items()):
        if not variable.startswith(ENV_PREFIX):
            continue
        if "_PORT_" in variable or text.startswith("tcp://"):
            # Kubernetes injects SHORTLIST_PORT=tcp://... for a Service called "shortlist"
            message = (
                f"{variable}={text}: looks like a Kubernetes service link; set enableServiceLinks: false on the pod"
            )
            raise SettingsError(message)
        spec = by_variable.get(variable)
        if spec is None:
            message = f"unknown variable {variable}{nearest(variable, by_variable)}"
            raise SettingsError(message)
        layer[spec.name] = (_parsed(spec, text), variable)
    return layer


def _from_overrides(overrides: Mapping[str, Any]) -> _Layer:
    by_name = {spec.name: spec for spec in SPECS}
    layer: _Layer = {}
    for name, value in overrides.items():
        spec = by_name.get(name)
        if spec is None:
            message = f"unknown setting {name}{nearest(name, by_name)}"
            raise SettingsError(message)
        if value is not None:
            layer[name] = (widened(value, spec.kind), "command line")
    return layer


def _parsed(spec: Spec, text: str) -> object:
    try:
        return spec.kind(text)
    except ValueError as error:
        message = f"{spec.variable}: expected {KIND_NAMES[spec.kind]}, found {cut(repr(text))}"
        raise SettingsError(message) from error
