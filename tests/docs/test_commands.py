"""The commands that the pages print: they exist, with the options that are printed."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from running_server import ROOT

_PAGES = ["README.md", "training/README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
_OURS = re.compile(r"(?:\.venv/bin/)?(make|shortlist|shortlist-train|python -m loadtest(?:\.\w+)?)(?= |$)(.*)")


def _commands() -> Iterator[tuple[str, str, str]]:
    """Give page, program and arguments of every command of ours in a block or in backticks."""
    for page in _PAGES:
        text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = re.findall(r"^(?:    |\$ )(.+)$", text, re.MULTILINE)
        for command in [*blocks, *re.findall(r"`([^`\n]+)`", text)]:
            found = _OURS.fullmatch(command.strip())
            if found:
                yield page, found[1], found[2]


@cache
def _help(program: str, *words: str) -> str:
    """Give what `program words --help` prints."""
    start = [sys.executable, *program.split()[1:]] if program.startswith("python") else [_script(program)]
    result = subprocess.run(
        [*start, *words, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, f"{program} {' '.join(words)} --help: {result.stdout}{result.stderr}"
    return result.stdout


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def test_there_are_commands() -> None:
    """The search below finds what the README prints first."""
    assert ("README.md", "make", " run") in set(_commands())
    assert any(program == "shortlist" and "--user 12413" in rest for _, program, rest in _commands())


def test_every_make_target_exists() -> None:
    """What a page tells to make is a target."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {(page, word) for page, program, rest in _commands() if program == "make" for word in rest.split()[:1]}
    assert {each for each in told if re.fullmatch(r"[a-z-]+", each[1]) and each[1] not in targets} == set()


_PROGRAMS = sorted({program for _, program, _ in _commands()} - {"make"})


@pytest.mark.parametrize("program", _PROGRAMS)
def test_every_printed_option_exists(program: str) -> None:
    """Each command and option of a page is one that the program's help has."""
    for page, name, rest in _commands():
        if name != program:
            continue
        try:
            words = shlex.split(rest.partition("#")[0])
        except ValueError:  # an apostrophe of the sentence around it
            continue
        commands = words[:1] if name.startswith("shortlist") and words and re.fullmatch(r"[a-z-]+", words[0]) else []
        shown = _help(program, *commands)
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        assert [each for each in options if each not in shown] == [], f"{page}: {program}{rest}"
