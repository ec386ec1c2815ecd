"""Where tables are printed that are wider than the 80 columns of a log."""

import sys

from rich.console import Console


def wide(columns: int) -> Console:
    """Print as wide as the terminal is, and `columns` wide where there is none."""
    return Console(width=None if sys.stdout.isatty() else columns)
