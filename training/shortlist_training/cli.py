"""The command line: `shortlist-train`. Turns steps into progress bars and tables, and errors into one line."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shortlist_training.config import LoadedProject
from shortlist_training.errors import TrainingError
from shortlist_training.report import evaluation_table, ingest_tables, published_line, ratios
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
RUNS, BUNDLES, REPRODUCTION = Path("build/runs"), Path("build/bundles"), Path("build/reproduction")

Result = TypeVar("Result")


@app.command(epilog=EXIT_CODES)
def run(config: Config, runs: Runs = RUNS, bundles: Bundles = BUNDLES, version: Version = None) -> None:
    """Do it all: ingest, train, evaluate, publish."""
    with _one_line_errors():
        work = _workspace(config, runs)
        _steps().bundle_version(version)  # a wrong one is found before the training, not after it
        _ingest(work)
        _train(work)
        _evaluate(work)
        _publish(work, bundles, version)


@app.command(epilog=EXIT_CODES)
def ingest(config: Config, runs: Runs = RUNS) -> None:
    """Read the log: apply the rules, name the items, split the users."""
    with _one_line_errors():
        _ingest(_workspace(config, runs))


@app.command(epilog=EXIT_CODES)
def train(config: Config, runs: Runs = RUNS) -> None:
    """Count pairs, factorize PMI and train LED (after ingest)."""
    with _one_line_errors():
        _train(_workspace(config, runs))


@app.command(epilog=EXIT_CODES)
def evaluate(config: Config, runs: Runs = RUNS) -> None:
    """Measure LED and its baselines on test users (after train)."""
    with _one_line_errors():
        _evaluate(_workspace(config, runs))


@app.command(epilog=EXIT_CODES)
def publish(config: Config, runs: Runs = RUNS, bundles: Bundles = BUNDLES, version: Version = None) -> None:
    """Build, verify and publish the bundle (after evaluate)."""
    with _one_line_errors():
        _publish(_workspace(config, runs), bundles, version)


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


def _ingest(work: Workspace) -> None:
    report = _timed("ingest", lambda progress: _steps().ingest_step(work, progress))
    for table in ingest_tables(report):
        console.print(table)


def _train(work: Workspace) -> None:
    report = _timed("train", lambda progress: _steps().train_step(work, progress))
    console.print(
        f"{report.users:,} users, {report.items:,} items, {report.pairs:,} pairs; "
        f"best epoch {report.best_epoch} of {len(report.epochs) - 1}, "
        f"validation NDCG@100 {report.epochs[report.best_epoch][2]:.4f}"
    )


def _evaluate(work: Workspace) -> None:
    evaluation = _timed("evaluate", lambda progress: _steps().evaluate_step(work, progress))
    console.print(evaluation_table(evaluation))
    console.print(ratios(evaluation))


def _publish(work: Workspace, bundles: Path, version: str | None) -> None:
    bundle = _timed("publish", lambda progress: _steps().publish_step(work, bundles, version, progress))
    console.print(published_line(bundle), soft_wrap=True, highlight=False)


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
