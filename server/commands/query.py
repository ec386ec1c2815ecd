"""`shortlist query`: one request to a running server, its answer as a table that a person can read."""

import sys
from dataclasses import dataclass
from pathlib import Path

import grpc
import msgspec
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub
from server import exit_codes

_FALLBACKS = {
    pb.FALLBACK_EMPTY_HISTORY: "the history is empty: ordered by item bias",
    pb.FALLBACK_UNKNOWN_HISTORY: "no item of the history is in the catalogue: ordered by item bias",
}
_UNREACHABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


class QueryError(Exception):
    """What the person at the terminal should know, with the exit code of the command."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Question:
    """The command's options; `timeout_s` in seconds."""

    country: str
    user: str | None
    items: str | None
    item_ids: str | None
    k: int
    address: str
    bundle_root: Path
    timeout_s: float
    include_history: bool


class _Timeline(msgspec.Struct):
    """One line of a bundle's sample users."""

    user: str
    country: str
    item_ids: list[int]
    types: list[int]


def query(question: Question, *, as_json: bool) -> None:
    """Ask and print; `QueryError` for everything that a person can do something about."""
    with grpc.insecure_channel(question.address) as channel:
        stub = RetrievalStub(channel)  # type: ignore[no-untyped-call] # generated
        try:
            request = pb.RetrieveRequest(
                country=question.country,
                history=_history(question, stub),
                k=question.k,
                exclude_history=not question.include_history,
                include_item_details=True,
            )
            response = stub.Retrieve(request, timeout=question.timeout_s)
        except ValueError as error:
            message = f"-k {question.k}: {error}"
            raise QueryError(message, exit_codes.USAGE) from error
        except grpc.RpcError as error:
            raise _explain(error, question.address) from error
    if as_json:
        sys.stdout.write(json_format.MessageToJson(response, preserving_proto_field_name=True) + "\n")
    else:
        _print(question, request, response)


def _history(question: Question, stub: RetrievalStub) -> list[pb.Interaction]:
    if question.user is not None:
        timeline = _sample_user(question, stub)
        return [
            pb.Interaction(item_id=item_id, type=pb.InteractionType.Name(kind))
            for item_id, kind in zip(timeline.item_ids, timeline.types, strict=True)
        ]
    if question.item_ids is not None:
        return [pb.Interaction(item_id=_item_id(text)) for text in _listed(question.item_ids)]
    return [pb.Interaction(item_key=key) for key in _listed(question.items or "")]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _item_id(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 64:
        message = f"--item-ids: expected numbers from 0 to 2^64 - 1, found {text!r}"
        raise QueryError(message, exit_codes.USAGE)
    return int(text)


def _sample_user(question: Question, stub: RetrievalStub) -> _Timeline:
    """Find the user in the bundle that answers: the server says which one it is."""
    info = stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=question.timeout_s)
    path = question.bundle_root / info.bundle_name / info.bundle_version / "samples" / "timelines.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        message = (
            f"{path} cannot be read ({error.strerror}); --user needs the served bundle's folder: see --bundle-root"
        )
        raise QueryError(message, exit_codes.NO_SAMPLE_USER) from error
    timelines = [msgspec.json.decode(line, type=_Timeline) for line in lines]
    of_user = [timeline for timeline in timelines if timeline.user == question.user]
    for timeline in of_user:
        if timeline.country == question.country:
            # the server takes a bounded history; the most recent part is what counts
            recent = slice(-info.max_history, None)
            return _Timeline(timeline.user, timeline.country, timeline.item_ids[recent], timeline.types[recent])
    if of_user:
        hint = f"user {question.user} is a user of {', '.join(sorted(t.country for t in of_user))}"
    else:
        some = [timeline.user for timeline in timelines if timeline.country == question.country][:5]
        hint = f"users of {question.country}: {', '.join(some)} …" if some else f"no sample user of {question.country}"
    message = f"the bundle has no sample user {question.user} in {question.country}; {hint}"
    raise QueryError(message, exit_codes.NO_SAMPLE_USER)


def _explain(error: grpc.RpcError, address: str) -> QueryError:
    code, details = error.code(), error.details()
    if code in _UNREACHABLE:
        message = f"no answer from {address}: {code.name}: {details}; is `shortlist serve` running there?"
        return QueryError(message, exit_codes.NO_SERVER)
    return QueryError(f"{code.name}: {details}", exit_codes.CALL_REFUSED)


def _print(question: Question, request: pb.RetrieveRequest, response: pb.RetrieveResponse) -> None:
    console = Console()
    who = f"user {question.user}" if question.user else "this history"
    console.print(f"[bold]{len(response.candidates)} candidates in {question.country}[/] for {who}", soft_wrap=True)
    if request.history:
        known = len(request.history) - response.unknown_items
        console.print(f"history: {len(request.history)} interactions, {known} in the catalogue", soft_wrap=True)
    if response.fallback in _FALLBACKS:
        console.print(f"[yellow]not personal: {_FALLBACKS[response.fallback]}[/]", soft_wrap=True)
    table = Table()
    table.add_column("#", justify="right")
    columns = [name for name in ("item_key", "title", "merchant", "category") if _any(response, name)]
    for name in columns or ["item_id"]:
        table.add_column(name.removeprefix("item_"))
    table.add_column("score", justify="right")
    for rank, candidate in enumerate(response.candidates, start=1):
        cells = [getattr(candidate.details, name) for name in columns] or [str(candidate.item_id)]
        table.add_row(str(rank), *cells, f"{candidate.score:.3f}")
    console.print(table)
    for source in response.sources:
        console.print(
            f"{source.source}: {source.candidates} by {source.method}, encode {source.encode_us} µs, "
            f"search {source.search_us} µs · bundle {response.bundle_version}",
            soft_wrap=True,
        )


def _any(response: pb.RetrieveResponse, name: str) -> bool:
    return any(getattr(candidate.details, name) for candidate in response.candidates)
