"""Between the wire and the domain: bytes → `Query` and `Answer` → bytes. The only place that validates requests.

`decode_query` reports every fault of a request at once, by the field's path.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError

from index_store.bundle import Bundle, Country
from index_store.manifest import COUNTRY_PATTERN
from models.interactions import InteractionType
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.retrieval import Answer, History, Query
from server.violations import InvalidRequestError, Violation, Violations
from server.wire import find_faults

MAX_KEY_BYTES = 256
MAX_FEATURES = 64
MAX_FEATURE_NAME_BYTES = 64
MAX_CATEGORY_BYTES = 256

_MessageT = TypeVar("_MessageT", pb.RetrieveRequest, pb.GetServingInfoRequest)

_COUNTRY = re.compile(COUNTRY_PATTERN)
_TYPES: frozenset[int] = frozenset(InteractionType)
_SHOWN_CHARACTERS = 40

# A Candidate without details on the wire: field 1 of RetrieveResponse with 14 bytes, item_id as field 1, score as
# field 2. All records are equally long, so numpy writes the whole list at once.
_CANDIDATE = np.dtype(
    [("tag", "u1"), ("length", "u1"), ("id_tag", "u1"), ("id", "<u8"), ("score_tag", "u1"), ("score", "<f4")]
)
_CANDIDATE_TAG, _CANDIDATE_LENGTH, _ID_TAG, _SCORE_TAG = 0x0A, 14, 0x09, 0x15


@dataclass(frozen=True, slots=True)
class Limits:
    """What requests may ask for: `max_k` candidates, `max_history` interactions."""

    max_k: int
    max_history: int

    @property
    def max_fields(self) -> int:
        """How many wire fields the largest sensible request has, with room for fields of newer callers."""
        return 8 * (self.max_history + MAX_FEATURES) + 1000


def decode_query(raw: bytes, limits: Limits) -> Query:
    """Parse and validate a RetrieveRequest; `InvalidRequestError` names each field that is wrong."""
    request = _parse(raw, pb.RetrieveRequest, limits)
    violations = Violations()
    if not _COUNTRY.fullmatch(request.country):
        expected = "expected 1 to 32 letters, digits, '-' or '_'"
        violations.add("country", f"{expected}, found {_quoted(request.country)}")
    if not 1 <= request.k <= limits.max_k:
        violations.add("k", f"expected 1 to {limits.max_k}, found {request.k}")
    history = _history(request.history, limits, violations)
    feature_names = _features(request.features, violations)
    violations.raise_if_any()
    return Query(
        country=request.country,
        history=history,
        k=request.k,
        exclude_history=request.exclude_history,
        include_details=request.include_item_details,
        feature_names=feature_names,
    )


def decode_info_request(raw: bytes, limits: Limits) -> None:
    """Parse a GetServingInfoRequest, which has no fields; `InvalidRequestError` if the bytes are no message."""
    _parse(raw, pb.GetServingInfoRequest, limits)


def encode_answer(answer: Answer, bundle_version: str, *, include_details: bool) -> bytes:
    """Serialise a RetrieveResponse. Candidates are written first; protobuf merges concatenated messages."""
    rest = pb.RetrieveResponse(
        bundle_version=bundle_version,
        fallback=pb.Fallback.Name(answer.fallback),
        unknown_items=answer.unknown_items,
        unused_features=answer.unused_features,
        sources=[
            pb.SourceReport(
                source="led",
                candidates=len(answer.rows),
                encode_us=answer.encode_us,
                search_us=answer.search_us,
                method=answer.method,
            )
        ],
    )
    if include_details:
        rest.candidates.extend(_detailed_candidates(answer))
        return rest.SerializeToString()
    return _plain_candidates(answer) + rest.SerializeToString()


def encode_info(bundle: Bundle, loaded_ms: int, limits: Limits) -> bytes:
    """Serialise a GetServingInfoResponse; `loaded_ms` is when this process was warm, ms since the Unix epoch."""
    return pb.GetServingInfoResponse(
        bundle_name=bundle.name,
        bundle_version=bundle.version,
        format_version=bundle.format_version,
        created_ms=bundle.created_ms,
        loaded_ms=loaded_ms,
        load_ms=bundle.load_ms,
        countries=[_country_info(country) for _, country in sorted(bundle.countries.items())],
        max_k=limits.max_k,
        max_history=limits.max_history,
    ).SerializeToString()


def _parse(raw: bytes, kind: type[_MessageT], limits: Limits) -> _MessageT:
    descriptor = cast("Descriptor", kind.DESCRIPTOR)
    try:
        message = kind.FromString(raw)
    except DecodeError:
        faults = find_faults(raw, descriptor, limits.max_fields)
        unexplained = Violation(descriptor.name, "the bytes are not a message of this type")
        raise InvalidRequestError(faults or [unexplained]) from None
    # Fields that the schema does not know, a known number with a wrong wire type among them, make the message shorter
    # once they are dropped. What makes one longer again (a negative enum value, a map entry without key or value) is
    # refused by validation, so equal lengths mean that nothing was hidden.
    message.DiscardUnknownFields()  # type: ignore[attr-defined] # missing in types-protobuf
    if message.ByteSize() != len(raw):
        faults = find_faults(raw, descriptor, limits.max_fields)
        if faults:
            raise InvalidRequestError(faults)
    return message


def _history(interactions: Sequence[pb.Interaction], limits: Limits, violations: Violations) -> History:
    if len(interactions) > limits.max_history:
        violations.add("history", f"expected at most {limits.max_history} interactions, found {len(interactions)}")
        interactions = ()
    ids, id_positions, keys, key_positions = [], [], [], []
    for position, interaction in enumerate(interactions):
        which = interaction.WhichOneof("item")
        if which == "item_id":
            ids.append(interaction.item_id)
            id_positions.append(position)
        else:
            _check_key(which, interaction, position, violations)
            keys.append(interaction.item_key)
            key_positions.append(position)
        if interaction.type not in _TYPES:
            path = f"history[{position}].type"
            violations.add(path, f"expected a value of InteractionType, 0 to {max(_TYPES)}, found {interaction.type}")
        if interaction.timestamp_ms < 0:
            path = f"history[{position}].timestamp_ms"
            violations.add(path, f"expected 0 or more milliseconds, found {interaction.timestamp_ms}")
        if violations.full:
            break
    return History(
        length=len(interactions),
        item_ids=np.array(ids, dtype=np.uint64),
        id_positions=np.array(id_positions, dtype=np.int64),
        keys=tuple(keys),
        key_positions=np.array(key_positions, dtype=np.int64),
    )


def _check_key(which: str | None, interaction: pb.Interaction, position: int, violations: Violations) -> None:
    if which is None:
        violations.add(f"history[{position}].item", "expected one of item_id and item_key, found neither")
        return
    size = len(interaction.item_key.encode())
    if not 1 <= size <= MAX_KEY_BYTES:
        violations.add(f"history[{position}].item_key", f"expected 1 to {MAX_KEY_BYTES} bytes, found {size}")


def _features(features: Mapping[str, pb.FeatureValue], violations: Violations) -> tuple[str, ...]:
    if len(features) > MAX_FEATURES:
        violations.add("features", f"expected at most {MAX_FEATURES} features, found {len(features)}")
        return ()
    for name, feature in features.items():
        path = f"features[{_quoted(name)}]"
        size = len(name.encode())
        if not 1 <= size <= MAX_FEATURE_NAME_BYTES:
            violations.add(path, f"expected a name of 1 to {MAX_FEATURE_NAME_BYTES} bytes, found {size}")
        _check_feature(feature, path, violations)
    return tuple(features)


def _check_feature(feature: pb.FeatureValue, path: str, violations: Violations) -> None:
    which = feature.WhichOneof("value")
    if which is None:
        violations.add(path, "expected one of number and category, found neither")
    elif which == "number":
        if not math.isfinite(feature.number):
            violations.add(f"{path}.number", f"expected a finite number, found {feature.number}")
    elif len(feature.category.encode()) > MAX_CATEGORY_BYTES:
        found = len(feature.category.encode())
        violations.add(f"{path}.category", f"expected at most {MAX_CATEGORY_BYTES} bytes, found {found}")


def _plain_candidates(answer: Answer) -> bytes:
    records = np.empty(len(answer.rows), dtype=_CANDIDATE)
    records["tag"] = _CANDIDATE_TAG
    records["length"] = _CANDIDATE_LENGTH
    records["id_tag"] = _ID_TAG
    records["id"] = answer.country.catalog.item_ids[answer.rows]
    records["score_tag"] = _SCORE_TAG
    records["score"] = answer.scores
    return records.tobytes()


def _detailed_candidates(answer: Answer) -> list[pb.Candidate]:
    catalog = answer.country.catalog
    candidates = []
    for row, score in zip(answer.rows.tolist(), answer.scores.tolist(), strict=True):
        known = catalog.details(row)
        details = pb.ItemDetails(
            item_key=known.item_key, title=known.title, merchant=known.merchant, category=known.category
        )
        candidates.append(pb.Candidate(item_id=int(catalog.item_ids[row]), score=score, details=details))
    return candidates


def _country_info(country: Country) -> pb.CountryInfo:
    entry = country.led.entry
    source = pb.SourceInfo(
        source="led",
        engine=entry.engine,
        space=entry.space or "",
        dim=country.led.dim,
        ef=entry.ef or 0,
        recall=entry.recall,
        recall_k=entry.recall_k,
        recall_target=entry.recall_target,
    )
    return pb.CountryInfo(country=country.code, items=country.catalog.size, sources=[source])


def _quoted(text: str) -> str:
    """Show a caller's text in an error: quoted, without control characters, never long."""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return repr(shown).replace("'", '"')
