"""Evidence in words: why a source found a candidate, as one line that a person can read."""

from collections.abc import Mapping

from protos.retrieval.v1 import retrieval_pb2 as pb

_SHOWN_PATHS = 4
_DONE: Mapping[int, str] = {
    pb.INTERACTION_TYPE_VIEW: "viewed",
    pb.INTERACTION_TYPE_CLICK: "clicked",
    pb.INTERACTION_TYPE_FAVORITE: "favourite",
    pb.INTERACTION_TYPE_CART: "in the cart",
    pb.INTERACTION_TYPE_PURCHASE: "bought",
}
_NEXT: Mapping[int, str] = {
    pb.INTERACTION_TYPE_VIEW: "a view",
    pb.INTERACTION_TYPE_CLICK: "a click",
    pb.INTERACTION_TYPE_FAVORITE: "favourites",
    pb.INTERACTION_TYPE_CART: "the cart",
    pb.INTERACTION_TYPE_PURCHASE: "a purchase",
}


def reason(piece: pb.Evidence) -> str:
    """Say why the source found the candidate; "" where rank and score are all there is."""
    if piece.source == "pdn":
        return _paths(piece)
    if not piece.HasField("because"):
        return ""
    if piece.source == "item_interaction":
        return leads(piece.because, piece.target_type)
    if piece.source == "similar":
        return f"like {named(piece.because)}"
    if piece.source == "led":
        return f"{piece.contribution:.3f} of it from {named(piece.because)}"
    return f"would lose {piece.contribution:.3f} without {named(piece.because)}"


def named(item: pb.ExplainedItem) -> str:
    """Name an item of the history and what was done with it."""
    title = f"'{item.title or item.item_id}'"
    return f"{title} ({_DONE[item.type]})" if item.type in _DONE else title


def leads(because: pb.ExplainedItem, target_type: int) -> str:
    """Say what a pair leads to."""
    return f"{named(because)} leads to {_NEXT.get(target_type, 'something')}"


def _paths(piece: pb.Evidence) -> str:
    """Write the paths as a sum: that of all parts is the score."""
    shown, rest = piece.paths[:_SHOWN_PATHS], piece.paths[_SHOWN_PATHS:]
    parts = [f"direct {piece.direct:.3f}", *(f"{path.contribution:.3f} via {named(path.trigger)}" for path in shown)]
    if rest:
        parts.append(f"{sum(path.contribution for path in rest):.3f} via {len(rest)} more")
    return "= " + " + ".join(parts)
