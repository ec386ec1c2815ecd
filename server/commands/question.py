"""What a person asks with `shortlist query`, and how it becomes requests. Refuses only what cannot be sent."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protos.retrieval.v1 import retrieval_pb2 as pb
from server import exit_codes
from server.text import encodable

MAX_UINT64 = 2**64 - 1
_MAX_UINT32 = 2**32 - 1
_MAX_TIMEOUT_S = 86400.0
_ADDRESS = re.compile(r"(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<ipv6>[^\]]+)\]):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65535
_BY_ID = "id:"


class QueryError(Exception):
    """What the person at the terminal should know, with the exit code of the command."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Question:
    """The command's options; `timeout_s` in seconds. Items are keys, or `id:NUMBER`, in `history` after their type."""

    country: str
    user: str | None = None
    items: str | None = None
    item_ids: str | None = None
    history: str | None = None
    k: int = 10
    address: str = "127.0.0.1:50051"
    bundle_root: Path = Path("build/bundles")
    timeout_s: float = 5.0
    include_history: bool = False
    profile: str = ""
    merchants: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    price: str | None = None
    exclude: str | None = None
    seed: str | None = None
    features: tuple[str, ...] = ()
    similar: str | None = None
    explain: bool = False
    modules: bool = False
    compare: bool = False


def check(question: Question) -> None:
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
    for option, text in _texts(question):
        if text is not None and text != encodable(text):
            message = f"{option}: expected UTF-8, found {text!r}"
            raise QueryError(message, exit_codes.USAGE)


def _texts(question: Question) -> list[tuple[str, str | None]]:
    return [
        ("--country", question.country),
        ("--items", question.items),
        ("--history", question.history),
        ("--profile", question.profile),
        ("--exclude", question.exclude),
        ("--seed", question.seed),
        ("--similar", question.similar),
        *(("--merchant", name) for name in question.merchants),
        *(("--category", name) for name in question.categories),
        *(("--feature", text) for text in question.features),
    ]


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


def request_of(question: Question, history: Sequence[pb.Interaction], kinds: Mapping[str, str]) -> pb.RetrieveRequest:
    """Make the request; `kinds` says which features are numbers and which categories."""
    return pb.RetrieveRequest(
        country=question.country,
        history=history,
        k=question.k,
        exclude_history=not question.include_history,
        include_item_details=True,
        profile=question.profile,
        seed_item=_item_ref("--seed", question.seed) if question.seed is not None else None,
        filters=filters_of(question),
        features=dict(_feature(text, kinds) for text in question.features),
        explain=question.explain,
        include_modules=question.modules,
    )


def similar_request_of(question: Question, item: str) -> pb.SimilarItemsRequest:
    """Make the request for items like `item`."""
    return pb.SimilarItemsRequest(
        country=question.country,
        item=_item_ref("--similar", item),
        k=question.k,
        filters=filters_of(question),
        include_item_details=True,
    )


def history_of(question: Question) -> list[pb.Interaction]:
    """Read the history that the options list."""
    if question.item_ids is not None:
        return [pb.Interaction(item_id=_item_id("--item-ids", text)) for text in _listed(question.item_ids)]
    if question.history is not None:
        return [_interaction(text) for text in _listed(question.history)]
    return [pb.Interaction(item_key=key) for key in _listed(question.items or "")]


def _interaction(text: str) -> pb.Interaction:
    """Read TYPE:ITEM, such as view:22554 or cart:id:7."""
    name, colon, item = text.partition(":")
    kind = f"INTERACTION_TYPE_{name.upper()}"
    if not colon or not item or kind not in pb.InteractionType.keys():  # noqa: SIM118 - no dict
        known = ", ".join(one.removeprefix("INTERACTION_TYPE_").lower() for one in pb.InteractionType.keys())  # noqa: SIM118
        message = f"--history: expected TYPE:ITEM with a type of {known}, found {text!r}"
        raise QueryError(message, exit_codes.USAGE)
    ref = _item_ref("--history", item)
    if ref.HasField("item_id"):
        return pb.Interaction(item_id=ref.item_id, type=kind)
    return pb.Interaction(item_key=ref.item_key, type=kind)


def filters_of(question: Question) -> pb.Filters:
    """Read the filters."""
    excluded = [_item_ref("--exclude", text) for text in _listed(question.exclude or "")]
    return pb.Filters(
        merchants=question.merchants,
        categories=question.categories,
        price=_price(question.price) if question.price is not None else None,
        excluded_item_ids=[one.item_id for one in excluded if one.HasField("item_id")],
        excluded_item_keys=[one.item_key for one in excluded if one.HasField("item_key")],
    )


def _price(text: str) -> pb.PriceRange:
    low, colon, high = text.partition(":")
    try:
        lowest, highest = (float(end) if end.strip() else None for end in (low, high))
    except ValueError:
        colon = ""
    if not colon:
        message = f"--price: expected LOW:HIGH, either may be left out, found {text!r}"
        raise QueryError(message, exit_codes.USAGE)
    return pb.PriceRange(lowest=lowest, highest=highest)


def _feature(text: str, kinds: Mapping[str, str]) -> tuple[str, pb.FeatureValue]:
    """Read NAME=VALUE. A feature that no encoder takes is a number if it looks like one."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        message = f"--feature: expected NAME=VALUE, found {text!r}"
        raise QueryError(message, exit_codes.USAGE)
    if kinds.get(name) == "category":
        return name, pb.FeatureValue(category=value)
    try:
        return name, pb.FeatureValue(number=float(value))
    except ValueError:
        return name, pb.FeatureValue(category=value)


def _item_ref(option: str, text: str) -> pb.ItemRef:
    if text.startswith(_BY_ID):
        return pb.ItemRef(item_id=_item_id(option, text.removeprefix(_BY_ID)))
    return pb.ItemRef(item_key=text)


def _item_id(option: str, text: str) -> int:
    # the length first: Python refuses to read a number of thousands of digits
    if not text.isdecimal() or len(text) > len(str(MAX_UINT64)) or int(text) > MAX_UINT64:
        message = f"{option}: expected numbers from 0 to 2^64 - 1, found {text!r}"
        raise QueryError(message, exit_codes.USAGE)
    return int(text)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
