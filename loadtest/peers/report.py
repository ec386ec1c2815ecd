"""Tables of results, on screen and in `docs/peers.md`; all figures also as JSON beside the page."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from loadtest.peers.peer import Facts
from loadtest.peers.peers import PEERS

Results = Mapping[str, Mapping[str, Any]]
"""By peer: what `python -m loadtest.peers` keeps of it."""

_BEGIN, _END = "<!-- figures: python -m loadtest.peers --page -->", "<!-- end of figures -->"
_OWN = ("native", "grpcio")

_Row = Mapping[str, Any]


def setting_text(row: _Row) -> str:
    """Say in a few words how a peer was set."""
    setting = row["setting"]
    if row["index"]:
        return f"{row['index']}; {', '.join(f'{name} {value}' for name, value in setting['choice'].items())}"
    choice = ", ".join(f"{name} {value}" for name, value in setting["choice"].items())
    missed = "" if setting["reached"] else "; its highest: the target was not reached"
    return f"{setting['variant']}, {setting['knob']} {setting['effort']}; {choice}{missed}"


_COLUMNS: Mapping[str, Callable[[_Row], str]] = {
    "recall": lambda row: f"{row['recall']:.3f}",
    "calls/s": lambda row: " to ".join(f"{each:,.0f}" for each in row["qps_range"]),
    "CPU µs": lambda row: f"{row['cpu_us']:,.0f}",
    "at half: calls/s": lambda row: f"{row['half_rate']:,.0f}",
    "p50 ms": lambda row: f"{row['p50_ms']:.2f}",
    "p99 ms": lambda row: f"{row['p99_ms']:.2f}",
    "memory MB": lambda row: f"{row['pss_mb']:,.0f}",
    "setting": setting_text,
}
# what is compared: name, key, whether less is better
_CONTESTS = (
    ("calls per second", "qps", False),
    ("CPU per call", "cpu_us", True),
    ("p50 at half of its own load", "p50_ms", True),
    ("p99 at half of its own load", "p99_ms", True),
    ("memory", "pss_mb", True),
)


def tables(results: Results, items: int) -> Iterator[Table]:
    """Give one table per target, and one of those that could not be had."""
    for target in _targets(results):
        table = Table(title=f"{items:,} items, recall@100 of at least {target}", title_justify="left")
        for name in ("", *_COLUMNS):
            table.add_column(name, justify="left" if name in {"", "setting"} else "right")
        for row in _rows(results, target):
            table.add_row(*row)
        yield table
    if skipped := _skipped(results):
        table = Table("skipped", "why", title_justify="left")
        for title, why in skipped:
            table.add_row(title, why)
        yield table


def write_page(page: Path, build: Path) -> None:
    """Replace the page's figures by those of every catalogue size under `build`, largest first, and write the JSON."""
    sizes = sorted((int(path.name) for path in build.iterdir() if (path / "results").is_dir()), reverse=True)
    every = {str(size): read_results(build / str(size)) for size in sizes}
    text = "\n".join(line for size in sizes for line in _size_lines(every[str(size)], size))
    begin, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, end = rest.partition(_END)
    facts = "\n".join(_facts_lines(every))
    page.write_text(f"{begin}{_BEGIN}\n\n{text}\n{facts}\n{_END}{end}", encoding="utf-8")
    page.with_suffix(".json").write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")


def read_results(folder: Path) -> Results:
    """Read what is kept of each peer, in their order."""
    kept = {name: folder / "results" / f"{name}.json" for name in PEERS}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in kept.items() if path.exists()}


def wins(results: Results, target: str) -> Sequence[str]:
    """Say where a peer that reaches the target is better than the better one of Shortlist's transports."""
    rows = {name: one["measured"][target] for name, one in results.items() if target in one["measured"]}
    own = [row for name, row in rows.items() if name in _OWN]
    if not own:
        return []
    said = []
    for what, key, less in _CONTESTS:
        best = (min if less else max)(row[key] for row in own)
        for name, row in rows.items():
            better = row[key] < best if less else row[key] > best
            if name not in _OWN and row["setting"]["reached"] and better:
                said.append(f"{results[name]['title']} wins on {what}: {row[key]:,.2f} against {best:,.2f}.")
    return said


def _targets(results: Results) -> Sequence[str]:
    return sorted({target for one in results.values() for target in one["measured"]}, reverse=True)


def _rows(results: Results, target: str) -> Iterator[list[str]]:
    for one in results.values():
        if row := one["measured"].get(target):
            yield [one["title"], *(show(row) for show in _COLUMNS.values())]


def _skipped(results: Results) -> Sequence[tuple[str, str]]:
    return [(one["title"], one["skipped"]) for one in results.values() if one["skipped"]]


def _size_lines(results: Results, items: int) -> Iterator[str]:
    for target in _targets(results):
        yield from (f"### {items:,} items, recall@100 of at least {target}", "")
        yield f"| peer | {' | '.join(_COLUMNS)} |"
        yield f"|---|{'---:|' * (len(_COLUMNS) - 1)}---|"
        yield from (f"| {' | '.join(row)} |" for row in _rows(results, target))
        yield ""
        yield from (f"- {each}" for each in wins(results, target) or ["No peer at the target wins anything."])
        yield ""
    for title, why in _skipped(results):
        yield from (f"- **{title}** was skipped at {items:,} items: {' '.join(why.split())}", "")


def _facts_lines(every: Mapping[str, Results]) -> Iterator[str]:
    yield from (
        "### What each is",
        "",
        "| peer | versions | licence | how it runs here | filters | what it cannot do |",
    )
    yield "|---|---|---|---|---|---|"
    for name, make in PEERS.items():
        facts: Facts = make().facts
        found = [each[name].get("versions", {}) for each in every.values() if name in each]
        versions = {key: value for one in found for key, value in one.items()}
        stated = ", ".join(f"{key} {value}" for key, value in versions.items() if value != "?") or "not measured"
        yield f"| {facts.title} | {stated} | {facts.licence} | {facts.start} | {facts.filters} | {facts.lacks} |"
