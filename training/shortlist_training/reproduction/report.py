"""Writes what the parts found: `report.md` with tables and remarks, plots as PNG beside it, tables on the console."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from shortlist_training.drawing import draw
from shortlist_training.reproduction.parts import Cell, ResultTable
from shortlist_training.reproduction.runner import Finished

_NAME_WIDTH = 14
SEVERAL = 2


def console_table(table: ResultTable) -> Table:
    """Show a result table."""
    shown = Table(title=table.title, title_justify="left", caption=table.protocol, caption_justify="left")
    shown.add_column("", min_width=_NAME_WIDTH, overflow="fold")
    for column in table.columns:
        shown.add_column(column, justify="right", overflow="fold")  # a number cut short is a wrong number
    for name, cells in table.rows:
        shown.add_row(name, *(_short(cell) for cell in cells))
    return shown


def write_report(finished: Sequence[Finished], out: Path, command: str) -> Path:
    """Write `report.md` and its plots into `out`; returns the report's path."""
    out.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Reproduction report",
        "",
        f"Made by `{command}`. Every part can be run again alone; finished parts are kept.",
        "",
    ]
    for part in finished:
        lines += [f"## {part.title}", ""]
        for table in part.result.tables:
            lines += _markdown(table)
        for plot in part.result.plots:
            draw(plot, out / f"{plot.name}.png")
            lines += [f"![{plot.title}]({plot.name}.png)", ""]
        lines += [*(f"- {remark}" for remark in part.result.remarks), ""]
    lines += _costs(finished)
    path = out / "report.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_costs(kept: Sequence[Finished], out: Path) -> Path | None:
    """Write `costs.md`, what every kept part cost, if they are of several systems; returns its path."""
    systems = sorted({_system(part) for part in kept})
    if len(systems) < SEVERAL:
        return None
    lines = [
        "# What the reproductions cost",
        "",
        "Written by `shortlist-train reproduce` from the parts that it keeps.",
        "Wall and CPU time with the threads that the command was given.",
        "Peak: the largest resident set while the part ran, loaded libraries included.",
        "",
        "| system | part | data | seed | wall s | CPU s | peak MB |",
        "|---|---|---|---:|---:|---:|---:|",
        *(_cost_row(part) for part in kept),
    ]
    lines += [_sum_row(system, [part for part in kept if _system(part) == system]) for system in systems]
    path = out / "costs.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _markdown(table: ResultTable) -> list[str]:
    header = f"| | {' | '.join(table.columns)} |"
    rule = f"|---|{'---:|' * len(table.columns)}"
    rows = [f"| {name} | {' | '.join(_text(cell) for cell in cells)} |" for name, cells in table.rows]
    return [f"**{table.title}**", "", header, rule, *rows, "", table.protocol, ""]


def _costs(finished: Sequence[Finished]) -> list[str]:
    lines = ["## What it cost", "", "| part | seed | wall s | CPU s | peak MB |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {part.name} | {part.seed} | {part.wall_s:g} | {part.cpu_s:g} | {part.peak_mb:g} |" for part in finished
    ]
    return lines


def _system(part: Finished) -> str:
    return part.name.partition("/")[0]


def _cost_row(part: Finished) -> str:
    data = ", ".join(sorted({name.partition("/")[0] for name in part.inputs})) or "-"
    what = part.name.partition("/")[2]
    figures = f"{part.wall_s:g} | {part.cpu_s:g} | {part.peak_mb:g}"
    return f"| {_system(part)} | {what} | {data} | {part.seed} | {figures} |"


def _sum_row(system: str, parts: Sequence[Finished]) -> str:
    wall, cpu = sum(part.wall_s for part in parts), sum(part.cpu_s for part in parts)
    return f"| {system} | all | | | {wall:.1f} | {cpu:.1f} | {max(part.peak_mb for part in parts):g} |"


def _short(cell: Cell | str | None) -> str:
    """A number with half of its interval, which a terminal has room for; the report has both ends."""
    if isinstance(cell, Cell) and cell.low is not None and cell.high is not None:
        return f"{cell.value:.4f} ±{(cell.high - cell.low) / 2:.3f}"
    return _text(cell)


def _text(cell: Cell | str | None) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    bounds = f" [{cell.low:.3f}, {cell.high:.3f}]" if cell.low is not None and cell.high is not None else ""
    return f"{cell.value:.4f}{bounds}"
