"""Requests to the server of `tiny_sources.full_content`, and its replies in terms of rows."""

from index_store.content import CountryContent
from protos.retrieval.v1 import retrieval_pb2 as pb

ALL = ["led", "two_tower", "pdn", "item_interaction", "popular"]
VIEW, CART, PURCHASE = pb.INTERACTION_TYPE_VIEW, pb.INTERACTION_TYPE_CART, pb.INTERACTION_TYPE_PURCHASE


def history_of(country: CountryContent, *rows: int) -> list[pb.Interaction]:
    """Views and cart additions of these rows, a second apart."""
    kinds = (VIEW, CART)
    return [
        pb.Interaction(item_id=int(country.item_ids[row]), type=kinds[place % 2], timestamp_ms=1_000 * (place + 1))
        for place, row in enumerate(rows)
    ]


def asked(country: CountryContent, /, **fields: object) -> pb.RetrieveRequest:
    """Ask for 20 candidates in FR with a history of four items; `fields` replace and add."""
    history = history_of(country, 3, 9, 27, 81, 3)
    return pb.RetrieveRequest(**{"country": "FR", "k": 20, "history": history, "timestamp_ms": 10_000, **fields})


def rows_of(country: CountryContent, reply: pb.RetrieveResponse | pb.SimilarItemsResponse) -> list[int]:
    """Rows of the candidates."""
    row_of = {int(item_id): row for row, item_id in enumerate(country.item_ids)}
    return [row_of[one.item_id] for one in reply.candidates]


def timeless(reply: pb.RetrieveResponse) -> pb.RetrieveResponse:
    """The same reply without its durations."""
    made = pb.RetrieveResponse()
    made.CopyFrom(reply)
    made.ClearField("fuse_us")
    for source in made.sources:
        source.ClearField("encode_us")
        source.ClearField("search_us")
    return made
