"""`shortlist inspect`: the manifest as tables for a person, or as JSON for a program."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from index_store.manifest import CountryEntry, CurvePoint, Manifest, encode_manifest, read_manifest
from server.commands.bundle_path import version_directory
from server.text import visible

_BAR_WIDTH = 20


def inspect(path: Path, *, as_json: bool) -> None:
    """Print what the manifest says; the files themselves are not read (`shortlist verify` reads them)."""
    manifest = read_manifest(version_directory(path))
    if as_json:
        sys.stdout.buffer.write(encode_manifest(manifest))
        return
    console = Console()
    console.print(_heading(manifest), soft_wrap=True)
    console.print(_countries(manifest))
    for code, country in manifest.countries.items():
        if country.led.curve:
            console.print(_curve(code, country))
    if manifest.training.metrics:
        console.print(_metrics(manifest))


def _heading(manifest: Manifest) -> Text:
    created = datetime.fromtimestamp(manifest.created_ms / 1000, tz=UTC)
    size = sum(entry.bytes for entry in manifest.files)
    # a Text, because a str would be read as markup: what a manifest says may have brackets
    return Text.assemble(
        (visible(manifest.name), "bold"),
        " version ",
        (visible(manifest.version), "bold"),
        f", format {visible(manifest.format_version)}, published {created:%Y-%m-%d %H:%M:%S} UTC\n"
        f"{len(manifest.countries)} countries, {sum(c.items for c in manifest.countries.values()):,} items, "
        f"{len(manifest.files)} files, {size / 1e6:.1f} MB, encoders: {visible(', '.join(manifest.encoders))}\n"
        f"trained with seed {manifest.training.seed} on data {visible(manifest.training.data_fingerprint[:16])}…",
    )


def _countries(manifest: Manifest) -> Table:
    table = Table(title="Countries", title_justify="left")
    table.add_column("country")
    for name in ("items", "dim"):
        table.add_column(name, justify="right")
    table.add_column("engine")
    table.add_column("space")
    for name in ("ef", "recall", "target", "queries (own)"):
        table.add_column(name, justify="right")
    by_size = sorted(manifest.countries.items(), key=lambda pair: (-pair[1].items, pair[0]))
    for code, country in by_size:
        led = country.led
        table.add_row(
            Text(visible(code)),
            f"{country.items:,}",
            str(led.dim),
            led.engine,
            led.space or "",
            str(led.ef or ""),
            f"{led.recall:.4f}",
            f"{led.recall_target:.2f} @{led.recall_k}",
            f"{led.queries} ({led.own_queries})",
        )
    return table


def _curve(code: str, country: CountryEntry) -> Table:
    led = country.led
    settings = f"M {led.m}, ef_construction {led.ef_construction}"
    table = Table(
        title=f"{escape(visible(code))}: recall@{led.recall_k} of the graph ({settings}) by ef", title_justify="left"
    )
    table.add_column("space")
    table.add_column("ef", justify="right")
    table.add_column("recall", justify="right")
    table.add_column("", width=_BAR_WIDTH)
    table.add_column("µs per search", justify="right")
    table.add_column("")
    floor = _floor(led.curve)
    for point in led.curve:
        chosen = (point.space, point.ef) == (led.space, led.ef)
        bar = "█" * round(_BAR_WIDTH * (point.recall - floor) / (1 - floor))
        table.add_row(
            point.space,
            str(point.ef),
            f"{point.recall:.4f}",
            bar,
            f"{point.search_us:.0f}",
            "chosen" if chosen else "",
            style="bold" if chosen else None,
        )
    return table


def _floor(curve: Sequence[CurvePoint]) -> float:
    """Where the bars begin: a little under the worst point, so that differences near 1 can be seen."""
    return max(0.0, min(point.recall for point in curve) - 0.05)


def _metrics(manifest: Manifest) -> Table:
    table = Table(title="Offline metrics, held-out users", title_justify="left")
    table.add_column("model")
    names = sorted({name for values in manifest.training.metrics.values() for name in values})
    for name in names:
        table.add_column(Text(visible(name)), justify="right")
    for model, values in manifest.training.metrics.items():
        table.add_row(Text(visible(model)), *(f"{values[name]:.4f}" if name in values else "" for name in names))
    return table
