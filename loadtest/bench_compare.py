"""`python -m loadtest.bench_compare REV`: this checkout against another revision, interleaved, as ratios.

The other revision is checked out with `git worktree` and its server run by this virtual environment, both on bundles of
the same recipe, each published by its own code; the client and the load are this checkout's. The two take turns, run by
run, so that a noisy moment falls on both.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from loadtest.bench_bundle import CACHE, BenchBundle
from loadtest.drive import closed_loop, open_loop
from loadtest.outcome import Outcome
from loadtest.rig import recall_of, target_of
from loadtest.scenario import Scenario, scenarios
from loadtest.served import ServedBundle, served

_FIGURES = ("achieved_rate", "server_cpu_us", "p50_ms", "p99_ms")
_HALF = 0.5
Runs = dict[str, list[Outcome]]


def main(
    rev: Annotated[str, typer.Argument(help="Any name of a commit.")],
    scenario: Annotated[str, typer.Option(help="A scenario of loadtest.scenario.")] = "led95",
    items: Annotated[int, typer.Option(help="Catalogue size.")] = 1_000_000,
    runs: Annotated[int, typer.Option(help="Turns of each.")] = 5,
    seconds: Annotated[float, typer.Option(help="How long one run holds.")] = 4.0,
    transport: Annotated[str, typer.Option(help="auto, native or grpcio.")] = "auto",
) -> None:
    """Compare and print; the last line is JSON."""
    console = Console(stderr=True)
    asked = scenarios(items)[scenario]
    with _worktree(rev) as other:
        codes = {"here": Path.cwd(), rev: other}
        bundles = {name: _published(code, asked, items, console) for name, code in codes.items()}
        closed: Runs = {name: [] for name in codes}
        opened: Runs = {name: [] for name in codes}
        recalls = {}
        for turn in range(runs):
            for name in _order(list(codes), turn):
                console.log(f"run {turn + 1} of {runs}: {name}")
                bundle = bundles[name]
                with served(
                    bundle.root, bundle.name, transport=transport, profiles=asked.profiles, code=codes[name]
                ) as server:
                    if name not in recalls:
                        recalls[name] = recall_of(server, asked, bundle)
                    _one(server, asked, bundle, seconds, (closed[name], opened[name]), turn, closed)
    found = compared(closed, opened, rev) | {f"recall {name}": value for name, value in recalls.items()}
    console.print(_table(found, rev))
    typer.echo(json.dumps({"rev": rev, "scenario": scenario, "items": items, **found}))


def _order(names: list[str], turn: int) -> list[str]:
    return names if turn % 2 == 0 else names[::-1]


def _one(
    server: ServedBundle,
    scenario: Scenario,
    bundle: BenchBundle,
    seconds: float,
    kept: tuple[list[Outcome], list[Outcome]],
    turn: int,
    closed: Runs,
) -> None:
    """Add a closed loop, and an open loop at half of what the very first run reached: the same rate for both."""
    target = target_of(server, scenario.payloads(bundle))
    kept[0].append(closed_loop(target, seconds=seconds))
    rate = _HALF * next(runs[0].achieved_rate for runs in closed.values() if runs)
    kept[1].append(open_loop(target, rate=rate, seconds=seconds, seed=turn))


def compared(closed: Runs, opened: Runs, rev: str) -> dict[str, Any]:
    """Medians of both, the median of the runs' ratios (here over `rev`), its least and most."""
    found: dict[str, Any] = {}
    for figure in _FIGURES:
        runs = opened if figure.endswith("_ms") else closed
        here, there = ([float(getattr(each, figure)) for each in runs[name]] for name in ("here", rev))
        ratios = [one / other for one, other in zip(here, there, strict=True)]
        found[figure] = {
            "here": float(np.median(here)),
            rev: float(np.median(there)),
            "ratio": float(np.median(ratios)),
            "least": min(ratios),
            "most": max(ratios),
        }
    return found


@contextmanager
def _worktree(rev: str) -> Iterator[Path]:
    """Check `rev` out into build/bench/worktree for the time of the block."""
    path = (CACHE / "worktree").resolve()
    _git("worktree", "remove", "--force", str(path), check=False)
    _git("worktree", "add", "--detach", str(path), rev)
    _compile(path)
    try:
        yield path
    finally:
        _git("worktree", "remove", "--force", str(path), check=False)


def _compile(code: Path) -> None:
    """Compile in place what a checkout has to compile: building its wheel does."""
    if (code / "hatch_build.py").exists():
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--wheel-dir", str(code / "build"), str(code)], check=True)  # noqa: S603 - ours


def _git(*arguments: str, check: bool = True) -> None:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if check and result.returncode:
        message = f"git {' '.join(arguments)}: {result.stderr}"
        raise RuntimeError(message)


def _published(code: Path, scenario: Scenario, items: int, console: Console) -> BenchBundle:
    """Make the scenario's bundle by the code of a checkout, in the one cache: keys tell formats and policies apart."""
    command = [sys.executable, "-m", "loadtest.bench_bundle", "--items", str(items)]
    command += ["--recall", str(scenario.wanted.recall), "--cache", str(CACHE.resolve())]
    if scenario.wanted.every_source:
        command.append("--every-source")
    console.log(f"{code}: bundle")
    environment = {**os.environ, "PYTHONPATH": str(code)}
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=code, env=environment)  # noqa: S603 - ours
    if result.returncode:
        message = f"{code} cannot make the bundle; revisions before loadtest.bench_bundle cannot be compared"
        raise RuntimeError(message)
    return BenchBundle.load(CACHE, json.loads(result.stdout.splitlines()[-1])["key"])


def _table(found: Mapping[str, Any], rev: str) -> Table:
    table = Table(title=f"here against {rev}; ratios are here over there", title_justify="left")
    for heading in ("figure", "here", rev, "ratio", "least", "most"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    figures: Sequence[str] = [name for name in _FIGURES if name in found]
    for name in figures:
        values = found[name]
        table.add_row(name, *(f"{values[key]:,.3f}" for key in ("here", rev, "ratio", "least", "most")))
    return table


if __name__ == "__main__":
    typer.run(main)
