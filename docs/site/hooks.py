"""What the site adds to the pages of `docs/`: the READMEs as pages, the API from the proto, links that stay inside.

Called by MkDocs (`hooks` in mkdocs.yml). A page exists once in the repository, where a reader of the repository expects
it; here links between such pages are made to hold on the site, and links to source files become plain text.
"""

import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs runs this file alone
from api_reference import api_reference

ROOT = Path(__file__).resolve().parents[2]
PROTO = "protos/retrieval/v1/retrieval.proto"
# pages of the site that are files elsewhere in the repository
ELSEWHERE = {"README.md": "index.md", "training/README.md": "training.md", "CHANGELOG.md": "changes.md"}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of `docs/`."""
    for source, page in ELSEWHERE.items():
        text = _with_links_of(source, page, (ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "api.md", content=api_reference(ROOT, PROTO)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make the links of a page of `docs/` hold on the site."""
    del config, files
    path = page.file.src_uri
    return markdown if path in {*ELSEWHERE.values(), "api.md"} else _with_links_of(f"docs/{path}", path, markdown)


def _with_links_of(source: str, page: str, text: str) -> str:
    """Turn the links of `source`, a path in the repository, into those of `page`, a path on the site."""

    def replaced(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        if re.match(r"[a-z]+:", target):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        on_site = _on_site(path)
        if on_site is None:
            return words
        return f"[{words}]({posixpath.relpath(on_site, posixpath.dirname(page) or '.')}{anchor})"

    return _LINK.sub(replaced, text)


def _on_site(path: str) -> str | None:
    """Where a file of the repository is on the site; None for a file that is no page."""
    if path == PROTO:
        return "api.md"
    if path in ELSEWHERE:
        return ELSEWHERE[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else None
