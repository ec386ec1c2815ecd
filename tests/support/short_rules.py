"""Prometheus rules with every duration divided, so that what takes hours in production takes seconds in a test.

Only times change: ranges (`[5m]`), waits (`for: 2m`), and how old a judgement may be (`_age_seconds > 900`). The rest,
labels and names, stays; a recorded name that says `rate5m` goes on saying so. Other limits in seconds that stand in an
expression (the age of a bundle) are thresholds.
"""

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = r"(\d+)(ms|s|m|h|d)"
_RANGE = re.compile(rf"\[{_DURATION}\]")
_WAIT = re.compile(rf"^(\s*for: ){_DURATION}$", re.MULTILINE)

_AGE = re.compile(r"(_age_seconds > )(\d+)$", re.MULTILINE)


def shorten(rules: str, factor: float) -> str:
    """Divide every duration of a rule file by `factor`, to the millisecond; 0 stays 0."""
    shorter = _RANGE.sub(lambda match: f"[{_divided(match[1], match[2], factor)}]", rules)
    shorter = _AGE.sub(lambda match: f"{match[1]}{int(match[2]) / factor:g}", shorter)
    return _WAIT.sub(lambda match: match[1] + _divided(match[2], match[3], factor), shorter)


def _divided(number: str, unit: str, factor: float) -> str:
    milliseconds = int(number) * _SECONDS[unit] * 1000 / factor
    return f"{max(1, round(milliseconds))}ms" if milliseconds else "0s"
