"""Runs `shortlist` as a person does."""

import subprocess

from processes import SHORTLIST


def shortlist(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command and keep what it prints."""
    command = [SHORTLIST, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def one_line_of(result: "subprocess.CompletedProcess[str]") -> str:
    """The error message, which is one line and no traceback."""
    (line,) = result.stderr.splitlines()
    assert line.startswith("shortlist: ")
    return line
