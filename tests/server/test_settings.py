"""Settings: sources and their order, and every way to be wrong."""

import os
from pathlib import Path

import pytest

from server.plan import LobbyPlan, decode_plan, encode_plan
from server.settings import SPECS, Settings, SettingsError, load_settings, render_settings


def _file(folder: Path, text: str) -> Path:
    path = folder / "shortlist.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_valid() -> None:
    """Without any source, the documented defaults hold."""
    settings = load_settings(None, {}, {})
    assert (settings.port, settings.max_k, settings.max_history, settings.metrics_port) == (50051, 1000, 500, 9464)
    assert settings == Settings()
    assert settings.worker_count >= 1


def test_later_sources_win(tmp_path: Path) -> None:
    """Command line over environment over file over default."""
    path = _file(tmp_path, "[server]\nport = 1\nworkers = 1\ngrace_s = 1\n[limits]\nmax_k = 10\n")
    env = {"SHORTLIST_PORT": "2", "SHORTLIST_WORKERS": "2", "PATH": "ignored"}
    settings = load_settings(path, env, {"port": 3, "host": None})
    assert (settings.port, settings.workers, settings.grace_s, settings.max_k) == (3, 2, 1.0, 10)
    assert settings.host == "127.0.0.1"


def test_every_field_can_come_from_every_source(tmp_path: Path) -> None:
    """What render_settings writes is a file that gives the same settings; variables do too."""
    settings = load_settings(
        None, {}, {"bundle_root": 'a "quoted"\\\n\x7f\té folder', "workers": 3, "log_format": "json"}
    )
    text = render_settings(settings)
    assert load_settings(_file(tmp_path, text), {}, {}) == settings
    env = {spec.variable: str(getattr(settings, spec.name)) for spec in SPECS}
    assert load_settings(None, env, {}) == settings


def test_print_config_names_each_origin(tmp_path: Path) -> None:
    """The rendered settings say where each value came from."""
    path = _file(tmp_path, "[server]\nport = 1\n")
    text = render_settings(load_settings(path, {"SHORTLIST_MAX_K": "5"}, {"workers": 2}))
    assert f"port = 1  # {path}" in text
    assert "max_k = 5  # SHORTLIST_MAX_K" in text
    assert "workers = 2  # command line" in text
    assert 'level = "info"  # default' in text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"port": -1}, "server.port (command line): expected 0 to 65535, found -1"),
        ({"port": 65536}, "expected 0 to 65535, found 65536"),
        ({"port": "50051"}, 'expected a whole number, found "50051"'),
        ({"port": True}, "expected a whole number, found True"),
        ({"workers": -1}, "server.workers"),
        ({"workers": 257}, "server.workers"),
        ({"metrics_port": -2}, "metrics.port"),
        ({"max_k": 0}, "limits.max_k"),
        ({"max_history": -1}, "limits.max_history"),
        ({"max_receive_bytes": 10}, "limits.max_receive_bytes"),
        ({"max_concurrent_rpcs": 0}, "limits.max_concurrent_rpcs"),
        ({"drain_delay_s": -0.1}, "server.drain_delay_s"),
        ({"grace_s": float("nan")}, "server.grace_s"),
        ({"grace_s": float("inf")}, "server.grace_s"),
        ({"grace_s": "5"}, 'expected a number, found "5"'),
        ({"start_timeout_s": 0}, "server.start_timeout_s"),
        ({"max_connection_age_s": -1.0}, "server.max_connection_age_s"),
        ({"host": "example.org"}, 'an IP address or "localhost", found "example.org"'),
        ({"host": "::1%a\0b"}, 'an IP address or "localhost", found "::1%a\\u0000b"'),
        ({"metrics_host": ""}, "metrics.host"),
        ({"bundle_name": ""}, "bundle.name"),
        ({"bundle_name": "../x"}, "expected a folder name"),
        ({"bundle_name": "a\0b"}, 'found "a\\u0000b"'),
        ({"bundle_name": "v1\n"}, "expected a folder name of letters"),
        ({"bundle_root": ""}, "bundle.root"),
        ({"bundle_root": "x\udcff"}, "bundle.root (command line): expected a path in UTF-8"),
        ({"grace_s": 10**400}, f"expected 0 to 600, found 1{'0' * 79}…"),
        ({"workers": 10**400}, f"expected 0 to 256, found 1{'0' * 79}…"),
        ({"log_level": "verbose"}, 'expected one of debug, info, warning, error, found "verbose"'),
        ({"tracing_endpoint": "localhost:4318"}, "tracing.endpoint (command line): expected a URL"),
        ({"tracing_ratio": 1.5}, "tracing.ratio"),
        ({"recall_cpu_share": 0}, "recall.cpu_share"),
        ({"log_slow_ms": -1}, "log.slow_ms"),
        ({"log_format": "xml"}, "expected one of text, json"),
        ({"prot": 1}, "unknown setting prot; did you mean port?"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_value_is_refused(overrides: dict[str, object], message: str) -> None:
    """The error says which key, what was expected and what was found."""
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {}, overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1\n", "unknown key server.prot; did you mean server.port?"),
        ("[serve]\nport = 1\n", "unknown table or key 'serve'; did you mean server?"),
        ("zzz = 1\n", "known are bundle, inspector, limits, log, metrics, profiles, recall, server, serving, tracing"),
        ("server = 1\n", "server: expected a table, found 1"),
        ("[server]\nport = '1'\n", 'expected a whole number, found "1"'),
        ("[server]\nport = 1.0\n", "expected a whole number, found 1.0"),
        ("[server]\ngrace_s = true\n", "expected a number, found True"),
        ("[limits]\nmax_k = []\n", "limits.max_k"),
        ("[server\n", "not valid TOML"),
        (f"[server]\ngrace_s = 1{'0' * 400}\n", "server.grace_s"),
        (f"[server]\ngrace_s = 1{'0' * 5000}\n", "not valid TOML"),
        (f"[server]\nworkers = 0x1{'0' * 5000}\n", "expected 0 to 256, found a number of thousands of digits"),
        (f"[server]\nport = {'[' * 5000}{']' * 5000}\n", "not valid TOML"),
        (f"[server]\nport.{'.'.join('a' * 20_000)} = 1\n", "server.port"),
        ("[bundle]\nname = 'a\\u0000b'\n", "bundle.name"),
        ('[bundle]\nname = "a\\u0000b"\n', 'found "a\\u0000b"'),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The error names the file and the key."""
    path = _file(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, {}, {})
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["none.toml", ".", "x" * 300, "a\0b"])
def test_an_unreadable_file_is_refused(tmp_path: Path, name: str) -> None:
    """A settings file that was asked for must be there and be a file."""
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / name, {}, {})


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """TOML is UTF-8."""
    path = tmp_path / "shortlist.toml"
    path.write_bytes(b"[server]\nhost = '\xff'\n")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(path, {}, {})


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    """Children are told where settings come from, so a name that is not UTF-8 is escaped."""
    path = tmp_path / os.fsdecode(b"\xff.toml")
    path.write_text("[limits]\nmax_k = 7\n")
    settings = load_settings(path, {}, {})
    assert decode_plan(encode_plan(LobbyPlan(settings, 1, "")), LobbyPlan).settings.max_k == 7


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SHORTLIST_PROT", "1", "unknown variable SHORTLIST_PROT; did you mean SHORTLIST_PORT?"),
        ("SHORTLIST_PORT", "many", "SHORTLIST_PORT: expected a whole number, found 'many'"),
        ("SHORTLIST_PORT", "70000", "server.port (SHORTLIST_PORT): expected 0 to 65535, found 70000"),
        ("SHORTLIST_GRACE_S", "", "SHORTLIST_GRACE_S: expected a number"),
        ("SHORTLIST_PORT", "tcp://10.0.0.1:50051", "enableServiceLinks: false"),
        ("SHORTLIST_PORT_50051_TCP_ADDR", "10.0.0.1", "enableServiceLinks: false"),
    ],
)
def test_a_bad_variable_is_refused(variable: str, value: str, message: str) -> None:
    """The error names the variable."""
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {variable: value}, {})
    assert message in str(caught.value)
