"""The command line: `shortlist-train`. Turns steps into progress bars and tables, and errors into one line."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shortlist_training.config import LoadedProject
from shortlist_training.costs import measured
from shortlist_training.errors import TrainingError
from shortlist_training.report import (
    costs_table,
    evaluation_table,
    ingest_tables,
    published_line,
    ratios,
    training_line,
)
from shortlist_training.report_served import served_tables
from shortlist_training.workspace import Workspace

EXIT_CODES = """Exit codes: 0 done, 1 a step failed (for example the bundle was refused), 2 wrong usage or project file,
3 bad data."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=f"Learn retrieval models from an interaction log and publish them as a bundle.\n\n{EXIT_CODES}",
)
console = Console()
errors = Console(stderr=True)

Config = Annotated[Path, typer.Argument(help="The project file (TOML).", show_default=False)]
Runs = Annotated[Path, typer.Option(help="Where run directories are; this run's is <runs>/<name>.")]
Bundles = Annotated[Path, typer.Option(help="Root of published bundles.")]
Version = Annotated[str | None, typer.Option(help="Bundle version; default: the UTC time, 20250131T120000Z.")]
Again = Annotated[bool, typer.Option("--again", help="Do finished steps again.")]
RUNS, BUNDLES, REPRODUCTION = Path("build/runs"), Path("build/bundles"), Path("build/reproduction")

Result = TypeVar("Result")


@app.command(epilog=EXIT_CODES)
def run(
    config: Config, runs: Runs = RUNS, bundles: Bundles = BUNDLES, version: Version = None, *, again: Again = False
) -> None:
    """Do it all: ingest, train, evaluate, publish. What is finished with the same settings and data is kept."""
    with _one_line_errors():
        work = _workspace(config, runs)
        _steps().bundle_version(version)  # a wrong one is found before the training, not after it
        if again or not _kept("ingest", _steps().is_ingested(work)):
            _ingest(work)
        _train(work, again=again)
        if again or not _kept("evaluate", work.is_done("evaluate")):
            _evaluate(work)
        _publish(work, bundles, version)
        console.print(costs_table(work.costs()))


@app.command(epilog=EXIT_CODES)
def ingest(config: Config, runs: Runs = RUNS) -> None:
    """Read the log: apply the rules, name the items, split the users."""
    with _one_line_errors():
        _ingest(_workspace(config, runs))


@app.command(epilog=EXIT_CODES)
def train(config: Config, runs: Runs = RUNS, *, again: Again = False) -> None:
    """Train LED and every source that the project has a section for (after ingest)."""
    with _one_line_errors():
        _train(_workspace(config, runs), again=again)


@app.command(epilog=EXIT_CODES)
def evaluate(
    config: Config,
    runs: Runs = RUNS,
    serve: Annotated[str | None, typer.Option(help="Ask the server at HOST:PORT instead.", show_default=False)] = None,
) -> None:
    """Measure all sources and baselines on test users (after train), or with --serve what a running server answers."""
    with _one_line_errors():
        work = _workspace(config, runs)
        if serve is None:
            _evaluate(work)
        else:
            _evaluate_served(work, serve)


@app.command(epilog=EXIT_CODES)
def publish(config: Config, runs: Runs = RUNS, bundles: Bundles = BUNDLES, version: Version = None) -> None:
    """Build, verify and publish the bundle (after evaluate)."""
    with _one_line_errors():
        _publish(_workspace(config, runs), bundles, version)


@app.command(epilog=EXIT_CODES)
def vectors(
    config: Config,
    source: Annotated[str, typer.Option(help="two_tower, or pdn for its direct net.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Directory to write to.", show_default=False)],
    runs: Runs = RUNS,
) -> None:
    """Write a source's item vectors and held-out users' as .npy files, to search elsewhere (after train)."""
    with _one_line_errors():
        work = _workspace(config, runs)
        written = _timed("vectors", lambda _: _steps().vectors_step(work, source, out))
        console.print(written, soft_wrap=True, highlight=False)


@app.command(epilog=EXIT_CODES)
def reproduce(
    system: Annotated[str, typer.Argument(help="The system to hold against its paper, or 'all'.")],
    data: Annotated[Path, typer.Option(help="Folder that holds the data sets.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Where results, plots and report.md go.")] = REPRODUCTION,
    seed: Annotated[int, typer.Option(help="Decides splits, initial values and samples.", min=0)] = 7,
    threads: Annotated[int, typer.Option(help="Of the numeric libraries.", min=1)] = 1,
    only: Annotated[str | None, typer.Option(help="Run this part alone.", show_default=False)] = None,
) -> None:
    """Repeat a paper's experiments on public data; finished parts are kept and not run again."""
    with _one_line_errors():
        # torch and matplotlib take seconds to import
        command = importlib.import_module("shortlist_training.reproduction.command")
        request = command.Request(system, data, out, seed, threads, only)
        parts = command.wanted(request)
        report = _timed(f"reproduce {system}", lambda progress: command.reproduce(request, parts, console, progress))
        console.print(f"report: {report}", soft_wrap=True, highlight=False)


def main() -> None:
    """Run the command line."""
    app()


def _workspace(config: Path, runs: Path) -> Workspace:
    loaded = LoadedProject.read(config)
    return Workspace(runs / loaded.project.name, loaded)


def _steps() -> ModuleType:
    # torch takes seconds to import, and --help and a wrong project file need none of it
    return importlib.import_module("shortlist_training.steps")


def _kept(step: str, is_done: bool) -> bool:  # noqa: FBT001 - the caller's condition, passed on
    if is_done:
        console.print(f"[bold]{step}[/bold] is kept: finished before with these settings and data")
    return is_done


def _ingest(work: Workspace) -> None:
    report = _step(work, "ingest", lambda progress: _steps().ingest_step(work, progress))
    for table in ingest_tables(report):
        console.print(table)


def _train(work: Workspace, *, again: bool) -> None:
    steps = _steps()
    wanted = ["led", *work.loaded.project.sources()]
    for name in wanted:
        step = f"train.{name}"
        if not again and _kept(step, work.is_done(step)):
            continue
        report = _step(work, step, partial(steps.train_step, step, work))
        console.print(training_line(report))


def _evaluate(work: Workspace) -> None:
    evaluation = _step(work, "evaluate", lambda progress: _steps().evaluate_step(work, progress))
    console.print(evaluation_table(evaluation))
    console.print(ratios(evaluation))


def _evaluate_served(work: Workspace, address: str) -> None:
    evaluation = _timed("served", lambda progress: _steps().served_step(work, address, progress))
    for table in served_tables(evaluation):
        console.print(table)


def _publish(work: Workspace, bundles: Path, version: str | None) -> None:
    bundle = _step(work, "publish", lambda progress: _steps().publish_step(work, bundles, version, progress))
    _steps().rewrite_report(work)
    console.print(published_line(bundle), soft_wrap=True, highlight=False)


def _step(work: Workspace, step: str, do: Callable[[Callable[[str, int, int], None]], Result]) -> Result:
    """Run a step under a progress bar, and remember what it cost."""
    with measured() as meter:
        result = _timed(step, do)
    if meter.cost is not None:
        work.save_cost(step, meter.cost)
    return result


def _timed(step: str, do: Callable[[Callable[[str, int, int], None]], Result]) -> Result:
    """Run a step under a progress bar, and say how long it took."""
    started = perf_counter()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(step, total=None)

        def progress(label: str, done: int, total: int) -> None:
            bars.update(task, description=f"{step}: {label}", completed=done, total=total or None)

        result = do(progress)
    console.print(f"[bold]{step}[/bold] took {perf_counter() - started:.1f} s")
    return result


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except TrainingError as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:  # a full disk, or a directory that may not be written
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(TrainingError.exit_code) from error
