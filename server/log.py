"""Logging set-up: called once at the start of every process, because each has its own role.

Lines go to stderr, as text or as one JSON object each, and always say which process wrote them.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from server.process import name_process

_TEXT = "%(asctime)s %(levelname)-7s %(role)s[%(process)d] %(message)s%(fields_text)s"


def fields(**values: Any) -> Mapping[str, Any]:  # noqa: ANN401 - whatever JSON can say
    """Make the `extra` of a log call: fields of the JSON object, and `key=value` behind the message of the text."""
    return {"fields": values}


def set_up_logging(role: str, level: str, form: str) -> None:
    """Name this process `role` ("master", "worker-1") and make it log from `level` up, in `form` "text" or "json"."""
    name_process(role)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _text_formatter())
    handler.addFilter(_RoleFilter(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class _RoleFilter(logging.Filter):
    """Stamps records with the role and their fields; a filter, because a format string has no default for them."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def filter(self, record: logging.LogRecord) -> bool:
        record.role = self._role
        told: Mapping[str, Any] = getattr(record, "fields", {})
        record.fields_text = "".join(f" {key}={_as_text(value)}" for key, value in told.items())
        return True


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text_formatter() -> logging.Formatter:
    formatter = logging.Formatter(_TEXT, datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter


class _JsonFormatter(logging.Formatter):
    """One object per line; a traceback becomes the field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "role": getattr(record, "role", ""),
            "pid": record.process,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
