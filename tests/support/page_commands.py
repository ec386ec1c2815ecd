"""What the pages tell a reader to type: commands in blocks and in backticks, and blocks of Python and TOML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from running_server import ROOT

PAGES = (
    "README.md",
    *sorted(
        str(path.relative_to(ROOT))
        for folder in ("training", "client", "deploy", "docs")
        for path in (ROOT / folder).rglob("*.md")
    ),
)
# A line that begins with none of these is no command. Whoever prints another program adds it here.
PROGRAMS = (
    *("make", "shortlist", "shortlist-train", "python", "pip", "cp", "mkdir", "curl", "kill", "ps", "ssh", "taskset"),
    *("docker", "podman", "buildah", "kubectl", "promtool", "protoc", "grpcurl", "ghz", "k6", "locust"),
)
_COMMAND = re.compile(rf"(?:\w+=\S+ )*(?:\.venv/bin/)?(?:{'|'.join(PROGRAMS)})(?= )")
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^|\n\n)((?:    .*\n|\n(?=    ))+)")


@dataclass(frozen=True)
class Block:
    """Indented lines, or what stands between fences, of a language or none."""

    page: str
    text: str
    language: str = ""
    indented: bool = False


def blocks() -> Iterator[Block]:
    """Give every block of every page."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for language, inner in _FENCE.findall(text):
            yield Block(page, inner, language)
        for inner in _INDENTED.findall(_FENCE.sub("", text)):
            yield Block(page, inner, indented=True)


def lines_of(block: Block) -> list[str]:
    """Give a block's lines as a shell takes them: joined where they end in a backslash, without what is explained.

    An explanation begins with `#`, or after two spaces and more.
    """
    joined = re.sub(r" *\\\n *", " ", block.text)
    return [re.split(r"  +|(?:^|\s)#", line.strip())[0] for line in joined.splitlines() if line.strip()]


def commands() -> list[str]:
    """Give every different command of a block or in backticks, without `.venv/bin/`, in the order of the pages."""
    found: dict[str, None] = {}
    for page in PAGES:
        inline = re.findall(r"`([^`\n]+)`", _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8")))
        printed = [line for block in blocks() if block.page == page and not block.language for line in lines_of(block)]
        for line in [*printed, *inline]:
            if _COMMAND.match(line):
                found[line.replace(".venv/bin/", "")] = None
    return list(found)
