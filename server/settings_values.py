"""What settings and profiles share: checks of values, and how wrong ones are shown."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Check = Callable[[Any], str | None]
"""Says what was expected where a value is not it."""

KIND_NAMES: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    Path: "a path",
}
_SHOWN_CHARACTERS = 80


class SettingsError(Exception):
    """The operator's fault: a setting is unknown or has a value outside its range. The message has both values."""


def between(low: float, high: float) -> Check:
    """Accept numbers from `low` to `high`."""

    def check(value: float) -> str | None:
        return None if low <= value <= high else f"{low} to {high}"

    return check


def one_of(*choices: str) -> Check:
    """Accept these texts."""

    def check(value: str) -> str | None:
        return None if value in choices else f"one of {', '.join(choices)}"

    return check


def fault_of(value: object, kind: type, check: Check) -> str | None:
    """Say what was expected where `value` is not a `kind` that `check` accepts."""
    if not isinstance(value, int | float if kind is float else kind) or (isinstance(value, bool) and kind is not bool):
        return KIND_NAMES[kind]
    return check(value)


def widened(value: object, kind: type) -> object:
    """Take a TOML integer for a number and a string for a path."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # left for the check of its range
            return value
    if kind is Path and isinstance(value, str):
        return Path(value)
    return value


def nearest(name: str, known: Iterable[str]) -> str:
    """Name what may have been meant."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"


def shown(value: object) -> str:
    """Write a value as TOML does."""
    if isinstance(value, Path | str):
        # a JSON string is a TOML string, but for DEL
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def found(value: object) -> str:
    """Show a wrong value in an error: never long, and whatever it is."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    try:
        return cut(shown(value))
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"


def cut(text: str) -> str:
    """Keep a text short."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
