"""What a reproduction consists of: parts that can be run, kept and shown on their own.

A part trains and measures one thing and returns tables, plots and remarks as plain data. Its settings decide its
result, so a part with the same settings and data is never run twice: `reproduction.runner` keeps results by their hash.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shortlist_training.plots import Curve, Plot

__all__ = ["Cell", "Curve", "Part", "PartContext", "PartResult", "Plot", "Progress", "ResultTable"]

Progress = Callable[[str, int, int], None]
"""Hears (what is being done, how much is done, of how much; 0 where that is not known)."""


class Cell(msgspec.Struct, frozen=True):
    """One number of a table: ours with its bootstrap 95 % interval, or the paper's (no interval)."""

    value: float
    low: float | None = None
    high: float | None = None


class ResultTable(msgspec.Struct, frozen=True):
    """Rows of models by columns of metrics. A cell is a number, or text; None is "not measured".

    `protocol` says in one or two sentences what was measured on whom, with which seed: no number stands without it.
    """

    title: str
    protocol: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | str | None, ...]], ...]


class PartResult(msgspec.Struct, frozen=True):
    """What a part found. `remarks` are sentences for the reader: what holds of the paper's claim, and what does not."""

    tables: tuple[ResultTable, ...]
    plots: tuple[Plot, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartContext:
    """What a part is given. `data` is the folder with the data sets, `work` a folder of its own for checkpoints."""

    data: Path
    work: Path
    seed: int
    threads: int
    progress: Progress


@dataclass(frozen=True)
class Part:
    """One thing to train and measure.

    name: "<system>/<what>", unique, in lower case. inputs: files below the data folder that it reads; they must exist,
    and their contents are part of the key. settings: JSON-able, everything that decides the result apart from the code;
    change `revision` when the code does.
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    settings: Mapping[str, Any]
    run: Callable[[PartContext], PartResult]
    revision: int = 1
