"""All settings of the server: one frozen value, checked once, before any process is started.

Sources, later ones win: defaults < TOML file < `SHORTLIST_*` variables < overrides of the command line. A key or a
variable that is not known stops the start: a misspelt limit must not silently become the default.
"""

import difflib
import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from index_store.manifest import NAME_PATTERN
from server.text import encodable

ENV_PREFIX = "SHORTLIST_"
_SHOWN_CHARACTERS = 80

Check = Callable[[Any], str | None]


class SettingsError(Exception):
    """The operator's fault: a setting is unknown or has a value outside its range. The message has both values."""


def _between(low: float, high: float) -> Check:
    def check(value: float) -> str | None:
        return None if low <= value <= high else f"{low} to {high}"

    return check


def _one_of(*choices: str) -> Check:
    def check(value: str) -> str | None:
        return None if value in choices else f"one of {', '.join(choices)}"

    return check


def _host(value: str) -> str | None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        good = value == "localhost"
    else:
        good = value.isprintable()  # after the % of an IPv6 address, anything goes
    return None if good else 'an IP address or "localhost"'


def _folder_name(value: str) -> str | None:
    return None if re.fullmatch(NAME_PATTERN, value) else "a folder name of letters, digits, '.', '_' and '-'"


def _path(value: Path) -> str | None:
    text = str(value)
    # children are told of it as JSON
    return None if "\0" not in text and text != "." and text == encodable(text) else "a path in UTF-8"


def _setting(default: object, table: str, check: Check) -> Any:  # noqa: ANN401 - a field's type is not known here
    return field(default=default, metadata={"table": table, "check": check})


@dataclass(frozen=True)
class Settings:
    """What every process of the server is told. Durations are seconds, sizes are bytes."""

    # Folder that holds `<bundle_name>/<version>/` and `<bundle_name>/CURRENT`. Default "build/bundles".
    bundle_root: Path = _setting(Path("build/bundles"), "bundle", _path)  # noqa: RUF009 - a path is immutable
    # Which bundle of the root to serve. Default "default".
    bundle_name: str = _setting("default", "bundle", _folder_name)

    # Address to listen on. An IP address or "localhost", default "127.0.0.1"; "0.0.0.0" for every interface.
    host: str = _setting("127.0.0.1", "server", _host)
    # TCP port, 0 to 65535, default 50051; 0 = any free one, printed at the start.
    port: int = _setting(50051, "server", _between(0, 65535))
    # Worker processes, 0 to 256, default 0 = one per core that the process may use.
    workers: int = _setting(0, "server", _between(0, 256))
    # How long a bundle may take until all workers serve it, seconds, 1 to 86400, default 600.
    start_timeout_s: float = _setting(600.0, "server", _between(1, 86400))
    # After SIGTERM, how long to go on serving while health says NOT_SERVING, seconds, 0 to 600, default 5: the time
    # that load balancers need to notice.
    drain_delay_s: float = _setting(5.0, "server", _between(0, 600))
    # After that, how long calls in flight may take, seconds, 0 to 600, default 5.
    grace_s: float = _setting(5.0, "server", _between(0, 600))
    # When to ask a client to connect again, seconds, 0 to 86400, default 600; 0 = never. It spreads long-lived
    # connections over the workers.
    max_connection_age_s: float = _setting(600.0, "server", _between(0, 86400))

    # Largest k of a request, 1 to 100000, default 1000.
    max_k: int = _setting(1000, "limits", _between(1, 100_000))
    # Longest history of a request, interactions, 0 to 100000, default 500.
    max_history: int = _setting(500, "limits", _between(0, 100_000))
    # Largest request, bytes, 1024 to 64 MiB, default 256 KiB: 500 interactions with keys of 256 bytes need 137 kB
    # and 64 features 25 kB.
    max_receive_bytes: int = _setting(256 * 1024, "limits", _between(1024, 64 * 1024 * 1024))
    # Calls in one worker at a time, health watches included, 1 to 100000, default 256; more get RESOURCE_EXHAUSTED.
    max_concurrent_rpcs: int = _setting(256, "limits", _between(1, 100_000))

    # Address of the metrics endpoint, as `host`. Default "127.0.0.1".
    metrics_host: str = _setting("127.0.0.1", "metrics", _host)
    # Its TCP port, -1 to 65535, default 9464; 0 = any free one, -1 = no metrics endpoint.
    metrics_port: int = _setting(9464, "metrics", _between(-1, 65535))

    # Least severe level that is logged: debug, info, warning or error. Default "info".
    log_level: str = _setting("info", "log", _one_of("debug", "info", "warning", "error"))
    # "text" for people, "json" for one object per line. Default "text".
    log_format: str = _setting("text", "log", _one_of("text", "json"))

    # Where each value that is not a default came from, by field name.
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a value of the wrong type or outside its range."""
        for spec in SPECS:
            value = getattr(self, spec.name)
            expected = spec.fault(value)
            if expected is not None:
                origin = self.origins.get(spec.name)
                source = f" ({origin})" if origin else ""
                message = f"{spec.toml_key}{source}: expected {expected}, found {_found(value)}"
                raise SettingsError(message)

    @property
    def worker_count(self) -> int:
        """`workers`, with 0 replaced by the number of cores this process may run on."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class _Spec:
    """One field of `Settings` under its three names: `name` in code, `table.key` in TOML, `variable` outside."""

    name: str
    table: str
    key: str
    default: Any
    check: Check

    @property
    def toml_key(self) -> str:
        return f"{self.table}.{self.key}"

    @property
    def variable(self) -> str:
        return ENV_PREFIX + self.name.upper()

    def fault(self, value: object) -> str | None:
        """Say what was expected where `value` is not it."""
        kind = type(self.default) if not isinstance(self.default, Path) else Path
        if not isinstance(value, int | float if kind is float else kind) or isinstance(value, bool):
            return _KIND_NAMES[kind]
        return self.check(value)


_KIND_NAMES: Mapping[type, str] = {int: "a whole number", float: "a number", str: "a string", Path: "a path"}


def _specs() -> tuple[_Spec, ...]:
    specs = []
    for spec in fields(Settings):
        if "table" in spec.metadata:
            table = spec.metadata["table"]
            key = spec.name.removeprefix(f"{table}_")
            specs.append(_Spec(spec.name, table, key, spec.default, spec.metadata["check"]))
    return tuple(specs)


SPECS = _specs()


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
    return Settings(**values, origins=origins)


def render_settings(settings: Settings) -> str:
    """Write the settings as a TOML file that would give them again, with the origin of each value."""
    lines: list[str] = []
    table = ""
    for spec in SPECS:
        if spec.table != table:
            table = spec.table
            lines += ["", f"[{table}]"] if lines else [f"[{table}]"]
        origin = settings.origins.get(spec.name, "default")
        lines.append(f"{spec.key} = {_shown(getattr(settings, spec.name))}  # {origin}")
    return "\n".join(lines) + "\n"


_Layer = dict[str, tuple[Any, str]]


def _from_file(path: Path) -> _Layer:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        message = f"{path}: cannot be read: {error}"
        raise SettingsError(message) from error
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a list of a thousand lists
        message = f"{path}: not valid TOML: {error}"
        raise SettingsError(message) from error
    tables = {spec.table for spec in SPECS}
    by_key = {spec.toml_key: spec for spec in SPECS}
    layer: _Layer = {}
    for table, entries in document.items():
        if table not in tables:
            message = f"{path}: unknown table or key {table!r}{_nearest(table, tables)}"
            raise SettingsError(message)
        if not isinstance(entries, dict):
            message = f"{path}: {table}: expected a table, found {_found(entries)}"
            raise SettingsError(message)
        for key, value in entries.items():
            spec = by_key.get(f"{table}.{key}")
            if spec is None:
                message = f"{path}: unknown key {table}.{key}{_nearest(f'{table}.{key}', by_key)}"
                raise SettingsError(message)
            layer[spec.name] = (_widened(spec, value), encodable(str(path)))
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
            message = f"unknown variable {variable}{_nearest(variable, by_variable)}"
            raise SettingsError(message)
        layer[spec.name] = (_parsed(spec, text), variable)
    return layer


def _from_overrides(overrides: Mapping[str, Any]) -> _Layer:
    by_name = {spec.name: spec for spec in SPECS}
    layer: _Layer = {}
    for name, value in overrides.items():
        spec = by_name.get(name)
        if spec is None:
            message = f"unknown setting {name}{_nearest(name, by_name)}"
            raise SettingsError(message)
        if value is not None:
            layer[name] = (_widened(spec, value), "command line")
    return layer


def _parsed(spec: _Spec, text: str) -> object:
    kind = Path if isinstance(spec.default, Path) else type(spec.default)
    try:
        return kind(text)
    except ValueError as error:
        message = f"{spec.variable}: expected {_KIND_NAMES[kind]}, found {_cut(repr(text))}"
        raise SettingsError(message) from error


def _widened(spec: _Spec, value: object) -> object:
    """Take a TOML integer for a number and a string for a path."""
    if isinstance(spec.default, float) and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # left for the check of its range
            return value
    if isinstance(spec.default, Path) and isinstance(value, str):
        return Path(value)
    return value


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"


def _shown(value: object) -> str:
    """Write a value as TOML does."""
    if isinstance(value, Path | str):
        # a JSON string is a TOML string, but for DEL
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def _found(value: object) -> str:
    """Show a wrong value in an error: never long, and whatever it is."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    try:
        return _cut(_shown(value))
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
