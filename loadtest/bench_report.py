"""Writes what the bench found into its page: tables between markers, and plots beside it.

A block `<!-- bench:NAME -->` … `<!-- end -->` of the page is replaced by the table NAME; all other text stays.
"""

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.bench_aims import aims
from loadtest.bench_sleep import sleep_table

Results = Mapping[str, Mapping[str, Any]]
_BLOCK = re.compile(r"<!-- bench:(\w+) -->\n.*?<!-- end -->", re.DOTALL)
_STATISTICS = {
    "items": "items",
    "dim": "dimensions",
    "norm_sigma": "lengths: deviation of the logarithm",
    "norm_p1": "1st percentile, relative to the median",
    "norm_p99": "99th percentile, relative to the median",
    "effective_rank": "spectrum: effective rank",
    "top_10": "share of ten dimensions",
    "cosine_1": "cosine with the nearest item",
    "cosine_10": "with the 10th",
    "cosine_100": "with the 100th",
    "popularity_slope": "popularity: slope of log count over log rank",
    "norm_popularity": "correlation with the length, of logarithms",
    "bias_mean": "item bias: mean, relative to the median length",
    "bias_sigma": "deviation",
}
_SCENARIOS = ("led95", "led90", "two_tower", "pdn", "fused", "glove95")


def write_report(results: Results, page: Path) -> None:
    """Replace the blocks of `page` whose parts were measured, and draw the plots."""
    text = page.read_text(encoding="utf-8")

    def block(match: re.Match[str]) -> str:
        lines = TABLES[match[1]](results) if match[1] in TABLES else []
        return f"<!-- bench:{match[1]} -->\n" + "\n".join(lines) + "\n<!-- end -->" if lines else match[0]

    page.write_text(_BLOCK.sub(block, text), encoding="utf-8")
    # needed by nobody who only wants the numbers
    importlib.import_module("loadtest.bench_figures").draw(results, page.parent)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Make a Markdown table; all columns but the first are figures."""
    if not rows:
        return []
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (headings, rule, *rows)]


def _illustrated(lines: list[str], text: str, name: str) -> list[str]:
    """Put the figure `performance-NAME.png` below a table; a page never shows one that was not drawn."""
    return [*lines, "", f"![{text}](performance-{name}.png)"] if lines else []


def shown(value: float) -> str:
    """Three digits that tell."""
    if value != value:  # noqa: PLR0124 - NaN
        return "n/a"
    if abs(value) >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004


def ranged(spread: Mapping[str, float]) -> str:
    """Write a median with its range."""
    return f"{shown(spread['median'])} ({shown(spread['least'])} to {shown(spread['most'])})"


def _scenarios(results: Results) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, results[name]["found"]) for name in _SCENARIOS if name in results]


def _machine(results: Results) -> list[str]:
    parts = [each for each in results.values() if "machine" in each]
    if not parts:
        return []
    revisions = sorted({each["revision"] for each in parts})
    any_part = parts[0]
    seconds = " or ".join(f"{each:g}" for each in sorted({part["seconds"] for part in parts}))
    loads = [each["load_average"] for each in parts]
    line = (
        f"{any_part['machine']}; revision {', '.join(revisions)}; medians of {any_part['runs']} runs of "
        f"{seconds} s, ranges in brackets; load average after a part {min(loads):.1f} to "
        f"{max(loads):.1f}."
    )
    return [line]


def _capacity(results: Results) -> list[str]:
    rows = []
    for _, found in _scenarios(results):
        most = found["capacity"]
        rows.append(
            [
                found["title"],
                f"{found['recall']:.3f}",
                ranged(most["achieved_rate"]),
                ranged(most["server_cpu_us"]),
                shown(found["limit"]["limit_us"]),
                ranged(found["tax"]),
                f"{most['client_share']['median']:.0%}",
                str(most["errors"]),
            ]
        )
    heads = ("scenario", "recall", "calls/s", "CPU µs per call", "encode + search", "tax", "client's share", "errors")
    return _illustrated(table(heads, rows), "Encode, search and tax by scenario", "cpu")


def _half(results: Results) -> list[str]:
    rows = []
    for _, found in _scenarios(results):
        half = found["half"]
        marks = [ranged(half[name]) for name in ("p50_ms", "p90_ms", "p99_ms", "p99_9_ms")]
        cpu = ranged(half["server_cpu_us"])
        rows.append([found["title"], shown(half["offered_rate"]), *marks, cpu, shown(half["late_p99_ms"]["median"])])
    heads = (
        "scenario",
        "offered/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "CPU µs per call",
        "client late, p99 ms",
    )
    return table(heads, rows)


def _ladder(results: Results) -> list[str]:
    rows = [
        [
            found["title"],
            f"{rung['share']:.0%}",
            shown(rung["offered_rate"]),
            shown(rung["achieved_rate"]["median"]),
            *(shown(rung[name]["median"]) for name in ("p50_ms", "p90_ms", "p99_ms", "p99_9_ms")),
            str(rung["errors"]),
        ]
        for _, found in _scenarios(results)
        for rung in found["ladder"]
    ]
    heads = ("scenario", "of capacity", "offered/s", "got/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "errors")
    return _illustrated(table(heads, rows), "p50, p99 and p99.9 by rate", "latency")


def _stages(results: Results) -> list[str]:
    names = sorted({name for _, found in _scenarios(results) for name in found["stages"]})
    rows = [
        [name, *(shown(found["stages"].get(name, float("nan"))) for _, found in _scenarios(results))] for name in names
    ]
    return table(("stage, mean µs", *(found["title"] for _, found in _scenarios(results))), rows)


def _memory(results: Results) -> list[str]:
    rows = [
        [
            found["title"],
            shown(found["memory"]["pss"]),
            shown(found["memory"]["rss"]),
            f"{found['memory']['processes']:.0f}",
            shown(found["ready_s"]),
            shown(found["build_s"]),
        ]
        for _, found in _scenarios(results)
    ]
    return table(("scenario", "PSS MiB", "RSS MiB", "processes", "start to ready s", "publishing s"), rows)


def _transports(results: Results) -> list[str]:
    if "transports" not in results:
        return []
    found = results["transports"]["found"]
    rows = []
    for kind in ("native", "grpcio"):
        most, half, nothing = (found[kind][name] for name in ("capacity", "half", "nothing"))
        cells = [ranged(each) for each in (nothing["server_cpu_us"], most["server_cpu_us"], found[kind]["tax"])]
        cells += [ranged(each) for each in (most["achieved_rate"], half["p50_ms"], half["p99_ms"])]
        rows.append([f"`{kind}`", *cells])
    heads = ("transport", "no-op CPU µs", "LED CPU µs", "tax", "calls/s", "p50 ms at half", "p99 ms at half")
    limit = ranged(found["limit"]["limit_us"])
    turns = f"Encode and search in process, between these loops: {limit} µs; the tax is the median of the turns'."
    return [*table(heads, rows), "", turns]


def _connections(results: Results) -> list[str]:
    if "connections" not in results:
        return []
    rows = []
    for count, each in results["connections"]["found"].items():
        most, half = each["capacity"], each["half"]
        cells = (most["achieved_rate"], most["server_cpu_us"], half["p50_ms"], half["p99_ms"])
        rows.append([count, *map(ranged, cells)])
    return table(("connections", "calls/s", "CPU µs per call", "p50 ms at half", "p99 ms at half"), rows)


def _workers(results: Results) -> list[str]:
    if "workers" not in results:
        return []
    one, two = (results["workers"]["found"][count] for count in ("1", "2"))
    rows = []
    for count, each in (("1", one), ("2", two)):
        most = each["capacity"]
        cores, share = shown(most["server_cores"]["median"]), f"{most['client_share']['median']:.0%}"
        cells = [ranged(most["achieved_rate"]), ranged(most["server_cpu_us"]), cores, share]
        rows.append([count, *cells, shown(each["memory"]["pss"]), shown(each["ready_s"])])
    heads = ("workers", "calls/s", "CPU µs per call", "cores used", "client's share", "PSS MiB", "start to ready s")
    raw, discounted, memory = scaling(one, two)
    line = (
        f"Two workers give {raw:.2f} times the calls of one, {discounted:.2f} times if both had whole cores. "
        f"PSS of all processes is {memory:.3f} times that with one worker."
    )
    return [*table(heads, rows), "", line]


def scaling(one: Mapping[str, Any], two: Mapping[str, Any]) -> tuple[float, float, float]:
    """Two workers over one: calls as measured; calls per core that the server had, times two; PSS."""
    first, second = one["capacity"], two["capacity"]
    raw = second["achieved_rate"]["median"] / first["achieved_rate"]["median"]
    per_core = first["server_cpu_us"]["median"] / second["server_cpu_us"]["median"]
    return raw, 2 * per_core, two["memory"]["pss"] / one["memory"]["pss"]


def _pinned(results: Results) -> list[str]:
    if "pinned" not in results:
        return []
    found = results["pinned"]["found"]
    most, half, cores = found["capacity"], found["half"], found["cores"]
    rate = most["achieved_rate"]["median"]
    line = (
        f"One worker alone on a core, the client on the other: {ranged(most['achieved_rate'])} calls/s at "
        f"{ranged(most['server_cpu_us'])} µs; p50 {ranged(half['p50_ms'])} ms and p99 {ranged(half['p99_ms'])} ms at "
        f"half of it. For {cores} cores without a client that extrapolates to {shown(rate * cores)} calls/s, which was "
        "not measured."
    )
    return [line]


def _sizes(results: Results) -> list[str]:
    if "sizes" not in results:
        return []
    rows = [
        [
            f"{int(size):,}",
            f"{each['recall']:.3f}",
            shown(each["limit"]["search_us"]),
            ranged(each["capacity"]["server_cpu_us"]),
            ranged(each["capacity"]["achieved_rate"]),
            *(ranged(each["half"][name]) for name in ("p50_ms", "p99_ms")),
            *(shown(value) for value in (each["memory"]["pss"], each["ready_s"], each["build_s"])),
        ]
        for size, each in sorted(results["sizes"]["found"].items(), key=lambda pair: int(pair[0]))
    ]
    heads = ("items", "recall", "search µs", "CPU µs per call", "calls/s", "p50 ms at half", "p99 ms at half")
    lines = table((*heads, "PSS MiB", "start to ready s", "publishing s"), rows)
    return _illustrated(lines, "CPU and latency by the number of items", "sizes")


def _fit(results: Results) -> list[str]:
    if "fit" not in results:
        return []
    beside = results["fit"]["statistics"]
    rows = [[label, *(_number(each[name]) for each in beside.values())] for name, label in _STATISTICS.items()]
    return table(("", *beside), rows)


def _aims(results: Results) -> list[str]:
    rows = [[each.wanted, each.found, "yes" if each.met else "**no**"] for each in aims(results)]
    return table(("aim", "found", "met"), rows)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


TABLES: Mapping[str, Callable[[Results], list[str]]] = {
    "machine": _machine,
    "capacity": _capacity,
    "half": _half,
    "ladder": _ladder,
    "stages": _stages,
    "memory": _memory,
    "transports": _transports,
    "connections": _connections,
    "workers": _workers,
    "pinned": _pinned,
    "sleep": lambda results: sleep_table(results, table, ranged),
    "sizes": _sizes,
    "fit": _fit,
    "aims": _aims,
}
