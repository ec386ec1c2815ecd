"""From the wire to the domain: bytes → `Query`, `SimilarQuery`. The only place that validates requests.

Every fault of a request is reported at once, by the field's path.
"""

from functools import lru_cache

import msgspec

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.fields import (
    check_country,
    check_k,
    check_time,
    check_type,
    features_of,
    filters_of,
    history_of,
    item_of,
    quotas_of,
)
from server.limits import Limits
from server.parse import parse
from server.query import Filters, ItemRefs, Query, SimilarQuery
from server.records import read_history
from server.violations import InvalidRequestError, Violations, quoted

_SIMILAR_SOURCES = ("pdn", "item_interaction")
_NO_ITEM = ItemRefs.none()
_NO_FILTERS = Filters()
_NO_TIME = 0
SHORT = 128
"""Bytes of a request without its history that are worth remembering."""


def decode_query(raw: bytes, limits: Limits, now_ms: int) -> Query:
    """Parse and validate a RetrieveRequest; `now_ms` stands for a time that the caller does not give.

    `InvalidRequestError` names each field that is wrong.
    """
    return _usual_query(raw, limits, now_ms) or _any_query(raw, limits, now_ms)


def _usual_query(raw: bytes, limits: Limits, now_ms: int) -> Query | None:
    """Read the history as records, and the rest as a request without one; None if there are none, or any fault."""
    found = read_history(raw, limits.max_history)
    if found is None:
        return None
    start, end, history = found
    rest = raw[:start] + raw[end:]
    try:
        query = decode_without_history(rest, limits) if len(rest) <= SHORT else _any_query(rest, limits, _NO_TIME)
    except InvalidRequestError:  # the usual way tells of all faults, and where they are
        return None
    if query.history.length:
        return None
    return msgspec.structs.replace(query, history=history, time_ms=query.time_ms or now_ms)


@lru_cache(maxsize=1024)
def decode_without_history(rest: bytes, limits: Limits) -> Query:
    """Read a request without history; callers send the same few over and over, unless they give time or features.

    `time_ms` is 0 where the caller gives none. Raises `InvalidRequestError`.
    """
    return _any_query(rest, limits, _NO_TIME)


def _any_query(raw: bytes, limits: Limits, now_ms: int) -> Query:
    request = parse(raw, pb.RetrieveRequest, limits.max_fields)
    violations = Violations()
    query = _query(request, "", limits, now_ms, violations)
    violations.raise_if_any()
    return query


def decode_batch(raw: bytes, limits: Limits, now_ms: int) -> tuple[Query, ...]:
    """Parse and validate a RetrieveBatchRequest; the fields of its requests are named as in `requests[3].k`."""
    batch = parse(raw, pb.RetrieveBatchRequest, limits.max_batch_fields)
    violations = Violations()
    if not 1 <= len(batch.requests) <= limits.max_batch:
        violations.add("requests", f"expected 1 to {limits.max_batch} requests, found {len(batch.requests)}")
        violations.raise_if_any()
    queries = []
    for number, request in enumerate(batch.requests):
        queries.append(_query(request, f"requests[{number}].", limits, now_ms, violations))
        if violations.full:
            break
    violations.raise_if_any()
    return tuple(queries)


def decode_similar(raw: bytes, limits: Limits) -> SimilarQuery:
    """Parse and validate a SimilarItemsRequest."""
    request = parse(raw, pb.SimilarItemsRequest, limits.max_fields)
    violations = Violations()
    check_country(request.country, "country", violations)
    item = item_of(request.item, "item", violations)
    check_k(request.k, "k", limits, violations)
    if request.source not in ("", *_SIMILAR_SOURCES):
        violations.add("source", f"expected one of {', '.join(_SIMILAR_SOURCES)}, found {quoted(request.source)}")
    for name, value in (("source_type", request.source_type), ("target_type", request.target_type)):
        check_type(value, name, violations)
        if value and request.source == "pdn":
            violations.add(name, "expected none with source pdn, which knows no pairs")
    filters = filters_of(request.filters, "filters", limits, violations)
    violations.raise_if_any()
    return SimilarQuery(
        country=request.country,
        item=item,
        k=request.k,
        source=request.source,
        source_type=request.source_type,
        target_type=request.target_type,
        filters=filters,
        include_details=request.include_item_details,
    )


def decode_info_request(raw: bytes, limits: Limits) -> None:
    """Parse a GetServingInfoRequest, which has no fields; `InvalidRequestError` if the bytes are no message."""
    parse(raw, pb.GetServingInfoRequest, limits.max_fields)


def _query(request: pb.RetrieveRequest, prefix: str, limits: Limits, now_ms: int, violations: Violations) -> Query:
    check_country(request.country, f"{prefix}country", violations)
    check_k(request.k, f"{prefix}k", limits, violations)
    history = history_of(request.history, f"{prefix}history", limits, violations)
    features = features_of(request.features, f"{prefix}features", violations)
    check_time(request.timestamp_ms, f"{prefix}timestamp_ms", violations)
    seed, filters = _NO_ITEM, _NO_FILTERS
    if request.HasField("seed_item"):
        seed = item_of(request.seed_item, f"{prefix}seed_item", violations)
    if request.HasField("filters"):
        filters = filters_of(request.filters, f"{prefix}filters", limits, violations)
    return Query(
        country=request.country,
        history=history,
        k=request.k,
        time_ms=request.timestamp_ms or now_ms,
        exclude_history=request.exclude_history,
        include_details=request.include_item_details,
        features=features,
        profile=request.profile,
        seed=seed,
        filters=filters,
        quotas=quotas_of(request.source_quotas, f"{prefix}source_quotas", limits, violations),
        explain=request.explain,
        return_embedding=request.return_embedding,
        include_modules=request.include_modules,
    )
