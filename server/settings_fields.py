"""The settings themselves: every field with its unit, range and default, and the check of each value."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from index_store.manifest import COUNTRY_PATTERN, NAME_PATTERN
from server.profiles import Profile
from server.settings_values import Check, SettingsError, between, fault_of, found, one_of
from server.text import encodable

ENV_PREFIX = "SHORTLIST_"


def _host(value: str) -> str | None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        good = value == "localhost"
    else:
        good = value.isprintable()  # after the % of an IPv6 address, anything goes
    return None if good else 'an IP address or "localhost"'


def _url(value: str) -> str | None:
    good = not value or re.fullmatch(r"https?://[^\s/]+(/\S*)?", value)
    return None if good else "a URL that begins with http:// or https://"


def _folder_name(value: str) -> str | None:
    return None if re.fullmatch(NAME_PATTERN, value) else "a folder name of letters, digits, '.', '_' and '-'"


def _country(value: str) -> str | None:
    good = not value or re.fullmatch(COUNTRY_PATTERN, value)
    return None if good else "a country code of letters, digits, '_' and '-'"


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

    # Which country of the bundle answers for countries that it does not have; default "" = none, they get NOT_FOUND.
    fallback_country: str = _setting("", "serving", _country)

    # Address to listen on. An IP address or "localhost", default "127.0.0.1"; "0.0.0.0" for every interface.
    host: str = _setting("127.0.0.1", "server", _host)
    # TCP port, 0 to 65535, default 50051; 0 = any free one, printed at the start.
    port: int = _setting(50051, "server", between(0, 65535))
    # What carries the calls: "grpcio", "native" (less CPU per call, see docs/transports.md) or "auto" =
    # native where its package is installed. Default "auto".
    transport: str = _setting("auto", "server", one_of("grpcio", "native", "auto"))
    # Worker processes, 0 to 256, default 0 = one per core that the process may use.
    workers: int = _setting(0, "server", between(0, 256))
    # How long a bundle may take until all workers serve it, seconds, 1 to 86400, default 600.
    start_timeout_s: float = _setting(600.0, "server", between(1, 86400))
    # After SIGTERM, how long to go on serving while health says NOT_SERVING, seconds, 0 to 600, default 5: the time
    # that load balancers need to notice.
    drain_delay_s: float = _setting(5.0, "server", between(0, 600))
    # After that, how long calls in flight may take, seconds, 0 to 600, default 5.
    grace_s: float = _setting(5.0, "server", between(0, 600))
    # When to ask a client to connect again, seconds, 0 to 86400, default 600; 0 = never. It spreads long-lived
    # connections over the workers. The native transport cannot: it keeps connections until the client or the process
    # ends.
    max_connection_age_s: float = _setting(600.0, "server", between(0, 86400))

    # Largest k of a request, 1 to 100000, default 1000.
    max_k: int = _setting(1000, "limits", between(1, 100_000))
    # Longest history of a request, interactions, 0 to 100000, default 500.
    max_history: int = _setting(500, "limits", between(0, 100_000))
    # Most items that a request may exclude, ids and keys together, 0 to 1000000, default 20000.
    max_excluded: int = _setting(20_000, "limits", between(0, 1_000_000))
    # Most requests of a batch, 1 to 10000, default 256.
    max_batch: int = _setting(256, "limits", between(1, 10_000))
    # Largest request, bytes, 1024 to 64 MiB, default 1 MiB: 500 interactions with keys of 256 bytes need 137 kB, 64
    # features 25 kB, 20,000 excluded ids 160 kB, 256 requests of a batch with 100 interactions each 600 kB.
    max_receive_bytes: int = _setting(1024 * 1024, "limits", between(1024, 64 * 1024 * 1024))
    # Calls in one worker at a time, health watches included, 1 to 100000, default 256; more get RESOURCE_EXHAUSTED.
    max_concurrent_rpcs: int = _setting(256, "limits", between(1, 100_000))

    # Address of the metrics endpoint, as `host`. Default "127.0.0.1".
    metrics_host: str = _setting("127.0.0.1", "metrics", _host)
    # Its TCP port, -1 to 65535, default 9464; 0 = any free one, -1 = no metrics endpoint.
    metrics_port: int = _setting(9464, "metrics", between(-1, 65535))

    # Address of the inspector, as `host`. Default "127.0.0.1": whoever reaches it can read the catalogue and ask.
    inspector_host: str = _setting("127.0.0.1", "inspector", _host)
    # Its TCP port, -1 to 65535, default 9465; 0 = any free one, -1 = no inspector. One that is taken costs the
    # inspector only.
    inspector_port: int = _setting(9465, "inspector", between(-1, 65535))

    # How many requests a second the judge compares with exact search, over all workers, 0 to 1000, default 5; 0 = none.
    recall_samples_per_s: float = _setting(5.0, "recall", between(0, 1000))
    # How much of one core the judge may take for it, 0.001 to 1, default 0.05; fewer requests are compared then.
    recall_cpu_share: float = _setting(0.05, "recall", between(0.001, 1))

    # Where to send OpenTelemetry spans: a URL of OTLP over HTTP, as http://127.0.0.1:4318/v1/traces, default "" =
    # nowhere. Needs the extra "tracing".
    tracing_endpoint: str = _setting("", "tracing", _url)
    # Share of the calls without a traceparent that are traced, 0 to 1, default 0; others are if their caller says so.
    tracing_ratio: float = _setting(0.0, "tracing", between(0, 1))

    # Least severe level that is logged: debug, info, warning or error. Default "info".
    log_level: str = _setting("info", "log", one_of("debug", "info", "warning", "error"))
    # "text" for people, "json" for one object per line. Default "text".
    log_format: str = _setting("text", "log", one_of("text", "json"))
    # A call that takes longer is logged with its stages, milliseconds, 0 to 86400000, default 100; 0 = none is.
    log_slow_ms: float = _setting(100.0, "log", between(0, 86_400_000))

    # How requests may be answered, by name: tables `profiles.<name>` of the TOML file. Without one called "default",
    # the bundle's sources make it (`server.retrieval.built_in_profile`).
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    # The TOML file, which a reload reads again; None where there is none.
    file: Path | None = field(default=None, compare=False)
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
                message = f"{spec.toml_key}{source}: expected {expected}, found {found(value)}"
                raise SettingsError(message)

    @property
    def worker_count(self) -> int:
        """`workers`, with 0 replaced by the number of cores this process may run on."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Spec:
    """One field of `Settings` under its three names: `name` in code, `table.key` in TOML, `variable` outside."""

    name: str
    table: str
    key: str
    default: Any
    check: Check

    @property
    def toml_key(self) -> str:
        """The key in the settings file."""
        return f"{self.table}.{self.key}"

    @property
    def kind(self) -> type:
        """The type of its values."""
        return Path if isinstance(self.default, Path) else type(self.default)

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENV_PREFIX + self.name.upper()

    def fault(self, value: object) -> str | None:
        """Say what was expected where `value` is not it."""
        return fault_of(value, self.kind, self.check)


def _specs() -> tuple[Spec, ...]:
    specs = []
    for spec in fields(Settings):
        if "table" in spec.metadata:
            table = spec.metadata["table"]
            key = spec.name.removeprefix(f"{table}_")
            specs.append(Spec(spec.name, table, key, spec.default, spec.metadata["check"]))
    return tuple(specs)


SPECS = _specs()
