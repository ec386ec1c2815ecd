"""`shortlist inspect`: the manifest as tables for a person, or as JSON for a program."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from index_store.index_entry import CurvePoint
from index_store.manifest import CountryEntry, Manifest, encode_manifest, read_manifest
from server.commands.bundle_path import version_directory
from server.inventory import PATHS, IndexFacts, indices_of
from server.text import visible

_BAR_WIDTH = 12


def inspect(path: Path, *, as_json: bool) -> None:
    """Print what the manifest says; the files themselves are not read (`shortlist verify` reads them)."""
    manifest = read_manifest(version_directory(path))
    if as_json:
        sys.stdout.buffer.write(encode_manifest(manifest))
        return
    console = Console()
    console.print(_heading(manifest), soft_wrap=True)
    console.print(_countries(manifest))
    console.print(_indices(manifest))
    for code in manifest.countries:
        for index in indices_of(manifest, code):
            if index.curve:
                console.print(_curve(code, index))
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


def _by_size(manifest: Manifest) -> list[tuple[str, CountryEntry]]:
    return sorted(manifest.countries.items(), key=lambda pair: (-pair[1].items, pair[0]))


def _countries(manifest: Manifest) -> Table:
    table = Table(title="Countries", title_justify="left")
    table.add_column("country")
    table.add_column("items", justify="right")
    table.add_column("catalogue has")
    for code, country in _by_size(manifest):
        columns = [*country.columns, *(["prices"] if country.prices else [])]
        table.add_row(Text(visible(code)), f"{country.items:,}", ", ".join(columns) or "ids")
    return table


def _indices(manifest: Manifest) -> Table:
    table = Table(title="Indices", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("country")
    table.add_column("source", no_wrap=True)
    for name in ("items", "dim"):
        table.add_column(name, justify="right")
    for name in ("searched by", "recall"):
        table.add_column(name)
    for code, _ in _by_size(manifest):
        for number, index in enumerate(indices_of(manifest, code)):
            table.add_row(Text("" if number else visible(code)), *_index_cells(index))
        table.add_section()
    return table


def _index_cells(index: IndexFacts) -> list[str]:
    cells = [index.label, f"{index.count:,}", str(index.dim)]
    if index.engine == PATHS:
        return [*cells, f"{index.triggers} x {index.neighbours} paths"]
    searched = _setting(index.chosen) if index.chosen else index.engine
    recall = f"{index.recall:.4f} ≥ {index.recall_target:.2f}"
    return [*cells, searched, recall]


def _curve(code: str, index: IndexFacts) -> Table:
    """All engines' points side by side, each engine's by rising recall, and why the bold one was chosen."""
    title = (
        f"{escape(visible(code))}, {index.label}: recall@{index.recall_k} against {index.recall_target} wanted; "
        f"{index.queries} queries, {index.own_queries} own{_built(index)}"
    )
    why = f"Chosen: {escape(visible(index.reason))}" if index.reason else None
    table = Table(title=title, title_justify="left", caption=why, caption_justify="left")
    table.add_column("searched by", no_wrap=True)
    table.add_column("recall", justify="right")
    table.add_column("", width=_BAR_WIDTH)
    table.add_column("µs per search", justify="right")
    table.add_column("")
    floor = _floor(index.curve)
    for number, point in enumerate(index.curve):
        if number and _series(point) != _series(index.curve[number - 1]):
            table.add_section()
        chosen = point == index.chosen
        bar = "█" * round(_BAR_WIDTH * (point.recall - floor) / (1 - floor))
        cells = (_setting(point), f"{point.recall:.4f}", bar, f"{point.search_us:.0f}", "chosen" if chosen else "")
        table.add_row(*cells, style="bold" if chosen else None)
    return table


def _built(index: IndexFacts) -> str:
    """How the index that is searched was built."""
    if index.m:
        return f"; M {index.m}, ef_construction {index.ef_construction}"
    if index.scann:
        soar = "" if index.scann.soar is None else f", SOAR {index.scann.soar:g}"
        over = f"{index.scann.principal} principal axes" if index.scann.principal else f"{index.dim} dimensions"
        return f"; {index.scann.leaves} leaves over {over}, {index.scann.block} to a code{soar}"
    return ""


def _series(point: CurvePoint) -> tuple[object, ...]:
    return point.engine, point.space, point.m, point.principal, point.leaves


def _setting(point: CurvePoint) -> str:
    """An engine and its effort, as the bundle's own words have them."""
    if point.engine == "scann":
        axes = f" axes {point.principal}" if point.principal else ""
        return f"scann{axes} leaves {point.leaves} reorder {point.reorder}"
    if point.engine == "exact":
        return "exact"
    m = f" M {point.m}" if point.m else ""
    return f"hnsw {point.space}{m} ef {point.ef}"


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
