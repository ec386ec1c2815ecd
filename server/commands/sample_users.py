"""Sample users of a bundle for `shortlist query --user`: their timelines lie beside the indices."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from index_store.content import Timeline
from index_store.layout import TIMELINES
from models.interactions import InteractionType
from protos.retrieval.v1 import retrieval_pb2 as pb
from server import exit_codes
from server.commands.question import MAX_UINT64, QueryError


def history_of_user(
    user: str, country: str, bundle_root: Path, info: pb.GetServingInfoResponse
) -> Sequence[pb.Interaction]:
    """Find the user in the bundle that answers, which `info` names; `QueryError` if it is not there."""
    timeline = _sample_user(user, country, bundle_root, info)
    return [
        pb.Interaction(item_id=item_id, type=pb.InteractionType.Name(kind))
        for item_id, kind in zip(timeline.item_ids, timeline.types, strict=True)
    ]


def _sample_user(user: str, country: str, bundle_root: Path, info: pb.GetServingInfoResponse) -> Timeline:
    path = bundle_root / info.bundle_name / info.bundle_version / TIMELINES
    try:
        lines = path.read_bytes().splitlines()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        message = f"{path} cannot be read ({reason}); --user needs the served bundle's folder: see --bundle-root"
        raise QueryError(message, exit_codes.NO_SAMPLE_USER) from error
    timelines = [_timeline(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    of_user = [timeline for timeline in timelines if timeline.user == user]
    for timeline in of_user:
        if timeline.country == country:
            # the server takes a bounded history; the most recent part is what counts
            recent = slice(max(0, len(timeline.item_ids) - info.max_history), None)
            return replace(timeline, item_ids=timeline.item_ids[recent], types=timeline.types[recent])
    if of_user:
        hint = f"user {user} is a user of {', '.join(sorted(t.country for t in of_user))}"
    else:
        some = [timeline.user for timeline in timelines if timeline.country == country][:5]
        hint = f"users of {country}: {', '.join(some)} …" if some else f"no sample user of {country}"
    message = f"the bundle has no sample user {user} in {country}; {hint}"
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
    if any(not 0 <= item_id <= MAX_UINT64 for item_id in timeline.item_ids):
        return "expected item_ids from 0 to 2^64 - 1"
    known = set(InteractionType)
    unknown = [kind for kind in timeline.types if kind not in known]
    return f"expected types from 0 to {max(known)}, found {unknown[0]}" if unknown else ""
