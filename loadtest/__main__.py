"""`python -m loadtest`: a rate ladder against a running server, as a table or as JSON."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from loadtest.client import Outcome, run_open_loop
from loadtest.cpu import tree_cpu_s
from loadtest.workload import requests_of, send_times_s

_HEADINGS = {
    "offered_qps": "offered/s",
    "achieved_qps": "got/s",
    "errors": "errors",
    "p50_ms": "p50 ms",
    "p90_ms": "p90 ms",
    "p99_ms": "p99 ms",
    "p99_9_ms": "p99.9 ms",
    "client_late_ms": "late ms",
    "server_cpu_us": "CPU µs",
}
_SEED = 7
_DRAWN = 5000


def main(
    bundle: Annotated[Path, typer.Argument(help="Version directory whose sample users ask.")],
    address: Annotated[str, typer.Option(help="Server to load.")] = "127.0.0.1:50051",
    rates: Annotated[str, typer.Option(help="Requests per second, comma-separated: one row each.")] = "250,500,1000",
    seconds: Annotated[float, typer.Option(help="How long each rate is held.")] = 10.0,
    warm_up: Annotated[float, typer.Option(help="Seconds at the first rate that are not counted.")] = 2.0,
    connections: Annotated[int, typer.Option(help="Separate connections; SO_REUSEPORT balances these.")] = 16,
    k: Annotated[int, typer.Option("-k", help="Candidates per request.")] = 100,
    history: Annotated[int, typer.Option(help="Most recent interactions of a user that are sent.")] = 20,
    profile: Annotated[str, typer.Option(help="Profile of the server's settings.", show_default="default")] = "",
    server_pid: Annotated[int | None, typer.Option(help="The server's master process: adds its CPU per call.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of a table.")] = False,
) -> None:
    """Send at planned times and measure from them. Exits 1 if any call failed."""
    requests = requests_of(bundle, count=_DRAWN, k=k, max_history=history, profile=profile, seed=_SEED)
    ladder = [float(rate) for rate in rates.split(",")]

    def hold(rate: float, duration_s: float) -> dict[str, float]:
        times_s = send_times_s(rate, duration_s, _SEED)
        before_s = tree_cpu_s(server_pid) if server_pid else 0.0
        outcome = asyncio.run(run_open_loop(address, requests, times_s, connections=connections, deadline_s=5.0))
        spent_s = tree_cpu_s(server_pid) - before_s if server_pid else 0.0
        return _row(rate, outcome, spent_s if server_pid else None)

    with Console(stderr=True).status("warming up") as status:
        hold(ladder[0], warm_up)
        rows = []
        for rate in ladder:
            status.update(f"{rate:g} requests per second for {seconds:g} s")
            rows.append(hold(rate, seconds))
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
    else:
        Console().print(_table(rows, connections))
    if any(row["errors"] for row in rows):
        raise typer.Exit(1)


def _row(rate: float, outcome: Outcome, cpu_s: float | None) -> dict[str, float]:
    calls = sum(outcome.codes.values())
    marks = np.percentile(outcome.latencies_s or [np.nan], [50, 90, 99, 99.9]) * 1000
    row = {"offered_qps": rate, "achieved_qps": calls / outcome.wall_s, "errors": calls - outcome.codes["OK"]}
    row |= {f"{name}_ms": float(mark) for name, mark in zip(("p50", "p90", "p99", "p99_9"), marks, strict=True)}
    row["client_late_ms"] = outcome.late_s * 1000
    if cpu_s is not None:
        row["server_cpu_us"] = cpu_s / calls * 1e6
    return row


def _table(rows: list[dict[str, float]], connections: int) -> Table:
    table = Table(
        title=f"Open loop, {connections} connections; latency from the planned send time", title_justify="left"
    )
    for name in rows[0]:
        table.add_column(_HEADINGS[name], justify="right")
    for row in rows:
        table.add_row(*(f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" for value in row.values()))  # noqa: PLR2004
    return table


if __name__ == "__main__":
    typer.run(main)
