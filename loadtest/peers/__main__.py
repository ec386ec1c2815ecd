"""`python -m loadtest.peers`: the same job by Shortlist and by what a team would otherwise build, in one table.

Every step keeps what it made under `build/peers/<items>`: the job, the peers' data, the settings found, the figures. A
run that was stopped goes on where it was; `--fresh` measures again with the settings and data that there are.
"""

import contextlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from loadtest.h2 import ServerGoneError
from loadtest.peers.bundle import BundleStore, index_of
from loadtest.peers.job import Job
from loadtest.peers.loopback import only_loopback
from loadtest.peers.make_job import made_job
from loadtest.peers.measuring import Effort, Measured, measure, variant_of
from loadtest.peers.peer import Peer, Place, UnavailableError
from loadtest.peers.peers import PEERS
from loadtest.peers.recall import WrongAnswerError
from loadtest.peers.report import read_results, tables, write_page
from loadtest.peers.tuning import Note, Setting, tune
from loadtest.wide import wide

_WIDE = 160


def main(
    items: Annotated[int, typer.Option(help="Catalogue size.")] = 1_000_000,
    only: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(PEERS)}.", show_default="all")] = "",
    targets: Annotated[str, typer.Option(help="Recall@100 that settings must reach.")] = "0.95,0.90",
    repeats: Annotated[int, typer.Option(help="Runs that a median is taken of.")] = 3,
    closed: Annotated[float, typer.Option(help="Seconds of each closed loop.")] = 6.0,
    opened: Annotated[float, typer.Option("--open", help="Seconds of each open loop.")] = 10.0,
    build: Annotated[Path, typer.Option(help="Where environments, data and results are kept.")] = Path("build/peers"),
    page: Annotated[Path | None, typer.Option(help="Also write the tables into this Markdown page.")] = None,
    *,
    build_only: Annotated[bool, typer.Option(help="Install, draw and build everything, and measure nothing.")] = False,
    fresh: Annotated[bool, typer.Option(help="Measure again what is measured already.")] = False,
    retune: Annotated[bool, typer.Option(help="Also look for the settings again.")] = False,
) -> None:
    """Install, build, tune, measure, compare."""
    console = Console(stderr=True)
    names = only.split(",") if only else list(PEERS)
    if unknown := set(names) - set(PEERS):
        message = f"no peer is called {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}"
        raise typer.BadParameter(message, param_hint="--only")
    folder = build.resolve() / str(items)
    place = Place(_job(folder / "job", items, console), build.resolve() / "environments", folder, console)
    effort = Effort(repeats, closed, opened)
    wanted = [float(target) for target in targets.split(",")]
    if not _only_loopback(names, place):
        console.print("not root: Ray Serve and Milvus will listen on all interfaces while they run")
    for name in names:
        if build_only:
            _build(PEERS[name](), name, place)
            continue
        kept = folder / "results" / f"{name}.json"
        if fresh or retune or not _complete(kept, wanted):
            result = _one(PEERS[name](), name, place, wanted, effort, folder, retune=retune)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shown = wide(_WIDE)
    for table in tables(read_results(folder), items):
        shown.print(table)
    if page:
        write_page(page, build.resolve())


def _job(directory: Path, items: int, console: Console) -> Job:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("")
        return made_job(
            directory,
            items,
            lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
        )


def _only_loopback(names: Iterable[str], place: Place) -> bool:
    """Install what has to come from elsewhere, then leave the machine's networks."""
    for name in names:
        with contextlib.suppress(UnavailableError):  # said when its turn comes
            PEERS[name]().variants(place)
    return only_loopback()


def _build(peer: Peer, name: str, place: Place) -> None:
    try:
        for variant in peer.variants(place):
            with peer.store(place, variant):
                place.console.print(f"[bold]{name}[/]  {variant.name}: built")
    except UnavailableError as error:
        place.console.print(f"[bold]{name}[/]  {error}")


def _complete(kept: Path, targets: Iterable[float]) -> bool:
    """Whether there is a result for all targets; a peer that was skipped is tried again."""
    if not kept.exists():
        return False
    measured = set(json.loads(kept.read_text(encoding="utf-8"))["measured"])
    return {f"{target:g}" for target in targets} <= measured


def _one(
    peer: Peer, name: str, place: Place, targets: list[float], effort: Effort, folder: Path, *, retune: bool
) -> dict[str, Any]:
    def note(text: str) -> None:
        place.console.print(f"[bold]{name}[/]  {text}", highlight=False)

    result: dict[str, Any] = {"title": peer.facts.title, "skipped": None, "measured": {}}
    try:
        peer.variants(place)
        settings = _settings(peer, place, targets, folder / "settings" / f"{name}.json", note, retune=retune)
        result["versions"] = dict(peer.versions(place))
        for name_of_variant in dict.fromkeys(setting.variant for setting in settings):
            own = [setting for setting in settings if setting.variant == name_of_variant]
            with peer.store(place, variant_of(peer, place, own[0])) as store:
                for setting in own:
                    measured = measure(peer, place, store, setting, effort, note)
                    result["measured"][f"{setting.target:g}"] = _row(peer, place, setting, measured)
    except (UnavailableError, WrongAnswerError, ServerGoneError) as error:
        note(f"skipped: {error}")
        result["skipped"] = str(error)
    return result


def _row(peer: Peer, place: Place, setting: Setting, measured: Measured) -> dict[str, Any]:
    """All that is kept of a setting; `index` says how a published bundle is searched."""
    return {
        "setting": setting.to_json(),
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "index": index_of(place, setting.effort) if isinstance(peer, BundleStore) else None,
        **measured.to_json(),
    }


def _settings(
    peer: Peer,
    place: Place,
    targets: list[float],
    kept: Path,
    note: Note,
    *,
    retune: bool,
) -> list[Setting]:
    """Read the settings found before, or find them."""
    if kept.exists() and not retune:
        found = [Setting(**each) for each in json.loads(kept.read_text(encoding="utf-8"))]
        by_target = {setting.target: setting for setting in found}
        if set(targets) <= by_target.keys():
            return [by_target[target] for target in targets]
    settings = list(tune(peer, place, targets, note))
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps([setting.to_json() for setting in settings], indent=1) + "\n", encoding="utf-8")
    return settings


if __name__ == "__main__":
    typer.run(main)
