"""Golden requests: training's own answers, replayed before a bundle may serve (M19, M20). LED's are read here."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.catalog import Catalog
from index_store.comparison import check_encoded, check_scores, check_share, share_found
from index_store.content import GoldenCase
from index_store.country import Country
from index_store.errors import GoldenInvalid, GoldenMismatch
from index_store.golden_answer import check_answer, check_items, check_numbers
from index_store.led import LedShard
from index_store.source_golden import SourceGoldenRequest, replay_sources
from models.encoder import OnnxEncoder
from models.errors import EncoderError
from models.led import weights_of


class GoldenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One case as stored; fields as in `index_store.content.GoldenCase`."""

    country: str
    history: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    k: Annotated[int, msgspec.Meta(ge=1)]
    user_vector: tuple[float, ...]
    item_ids: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    scores: tuple[float, ...]
    types: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET
    times_ms: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


def encode_golden(cases: Sequence[GoldenCase]) -> bytes:
    """Serialise cases; float32 values survive the decimal form exactly."""
    requests = [
        GoldenRequest(
            country=case.country,
            history=tuple(int(item) for item in case.history),
            k=case.k,
            user_vector=tuple(float(value) for value in case.user_vector),
            item_ids=tuple(int(item) for item in case.item_ids),
            scores=tuple(float(score) for score in case.scores),
            types=tuple(map(int, case.types)) or msgspec.UNSET,
            times_ms=tuple(map(int, case.times_ms)) or msgspec.UNSET,
        )
        for case in cases
    ]
    return msgspec.json.encode(requests) + b"\n"


def load_golden(path: Path, catalogs: Mapping[str, Catalog]) -> tuple[GoldenRequest, ...]:
    """Parse the cases and check M19 against the catalogues by country."""
    try:
        requests = msgspec.json.decode(path.read_bytes(), type=tuple[GoldenRequest, ...])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path.name}: {error}"
        raise GoldenInvalid(message) from error
    if uncovered := sorted(catalogs.keys() - {request.country for request in requests}):
        message = f"{path.name}: country {uncovered[0]} has no golden request"
        raise GoldenInvalid(message)
    for number, request in enumerate(requests):
        _check_request(f"{path.name}, request {number}", request, catalogs)
    return requests


def _check_request(where: str, request: GoldenRequest, catalogs: Mapping[str, Catalog]) -> None:
    if request.country not in catalogs:
        message = f"{where}: country {request.country!r} is not in the bundle"
        raise GoldenInvalid(message)
    for name, values in (("types", request.types), ("times_ms", request.times_ms)):
        if not isinstance(values, msgspec.UnsetType) and len(values) != len(request.history):
            message = f"{where}: expected {len(request.history)} {name}, one per interaction, found {len(values)}"
            raise GoldenInvalid(message)
    catalog = catalogs[request.country]
    expected = min(request.k, catalog.size)
    check_answer(where, request.item_ids, request.scores, range(expected, expected + 1))
    check_items(where, request.country, catalog, [*request.history, *request.item_ids])
    check_numbers(where, request.user_vector)


class _Replayable(Protocol):
    """The part of a bundle that a replay needs."""

    @property
    def countries(self) -> Mapping[str, Country]: ...

    @property
    def golden(self) -> Sequence[GoldenRequest]: ...

    @property
    def source_golden(self) -> Sequence[SourceGoldenRequest]: ...


def replay_golden(bundle: _Replayable, encoders: Mapping[str, OnnxEncoder]) -> None:
    """Answer every case of every source with the serving code; `GoldenMismatch` on the first that differs (M20)."""
    shares: dict[str, list[float]] = defaultdict(list)
    for number, request in enumerate(bundle.golden):
        where = f"golden request {number} ({request.country}, history of {len(request.history)})"
        country = bundle.countries[request.country]
        history = country.catalog.rows_of_ids(np.array(request.history, dtype=np.uint64))
        user_vector = _encode(where, request, country.led, encoders["led"], history)
        rows, scores = _search(country.led, history, user_vector, request.k)
        wanted = country.catalog.rows_of_ids(np.array(request.item_ids, dtype=np.uint64))
        check_scores(where, request.item_ids, country.led.vectors[wanted] @ user_vector, request.scores)
        found = country.catalog.item_ids[rows]
        shares[request.country].append(share_found(where, request.item_ids, request.scores, request.k, found, scores))
    for code, measured in shares.items():
        check_share(f"country {code}", measured, bundle.countries[code].led.entry.recall_target)
    replay_sources(bundle.source_golden, bundle.countries, encoders)


def _encode(
    where: str, request: GoldenRequest, shard: LedShard, encoder: OnnxEncoder, history: NDArray[np.int64]
) -> NDArray[np.float32]:
    try:
        weights = weights_of(encoder.spec, [_column(request, request.types)], [_column(request, request.times_ms)])
        vector: NDArray[np.float32] = shard.encode(encoder, [history], weights)[0]
    except EncoderError as error:
        message = f"{where}: {error}"
        raise GoldenMismatch(message) from error
    check_encoded(where, "led", vector, request.user_vector)
    return vector


def _column(request: GoldenRequest, values: tuple[int, ...] | msgspec.UnsetType) -> NDArray[np.int64]:
    """A value per interaction, 0 where the request has none."""
    if isinstance(values, msgspec.UnsetType):
        return np.zeros(len(request.history), dtype=np.int64)
    return np.array(values, dtype=np.int64)


def _search(
    shard: LedShard, history: NDArray[np.int64], user_vector: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if len(history) == 0:
        rows = shard.bias_order[:k]
        scores: NDArray[np.float32] = shard.biases[rows]
        return rows, scores
    found = shard.search(user_vector[None], k)
    return found.rows[0], found.scores[0]
