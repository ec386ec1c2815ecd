"""Typical requests before the port is bound, bytes to bytes, so that no caller pays for first times."""

from collections.abc import Mapping

from index_store.bundle import Bundle
from index_store.country import Country
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.limits import Limits
from server.profiles import Profile
from server.refusals import SourceNotServedError
from server.service import Retrieve, SimilarItems

_ROUNDS = 3
_K = 100
_HISTORY = 20


def warm_up(
    bundle: Bundle, profiles: Mapping[str, Profile], limits: Limits, retrieve: Retrieve, similar: SimilarItems
) -> None:
    """Ask every country by every profile, and by every source of the bundle, whether a profile has it or not."""
    for country in bundle.countries.values():
        quotas = dict.fromkeys([*bundle.sources, "popular"], min(_K, limits.max_k))
        _ask(retrieve, _request(country, limits, "", quotas))
        for name in profiles:
            _ask(retrieve, _request(country, limits, name, {}))
        _ask_similar(similar, country, limits)


def _request(country: Country, limits: Limits, profile: str, quotas: Mapping[str, int]) -> bytes:
    item_ids = country.catalog.item_ids[: min(_HISTORY, limits.max_history)].tolist()
    # as many types as there are, since item_interaction searches by type
    types = pb.InteractionType.keys()[1:]
    return pb.RetrieveRequest(
        country=country.code,
        k=min(_K, limits.max_k),
        exclude_history=True,
        history=[
            pb.Interaction(item_id=item_id, type=types[place % len(types)]) for place, item_id in enumerate(item_ids)
        ],
        profile=profile,
        source_quotas=quotas,
    ).SerializeToString()


def _ask(retrieve: Retrieve, raw: bytes) -> None:
    for _ in range(_ROUNDS):
        query = retrieve.decode(raw)
        retrieve.encode(query, retrieve.call(query))


def _ask_similar(similar: SimilarItems, country: Country, limits: Limits) -> None:
    item = pb.ItemRef(item_id=int(country.catalog.item_ids[0]))
    request = pb.SimilarItemsRequest(country=country.code, item=item, k=min(_K, limits.max_k))
    query = similar.decode(request.SerializeToString())
    try:
        for _ in range(_ROUNDS):
            similar.encode(query, similar.call(query))
    except SourceNotServedError:  # nothing to warm
        return
