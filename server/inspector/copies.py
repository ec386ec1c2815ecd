"""The same question outside the page: `shortlist query`, a grpcurl call, and Python with `shortlist.client`.

Each of them asks the server what the page has just asked. Items are written by key where the catalogue has keys that
need no quoting, and by id otherwise.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf import json_format

from server.inspector.question import Question

_METHOD = "retrieval.v1.Retrieval/Retrieve"
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_DEFAULT_ADDRESS = "127.0.0.1:50051"
_DEFAULT_ROOT = Path("build/bundles")


def query_command(question: Question, keys: Mapping[str, str], address: str, root: Path) -> str:
    """Write the `shortlist query` command; keys: item keys by id."""
    words = ["shortlist", "query", *_option("--country", question.country), *_history_options(question, keys, root)]
    words += ["-k", str(question.k)]
    words += _option("--profile", question.profile) if question.profile else []
    words += [word for merchant in question.merchants for word in _option("--merchant", merchant)]
    words += [word for category in question.categories for word in _option("--category", category)]
    if question.lowest is not None or question.highest is not None:
        words += [f"--price={_end(question.lowest)}:{_end(question.highest)}"]
    if question.excluded:
        words += _option("--exclude", ",".join(_item(item_id, keys) for item_id in question.excluded))
    words += [] if question.exclude_history else ["--include-history"]
    words += ["--explain"]
    words += ["--address", address] if address != _DEFAULT_ADDRESS else []
    return shlex.join(words)


def _option(name: str, value: str) -> list[str]:
    """Keep a value that begins with a dash from being read as an option."""
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _history_options(question: Question, keys: Mapping[str, str], root: Path) -> list[str]:
    if question.user:
        return [*_option("--user", question.user), *(["--bundle-root", str(root)] if root != _DEFAULT_ROOT else [])]
    if not question.history:
        return []
    events = (f"{event.type.lower()}:{_item(event.item_id, keys)}" for event in question.history)
    return _option("--history", ",".join(events))


def grpcurl_command(question: Question, address: str) -> str:
    """Write the grpcurl call: it reads the contract by reflection."""
    message = json_format.MessageToDict(question.request(), preserving_proto_field_name=True)
    return shlex.join(["grpcurl", "-plaintext", "-d", json.dumps(message, ensure_ascii=False), address, _METHOD])


def python_call(question: Question, address: str) -> str:
    """Write a program that prints the candidates."""
    names = ["Client", *(["Filters"] if _filtered(question) else []), *(["History"] if question.history else [])]
    arrays = ["import numpy as np"] if question.history or question.excluded else []
    lines = [
        *arrays,
        f"from shortlist.client import {', '.join(names)}",
        "",
        f"with Client({address!r}, timeout_s=1.0) as client:",
        "    answer = client.retrieve(",
        f"        {question.country!r},",
        *_python_history(question),
        f"        k={question.k},",
        *([f"        profile={question.profile!r},"] if question.profile else []),
        *(["        exclude_history=True,"] if question.exclude_history else []),
        *_python_filters(question),
        "    )",
        "for item_id, score in zip(answer.item_ids.tolist(), answer.scores.tolist()):",
        '    print(item_id, f"{score:.4f}")',
    ]
    return "\n".join(lines) + "\n"


def _python_history(question: Question) -> list[str]:
    if not question.history:
        return []
    ids = _array([event.item_id for event in question.history])
    types = [event.type.lower() for event in question.history]
    kinds = repr(types[0]) if len(set(types)) == 1 else json.dumps(types)
    return [f"        History({ids}, {kinds}),  # oldest first"]


def _array(item_ids: Sequence[str]) -> str:
    """Say the type: numpy makes floating-point numbers of ids on both sides of 2^63."""
    return f"np.array([{', '.join(str(int(item_id)) for item_id in item_ids)}], dtype=np.uint64)"


def _python_filters(question: Question) -> list[str]:
    if not _filtered(question):
        return []
    parts = []
    if question.merchants:
        parts.append(f"merchants={list(question.merchants)!r}")
    if question.categories:
        parts.append(f"categories={list(question.categories)!r}")
    if question.lowest is not None or question.highest is not None:
        parts.append(f"price=({question.lowest!r}, {question.highest!r})")
    if question.excluded:
        parts.append(f"excluded={_array(question.excluded)}")
    return [f"        filters=Filters({', '.join(parts)}),"]


def _filtered(question: Question) -> bool:
    priced = question.lowest is not None or question.highest is not None
    return bool(question.merchants or question.categories or question.excluded or priced)


def _item(item_id: str, keys: Mapping[str, str]) -> str:
    key = keys.get(item_id, "")
    return key if _PLAIN.fullmatch(key) else f"id:{int(item_id)}"


def _end(value: float | None) -> str:
    return "" if value is None else repr(value)
