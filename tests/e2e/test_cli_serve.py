"""`shortlist serve` where it cannot: wrong settings, nothing to serve, a bug of ours."""

import subprocess
from pathlib import Path

import pytest
from command_line import one_line_of, shortlist

from processes import PYTHON


def test_print_config_gives_settings_with_their_origin(tmp_path: Path) -> None:
    """`serve --print-config` prints a TOML file that would give the same settings, and starts nothing."""
    config = tmp_path / "shortlist.toml"
    config.write_text("[limits]\nmax_k = 77\n")
    result = shortlist("serve", "--config", config, "--port", 1234, "--print-config")
    assert f"max_k = 77  # {config}" in result.stdout
    assert "port = 1234  # command line" in result.stdout
    again = tmp_path / "again.toml"
    again.write_text(result.stdout)
    assert "max_k = 77" in shortlist("serve", "--config", again, "--print-config").stdout


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("[limits]\nmax_q = 77\n", "unknown key limits.max_q; did you mean limits.max_k?"),
        ("[limits]\nmax_k = 0\n", "limits.max_k"),
        ("[limits\n", "not valid TOML"),
        (f"[server]\ngrace_s = 1{'0' * 400}\n", "server.grace_s"),
        (f"[server]\nport = {'[' * 5000}", "not valid TOML"),
        ('[bundle]\nname = "a\\u0000b"\n', "bundle.name"),
    ],
)
def test_wrong_settings_stop_the_start_in_one_line(tmp_path: Path, toml: str, text: str) -> None:
    """A misspelt or impossible setting is named, with exit code 2."""
    config = tmp_path / "shortlist.toml"
    config.write_text(toml)
    result = shortlist("serve", "--config", config)
    assert text in one_line_of(result)
    assert result.returncode == 2


def test_an_interface_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """An address that the machine does not have ends the start with the exit code for ports."""
    config = tmp_path / "shortlist.toml"
    config.write_text('[server]\nhost = "fe80::1%nosuch"\n[metrics]\nport = -1\n')
    result = shortlist("serve", "--config", config)
    (line,) = result.stderr.splitlines()
    assert "cannot listen on [fe80::1%nosuch]:50051: " in line
    assert result.returncode == 4


def test_serving_nothing_is_refused_in_words(tmp_path: Path) -> None:
    """A root without the bundle ends the start with the exit code for bundles."""
    result = shortlist("serve", "--bundle-root", tmp_path, "--bundle-name", "none", "--port", 0, "--metrics-port", 0)
    assert "nothing is published under this name" in result.stderr + result.stdout
    assert result.returncode == 3


def test_a_bug_of_ours_is_one_line_and_a_traceback_on_demand() -> None:
    """Any exception that nobody expected ends in exit code 1; `--debug` shows where it came from."""
    code = (
        "import sys, server.cli as cli\n"
        "def fail(*_): raise ZeroDivisionError('of\\nours')\n"
        "cli.load_settings = fail\n"
        "cli.main()\n"
    )
    for options in ([], ["--debug"]):
        command = [PYTHON, "-c", code, *options, "serve"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 1
        if options:
            assert "Traceback (most recent call last)" in result.stderr
        else:
            line = one_line_of(result)
            assert line.startswith(r"shortlist: a bug of ours: ZeroDivisionError: of\nours; run `shortlist --debug")


def test_a_bug_of_the_server_has_its_traceback_in_the_log() -> None:
    """A server cannot be run again to see it, so it is logged at once, with the exit code of bugs."""
    code = (
        "import sys, server.commands.serve as command\n"
        "def fail(_): raise ZeroDivisionError('of ours')\n"
        "command.Master.run = fail\n"
        "from server.cli import main\n"
        "main()\n"
    )
    result = subprocess.run([PYTHON, "-c", code, "serve"], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "a bug of ours\nTraceback (most recent call last)" in result.stderr
