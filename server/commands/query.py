"""`shortlist query`: one request to a running server, its answer as a table that a person can read."""

import ipaddress
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import msgspec
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table
from rich.text import Text

from index_store.content import Timeline
from index_store.layout import TIMELINES
from models.interactions import InteractionType
from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub
from server import exit_codes
from server.text import encodable, visible

_FALLBACKS = {
    pb.FALLBACK_EMPTY_HISTORY: "the history is empty: ordered by item bias",
    pb.FALLBACK_UNKNOWN_HISTORY: "no item of the history is in the catalogue: ordered by item bias",
}
_MAX_UINT32 = 2**32 - 1
_MAX_UINT64 = 2**64 - 1
_MAX_TIMEOUT_S = 86400.0
_ADDRESS = re.compile(r"(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<ipv6>[^\]]+)\]):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65535
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


def query(question: Question, *, as_json: bool) -> None:
    """Ask and print; `QueryError` for everything that a person can do something about."""
    _check(question)
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
        except grpc.RpcError as error:
            raise _explain(error, question.address) from error
    if as_json:
        sys.stdout.write(json_format.MessageToJson(response, preserving_proto_field_name=True) + "\n")
    else:
        _print(question, request, response)


def _check(question: Question) -> None:
    """Refuse what cannot even be sent; what the server thinks of the rest, it says itself."""
    if not _is_address(question.address):
        message = f"--address: expected HOST:PORT, found {question.address!r}"
        raise QueryError(message, exit_codes.USAGE)
    if not 0 <= question.k <= _MAX_UINT32:
        message = f"-k {question.k}: expected a number from 0 to 2^32 - 1"
        raise QueryError(message, exit_codes.USAGE)
    if not 0 < question.timeout_s <= _MAX_TIMEOUT_S:
        message = f"--timeout: expected more than 0 and at most {_MAX_TIMEOUT_S:g} seconds, found {question.timeout_s}"
        raise QueryError(message, exit_codes.USAGE)
    for option, text in (("--country", question.country), ("--items", question.items)):
        if text is not None and text != encodable(text):
            message = f"{option}: expected UTF-8, found {text!r}"
            raise QueryError(message, exit_codes.USAGE)


def _is_address(text: str) -> bool:
    """Whether gRPC can make sense of it: for what it cannot, it writes lines of its own to the terminal."""
    match = _ADDRESS.fullmatch(text)
    if not match or not 1 <= int(match["port"]) <= _MAX_PORT:
        return False
    if match["name"] is not None:
        return True
    try:
        ipaddress.IPv6Address(match["ipv6"])
    except ValueError:
        return False
    return True


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
    # the length first: Python refuses to read a number of thousands of digits
    if not text.isdecimal() or len(text) > len(str(_MAX_UINT64)) or int(text) > _MAX_UINT64:
        message = f"--item-ids: expected numbers from 0 to 2^64 - 1, found {text!r}"
        raise QueryError(message, exit_codes.USAGE)
    return int(text)


def _sample_user(question: Question, stub: RetrievalStub) -> Timeline:
    """Find the user in the bundle that answers: the server says which one it is."""
    info = stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=question.timeout_s)
    path = question.bundle_root / info.bundle_name / info.bundle_version / TIMELINES
    try:
        lines = path.read_bytes().splitlines()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        message = f"{path} cannot be read ({reason}); --user needs the served bundle's folder: see --bundle-root"
        raise QueryError(message, exit_codes.NO_SAMPLE_USER) from error
    timelines = [_timeline(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    of_user = [timeline for timeline in timelines if timeline.user == question.user]
    for timeline in of_user:
        if timeline.country == question.country:
            # the server takes a bounded history; the most recent part is what counts
            recent = slice(max(0, len(timeline.item_ids) - info.max_history), None)
            return replace(timeline, item_ids=timeline.item_ids[recent], types=timeline.types[recent])
    if of_user:
        hint = f"user {question.user} is a user of {', '.join(sorted(t.country for t in of_user))}"
    else:
        some = [timeline.user for timeline in timelines if timeline.country == question.country][:5]
        hint = f"users of {question.country}: {', '.join(some)} …" if some else f"no sample user of {question.country}"
    message = f"the bundle has no sample user {question.user} in {question.country}; {hint}"
    raise QueryError(message, exit_codes.NO_SAMPLE_USER)


def _timeline(line: bytes, place: str) -> Timeline:
    """Read one sample user; a reader of the bundle format does not check these lines, so all of it is checked here."""
    try:
        timeline = msgspec.json.decode(line, type=Timeline)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        fault = str(error)
    else:
        fault = _timeline_fault(timeline)
    if fault:
        message = f"{place}: not a sample user: {fault}"
        raise QueryError(message, exit_codes.NO_SAMPLE_USER)
    return timeline


def _timeline_fault(timeline: Timeline) -> str:
    if len(timeline.item_ids) != len(timeline.types):
        return f"expected as many types as item_ids, found {len(timeline.types)} and {len(timeline.item_ids)}"
    if any(not 0 <= item_id <= _MAX_UINT64 for item_id in timeline.item_ids):
        return "expected item_ids from 0 to 2^64 - 1"
    known = set(InteractionType)
    unknown = [kind for kind in timeline.types if kind not in known]
    return f"expected types from 0 to {max(known)}, found {unknown[0]}" if unknown else ""


def _explain(error: grpc.RpcError, address: str) -> QueryError:
    code, details = error.code(), error.details()
    if code in _UNREACHABLE:
        message = f"no answer from {address}: {code.name}: {details}; is `shortlist serve` running there?"
        return QueryError(message, exit_codes.NO_SERVER)
    return QueryError(f"{code.name}: {details}", exit_codes.CALL_REFUSED)


def _print(question: Question, request: pb.RetrieveRequest, response: pb.RetrieveResponse) -> None:
    console = Console()
    who = f"user {question.user}" if question.user else "this history"
    title = Text(f"{len(response.candidates)} candidates in {visible(question.country)}", style="bold")
    console.print(title.append(f" for {visible(who)}", style="not bold"), soft_wrap=True)
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
        # a Text, because a str would be read as markup: a title may have brackets
        table.add_row(str(rank), *(Text(visible(cell)) for cell in cells), f"{candidate.score:.3f}")
    console.print(table)
    for source in response.sources:
        console.print(
            f"{visible(source.source)}: {source.candidates} by {visible(source.method)}, "
            f"encode {source.encode_us} µs, search {source.search_us} µs · bundle {visible(response.bundle_version)}",
            markup=False,
            emoji=False,
            soft_wrap=True,
        )


def _any(response: pb.RetrieveResponse, name: str) -> bool:
    return any(getattr(candidate.details, name) for candidate in response.candidates)
