"""Golden requests: training's own answers, replayed before a bundle may serve (M19, M20)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.catalog import Catalog
from index_store.content import GoldenCase
from index_store.country import Country
from index_store.errors import GoldenInvalid, GoldenMismatch
from index_store.led import LedShard
from models.encoder import OnnxEncoder
from models.errors import EncoderError

TOLERANCE = 1e-4


class GoldenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One case as stored; fields as in `index_store.content.GoldenCase`."""

    country: str
    history: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    k: Annotated[int, msgspec.Meta(ge=1)]
    user_vector: tuple[float, ...]
    item_ids: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    scores: tuple[float, ...]


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
    catalog = catalogs[request.country]
    expected = min(request.k, catalog.size)
    if not len(request.item_ids) == len(request.scores) == expected:
        message = (
            f"{where}: expected {expected} items and scores, found {len(request.item_ids)} and {len(request.scores)}"
        )
        raise GoldenInvalid(message)
    item_ids = [*request.history, *request.item_ids]
    if max(item_ids) >= 1 << 64:
        message = f"{where}: item id {max(item_ids)} does not fit into 64 bits"
        raise GoldenInvalid(message)
    rows = catalog.rows_of_ids(np.array(item_ids, dtype=np.uint64))
    if (rows < 0).any():
        message = f"{where}: item {item_ids[int(np.argmin(rows))]} is not in the catalogue of {request.country}"
        raise GoldenInvalid(message)
    if len(set(request.item_ids)) != expected:
        message = f"{where}: expected {expected} different items, found {len(set(request.item_ids))}"
        raise GoldenInvalid(message)
    numbers = np.array([*request.user_vector, *request.scores], dtype=np.float64)
    if not (np.abs(numbers) <= np.finfo(np.float32).max).all() or (np.diff(request.scores) > 0).any():
        message = f"{where}: expected finite numbers and scores that never increase"
        raise GoldenInvalid(message)


class _Replayable(Protocol):
    """The part of a bundle that a replay needs."""

    @property
    def countries(self) -> Mapping[str, Country]: ...

    @property
    def golden(self) -> Sequence[GoldenRequest]: ...


def replay_golden(bundle: _Replayable, encoder: OnnxEncoder) -> None:
    """Answer every case with the serving code; `GoldenMismatch` on the first that differs from training (M20)."""
    shares: dict[str, list[float]] = defaultdict(list)
    for number, request in enumerate(bundle.golden):
        where = f"golden request {number} ({request.country}, history of {len(request.history)})"
        country = bundle.countries[request.country]
        history = country.catalog.rows_of_ids(np.array(request.history, dtype=np.uint64))
        user_vector = _encode(where, request, country.led, encoder, history)
        rows, scores = _search(country.led, history, user_vector, request.k)
        _check_expected(where, request, country, user_vector)
        shares[request.country].append(_share(where, request, country.catalog.item_ids[rows], scores))
    for code, found in shares.items():
        target = bundle.countries[code].led.entry.recall_target
        if (share := float(np.mean(found))) < target:
            message = f"country {code}: expected {target} of the golden items on average, found {share:.3f}"
            raise GoldenMismatch(message)


def _encode(
    where: str, request: GoldenRequest, shard: LedShard, encoder: OnnxEncoder, history: NDArray[np.int64]
) -> NDArray[np.float32]:
    try:
        vector: NDArray[np.float32] = shard.encode(encoder, [history])[0]
    except EncoderError as error:
        message = f"{where}: {error}"
        raise GoldenMismatch(message) from error
    expected = np.array(request.user_vector, dtype=np.float32)
    if vector.shape != expected.shape:
        message = f"{where}: expected a user vector of {len(expected)} dimensions, the encoder gives {len(vector)}"
        raise GoldenMismatch(message)
    difference = float(np.abs(vector - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        message = f"{where}: the user vector differs from training's by {difference:.2g}"
        raise GoldenMismatch(message)
    return vector


def _search(
    shard: LedShard, history: NDArray[np.int64], user_vector: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if len(history) == 0:
        rows = shard.bias_order[:k]
        scores: NDArray[np.float32] = shard.biases[rows]
        return rows, scores
    found = shard.search(user_vector[None], k)
    return found.rows[0], found.scores[0]


def _check_expected(where: str, request: GoldenRequest, country: Country, user_vector: NDArray[np.float32]) -> None:
    """The items that training expects score here what they scored there."""
    rows = country.catalog.rows_of_ids(np.array(request.item_ids, dtype=np.uint64))
    scores = country.led.vectors[rows] @ user_vector
    expected = np.array(request.scores, dtype=np.float32)
    differences = np.abs(scores - expected) / np.maximum(1.0, np.abs(expected))
    worst = int(np.argmax(differences))
    if not differences[worst] <= TOLERANCE:
        message = (
            f"{where}: item {request.item_ids[worst]} should score {expected[worst]:.6g}, scores {scores[worst]:.6g}"
        )
        raise GoldenMismatch(message)


def _share(where: str, request: GoldenRequest, found: NDArray[np.uint64], scores: NDArray[np.float32]) -> float:
    """Share of the expected items that were found; no other item may score more than the last expected one."""
    last = request.scores[-1]
    margin = TOLERANCE * max(1.0, abs(last))
    better = np.flatnonzero((scores > last + margin) & ~np.isin(found, np.array(request.item_ids, dtype=np.uint64)))
    if len(better):
        message = (
            f"{where}: item {found[better[0]]} scores {scores[better[0]]:.6g}, more than the {last:.6g} of the last "
            "expected item, but is not expected"
        )
        raise GoldenMismatch(message)
    return float((scores >= last - margin).mean())
