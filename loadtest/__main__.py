"""`python -m loadtest`: a rate ladder against a running server, as a table or as JSON."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from loadtest.drive import Target, open_loop
from loadtest.h2 import ServerGoneError
from loadtest.outcome import Outcome
from loadtest.workload import requests_of

_METHOD = "/retrieval.v1.Retrieval/Retrieve"
_HEADINGS = {
    "offered_rate": "offered\n/s",
    "achieved_rate": "got\n/s",
    "errors": "failed",
    "p50_ms": "p50\nms",
    "p90_ms": "p90\nms",
    "p99_ms": "p99\nms",
    "p99_9_ms": "p99.9\nms",
    "late_p99_ms": "late\nms",
    "server_cpu_us": "CPU\nµs",
    "client_share": "client\nshare",
}
_SEED = 7
_DRAWN = 5000
_NO_SERVER = 8  # as `shortlist` has it


def main(
    bundle: Annotated[Path, typer.Argument(help="Version directory whose sample users ask.")],
    address: Annotated[str, typer.Option(help="Server to load.")] = "127.0.0.1:50051",
    rates: Annotated[str, typer.Option(help="Requests per second, comma-separated: one row each.")] = "250,500,1000",
    seconds: Annotated[float, typer.Option(help="How long each rate is held.")] = 10.0,
    warm_up: Annotated[float, typer.Option(help="Seconds at each rate that are not counted.")] = 1.0,
    connections: Annotated[int, typer.Option(help="Separate connections; SO_REUSEPORT balances these.")] = 16,
    k: Annotated[int, typer.Option("-k", help="Candidates per request.")] = 100,
    history: Annotated[int, typer.Option(help="Most recent interactions of a user that are sent.")] = 20,
    profile: Annotated[str, typer.Option(help="Profile of the server's settings.", show_default="default")] = "",
    server_pid: Annotated[int | None, typer.Option(help="The server's master process: adds its CPU per call.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of a table.")] = False,
) -> None:
    """Send at planned times and measure from them. Exits 1 if any call failed, 8 if no server is there."""
    if not (bundle / "samples").is_dir():
        message = f"{bundle} is no version of a bundle: expected a directory such as build/bundles/NAME/VERSION"
        raise typer.BadParameter(message, param_hint="BUNDLE")
    requests = requests_of(bundle, count=_DRAWN, k=k, max_history=history, profile=profile, seed=_SEED)
    ladder = [float(rate) for rate in rates.split(",")]
    target = Target(address, _METHOD, requests, [server_pid] if server_pid else [])
    outcomes = []
    try:
        with Console(stderr=True).status("warming up") as status:
            for rate in ladder:
                status.update(f"{rate:g} requests per second for {seconds:g} s")
                run = open_loop(
                    target, rate=rate, seconds=seconds, connections=connections, warm_up_s=warm_up, seed=_SEED
                )
                outcomes.append(run)
    except ServerGoneError as error:
        typer.echo(f"loadtest: {error}; is the server running there?", err=True)
        raise typer.Exit(_NO_SERVER) from error
    if as_json:
        for outcome in outcomes:
            typer.echo(json.dumps(outcome.to_json()))
    else:
        Console().print(_table(outcomes, connections))
    failed = Counter[str]()
    for outcome in outcomes:
        failed.update({status: count for status, count in outcome.statuses.items() if status != "OK"})
    if failed:
        kinds = ", ".join(f"{count:,} {status}" for status, count in failed.most_common())
        typer.echo(f"loadtest: calls failed: {kinds}. Was it more than the server takes?", err=True)
        raise typer.Exit(1)


def _table(outcomes: list[Outcome], connections: int) -> Table:
    title = f"Open loop, {connections} connections; latency from the planned send time"
    table = Table(title=title, title_justify="left")
    rows = [outcome.to_json() for outcome in outcomes]
    shown = [name for name in _HEADINGS if rows[0][name] is not None]
    for name in shown:
        table.add_column(_HEADINGS[name], justify="right")
    for row in rows:
        table.add_row(*(f"{row[name]:,.0f}" if abs(row[name]) >= 100 else f"{row[name]:.2f}" for name in shown))  # noqa: PLR2004
    return table


if __name__ == "__main__":
    typer.run(main)
