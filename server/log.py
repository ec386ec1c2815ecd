"""Logging set-up: called once at the start of every process, because each has its own role.

Lines go to stderr, as text or as one JSON object each, and always say which process wrote them.
"""

import json
import logging
import sys
import time

_TEXT = "%(asctime)s %(levelname)-7s %(role)s[%(process)d] %(message)s"


def set_up_logging(role: str, level: str, form: str) -> None:
    """Make this process log as `role` ("master", "worker-1") from `level` up, in `form` "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _text_formatter())
    handler.addFilter(_RoleFilter(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class _RoleFilter(logging.Filter):
    """Stamps records with the role; a filter, because a formatter cannot add fields to the text format."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def filter(self, record: logging.LogRecord) -> bool:
        record.role = self._role
        return True


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
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
