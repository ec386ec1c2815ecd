"""`python -m loadtest.soak`: millions of calls to one server, window by window, and whether anything drifts.

Every window is a line of JSON in the output file, so a run that was interrupted goes on where it was: with a new
server, as a new segment. Drift is judged within the longest segment, its first windows left out as warm-up.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from index_store.location import current_bundle
from loadtest.bench_bundle import prepare
from loadtest.cpu import tree
from loadtest.drift import Drift, drift
from loadtest.drive import Target, closed_loop, open_loop
from loadtest.outcome import Outcome
from loadtest.scenario import METHOD, PROFILES, scenarios
from loadtest.served import ServedBundle, descriptors, served
from loadtest.wide import wide
from loadtest.workload import requests_of

_DRAWN = 20_000
_WARM_UP_SHARE = 0.1
_ALLOWED: dict[str, tuple[float, float]] = {
    "server_cpu_us": (0.05, 0.0),
    "p50_ms": (0.05, 0.0),
    "p99_ms": (0.15, 0.0),
    "pss_mib": (0.01, 4.0),
    "rss_mib": (0.01, 8.0),
    "anonymous_mib": (0.02, 4.0),
    "descriptors": (0.0, 2.0),
}
"""What may rise over the whole run without being called drift: a share of the median, or so much."""


def main(
    calls: Annotated[int, typer.Option(help="Calls in all.")] = 20_000_000,
    window: Annotated[int, typer.Option(help="Calls of one window.")] = 100_000,
    root: Annotated[Path, typer.Option(help="Folder that holds the bundles.")] = Path("build/bundles"),
    name: Annotated[str, typer.Option(help="Which bundle.")] = "online-retail",
    profile: Annotated[str, typer.Option(help="led, two_tower, pdn or fused.")] = "led",
    drawn: Annotated[
        int, typer.Option(min=0, help="Instead of it, the bench's LED bundle of so many drawn items.")
    ] = 0,
    rate: Annotated[float, typer.Option(help="Calls per second, open loop; 0 = closed loop.")] = 0.0,
    concurrency: Annotated[int, typer.Option(help="Calls in flight of the closed loop.")] = 16,
    transport: Annotated[str, typer.Option(help="auto, native or grpcio.")] = "auto",
    out: Annotated[Path, typer.Option(help="Windows, one line of JSON each; goes on if it exists.")] = Path(
        "build/bench/soak.jsonl"
    ),
) -> None:
    """Soak, print the verdict, and exit 1 if anything drifts or a call failed."""
    rows = _kept(out)
    if drawn:
        scenario = scenarios(drawn)["led95"]
        bundle = prepare(scenario.wanted)
        root, name, profiles, requests = bundle.root, bundle.name, scenario.profiles, scenario.payloads(bundle)
    else:
        profiles, current = PROFILES, current_bundle(root, name)
        requests = requests_of(current, count=_DRAWN, k=100, max_history=20, profile=profile, seed=7)
    if (done := sum(row["calls"] for row in rows)) < calls:
        segment = 1 + max((row["segment"] for row in rows), default=0)
        with served(root, name, transport=transport, profiles=profiles) as server:
            target = Target(server.address, METHOD, requests, [server.pid])
            _soak(target, server, (done, calls, window), (rate, concurrency), segment, out, rows)
    verdicts = judge(rows)
    summary = {"calls": sum(row["calls"] for row in rows), "errors": sum(row["errors"] for row in rows)}
    report = {**summary, "windows": len(rows), "drift": {key: vars(each) for key, each in verdicts.items()}}
    out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    wide(110).print(_table(rows, verdicts, summary))
    if summary["errors"] or any(each.drifts for each in verdicts.values()):
        raise typer.Exit(1)


def _kept(out: Path) -> list[dict[str, Any]]:
    out.parent.mkdir(parents=True, exist_ok=True)
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def _soak(
    target: Target,
    server: ServedBundle,
    amounts: tuple[int, int, int],
    load: tuple[float, int],
    segment: int,
    out: Path,
    rows: list[dict[str, Any]],
) -> None:
    """Add windows to `rows` and `out` until the calls are done."""
    done, calls, window = amounts
    rate, concurrency = load
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress, out.open("a") as sink:
        bar = progress.add_task("soaking", total=calls, completed=done)
        while done < calls:
            count = min(window, calls - done)
            if rate:
                outcome = open_loop(target, rate=rate, seconds=count / rate, warm_up_s=0)
            else:
                outcome = closed_loop(target, seconds=1e9, calls=count, concurrency=concurrency, warm_up_s=0)
            done += outcome.calls
            rows.append(_row(outcome, server, segment, done))
            sink.write(json.dumps(rows[-1]) + "\n")
            sink.flush()
            text = f"{outcome.achieved_rate:,.0f}/s, p99 {outcome.p99_ms:.2f} ms, {rows[-1]['pss_mib']:.0f} MiB"
            progress.update(bar, completed=done, description=text)


def _row(outcome: Outcome, server: ServedBundle, segment: int, done: int) -> dict[str, Any]:
    pids = tree(server.pid)
    memory = server.memory_mib()
    seen = outcome.to_json()
    del seen["histogram"]
    return {
        **seen,
        "segment": segment,
        "done": done,
        **{f"{name}_mib": memory[name] for name in ("pss", "rss", "anonymous")},
        "processes": len(pids),
        "descriptors": descriptors(pids),
    }


def judge(rows: Sequence[dict[str, Any]]) -> dict[str, Drift]:
    """Judge every figure over the longest segment, without its first tenth."""
    segments = [row["segment"] for row in rows]
    longest = max(set(segments), key=segments.count)
    own = [row for row in rows if row["segment"] == longest]
    own = own[int(len(own) * _WARM_UP_SHARE) :]
    calls = [row["done"] for row in own]
    return {
        name: drift(calls, [row[name] for row in own], allowed_share=share, allowed=absolute)
        for name, (share, absolute) in _ALLOWED.items()
    }


def _table(rows: Sequence[dict[str, Any]], verdicts: dict[str, Drift], summary: dict[str, int]) -> Table:
    title = f"{summary['calls']:,} calls in {len(rows)} windows, {summary['errors']} errors"
    table = Table(title=title, title_justify="left")
    for heading in ("figure", "first", "median", "last", "per million calls", "z", "verdict"):
        table.add_column(heading, justify="left" if heading in {"figure", "verdict"} else "right")
    for name, found in verdicts.items():
        values = (rows[0][name], found.median, rows[-1][name], found.per_million, found.z)
        table.add_row(name, *(f"{value:,.3f}" for value in values), "DRIFTS" if found.drifts else "steady")
    return table


if __name__ == "__main__":
    typer.run(main)
