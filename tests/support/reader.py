"""A reader of the pages: a folder like the repository's, a small bundle in the demo's place, and a server of it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from running_server import ROOT
from shop import Shop

from index_store.content import BundleContent, Timeline
from index_store.publish import publish
from processes import ServerProcess, serving
from tiny_bundle import POLICY
from tiny_sources import full_content

# Lines as GroupLens has them.
MOVIELENS = {
    "ratings": "1::1193::5::978300760\n",
    "users": "1::F::1::10::48067\n",
    "movies": "1::Toy Story (1995)::Animation|Children's|Comedy\n",
}
_TIMEOUT_S = 100
_BASH = shutil.which("bash") or "bash"


@dataclass
class Reader:
    """Runs what is printed."""

    folder: Path
    server: ServerProcess
    address: str
    inspector: str
    stack: ExitStack
    results: dict[str, "subprocess.CompletedProcess[str]"] = field(default_factory=dict)

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run it in the folder, with the environment's programs; once, however often it is asked for."""
        if command not in self.results:
            path = f"{self.folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
            makes = {"SERVER": self.address, "INSPECTOR": self.inspector, "RATES": "20", "SECONDS": "0.5"}
            self.results[command] = subprocess.run(
                [_BASH, "-ec", command],
                cwd=self.folder,
                env={**os.environ, "PATH": path, **makes},
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        return self.results[command]

    @cached_property
    def shop(self) -> str:
        """The address of a server of what `shortlist-train run your.toml` publishes."""
        run = self.run("shortlist-train run shop.toml")
        assert run.returncode == 0, run.stdout + run.stderr
        options = ["--config", "settings.toml", "--workers", "1"]
        return self.stack.enter_context(serving(options, cwd=self.folder))[1]

    @property
    def pid(self) -> int:
        """The server's master."""
        return self.server.process.pid


@contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    """Make everything in an empty folder, and serve until the block ends."""
    for path in ROOT.iterdir():
        if path.name not in {"build", "deploy", ".git", ".venv"}:
            (folder / path.name).symlink_to(path)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (folder / ".venv").symlink_to(sys.prefix)
    publish(demo_content(), root=folder / "build/bundles", name="online-retail", version="v1", policy=POLICY)
    Shop(folder).write()
    (folder / "settings.toml").write_text(
        '[bundle]\nroot = "build/bundles"\nname = "shop"\n[server]\ndrain_delay_s = 0\n'
    )
    (folder / "ml-1m").mkdir()
    for name, line in MOVIELENS.items():
        (folder / "ml-1m" / f"{name}.dat").write_text(line * 3, encoding="latin-1")
    with ExitStack() as stack:
        options = ["--config", "deploy/demo.toml", "--inspector-port", "0"]
        server, address, _ = stack.enter_context(serving(options, cwd=folder))
        inspector = server.wait_for(r"inspector (http\S+?)[\s,]*$")[1]
        yield Reader(folder, server, address, inspector, stack)


def demo_content() -> BundleContent:
    """A small bundle with the items and the sample user that the pages name."""
    content = full_content(1)
    country = content.countries["FR"]
    named = ["22554", "22556", "22551", "POST"]
    keys = [*named, *(country.keys or [])[len(named) :]]
    user = Timeline("12413", "FR", [int(item) for item in country.item_ids[:6]], [5, 5, 1, 1, 2, 5])
    countries = {**content.countries, "FR": replace(country, keys=keys)}
    return replace(content, countries=countries, timelines=[*content.timelines, user])
