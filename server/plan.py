"""What a child process is told on its command line, as JSON, and how it is started.

The master's children are started afresh instead of forked: the master has a thread for metrics, which a fork would
cut off wherever it is, and its environment must be in place before numpy is loaded. `ps` shows who has which bundle.
"""

from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from server.settings import Settings


class LobbyPlan(msgspec.Struct, frozen=True):
    """For `python -m server.lobby`: answer on `address` until told to stop."""

    settings: Settings
    parent: int
    address: str


class InspectorPlan(msgspec.Struct, frozen=True):
    """For `python -m server.inspector`: answer HTTP on the socket `listener`, about the server at `address`.

    `metrics_url` is empty where there is no metrics endpoint.
    """

    settings: Settings
    parent: int
    address: str
    listener: int
    metrics_url: str


class GenerationPlan(msgspec.Struct, frozen=True):
    """For `python -m server.generation`: serve the bundle at `path` on `address`.

    `reports` is the descriptor for reports to the master, `board` that of the metrics with `slots` slots, of which
    this generation's workers have those from `first_slot` on.
    """

    settings: Settings
    parent: int
    address: str
    path: Path
    reports: int
    board: int
    slots: int
    first_slot: int


Plan: TypeAlias = LobbyPlan | InspectorPlan | GenerationPlan
_PlanT = TypeVar("_PlanT", LobbyPlan, InspectorPlan, GenerationPlan)


def encode_plan(plan: Plan) -> str:
    """Serialise for the command line; only the master reads the settings file, whose name may be no UTF-8."""
    told = msgspec.structs.replace(plan, settings=replace(plan.settings, file=None))
    return msgspec.json.encode(told, enc_hook=str).decode()


def decode_plan(text: str, kind: type[_PlanT]) -> _PlanT:
    """Read what `encode_plan` wrote."""
    return msgspec.json.decode(text, type=kind, dec_hook=_decode_path)


def _decode_path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
