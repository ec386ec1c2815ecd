"""What a person asks in the query bench: the JSON of POST /api/query with the bounds of every field, as messages."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.inspector.problems import Fault, Problem
from server.inspector.shelf import MAX_ID

MAX_K = 200
_MOST_INTERACTIONS = 1000
_MOST_NAMES = 50
_MOST_EXCLUDED = 500

ItemId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}\Z")]
Text = Annotated[str, msgspec.Meta(max_length=256)]
Names = Annotated[tuple[Text, ...], msgspec.Meta(max_length=_MOST_NAMES)]
TypeName = Literal["UNSPECIFIED", "VIEW", "CLICK", "FAVORITE", "CART", "PURCHASE"]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One interaction."""

    item_id: ItemId
    type: TypeName = "UNSPECIFIED"


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields as in `retrieval.v1.RetrieveRequest`.

    user: the sample user whose history this is, if it still is; the command to copy then names them.
    """

    country: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    k: Annotated[int, msgspec.Meta(ge=1, le=MAX_K)]
    history: Annotated[tuple[Event, ...], msgspec.Meta(max_length=_MOST_INTERACTIONS)] = ()
    profile: Annotated[str, msgspec.Meta(max_length=64)] = ""
    exclude_history: bool = True
    merchants: Names = ()
    categories: Names = ()
    lowest: float | None = None
    highest: float | None = None
    excluded: Annotated[tuple[ItemId, ...], msgspec.Meta(max_length=_MOST_EXCLUDED)] = ()
    user: Text = ""

    def request(self, *, explain: bool = True) -> pb.RetrieveRequest:
        """Make the message; `Problem` for an id that is too large."""
        return pb.RetrieveRequest(
            country=self.country,
            history=[
                pb.Interaction(
                    item_id=_id(f"history[{place}].item_id", event.item_id), type=f"INTERACTION_TYPE_{event.type}"
                )
                for place, event in enumerate(self.history)
            ],
            k=self.k,
            profile=self.profile,
            exclude_history=self.exclude_history,
            filters=self._filters(),
            include_item_details=True,
            explain=explain,
        )

    def _filters(self) -> pb.Filters | None:
        excluded = [_id(f"excluded[{place}]", text) for place, text in enumerate(self.excluded)]
        priced = self.lowest is not None or self.highest is not None
        if not (self.merchants or self.categories or excluded or priced):
            return None
        price = pb.PriceRange(lowest=self.lowest, highest=self.highest) if priced else None
        return pb.Filters(merchants=self.merchants, categories=self.categories, price=price, excluded_item_ids=excluded)


def alone(request: pb.RetrieveRequest, source: str, among: Sequence[str]) -> pb.RetrieveRequest:
    """Ask the same of one source only."""
    one = pb.RetrieveRequest()
    one.CopyFrom(request)
    one.source_quotas.update({name: request.k if name == source else 0 for name in among})
    return one


def _id(field: str, text: str) -> int:
    if int(text) > MAX_ID:
        message = f"{field}: expected 0 to 2^64 - 1, found {text}"
        raise Problem(400, "BAD_REQUEST", message, [Fault(field, "expected 0 to 2^64 - 1")])
    return int(text)
