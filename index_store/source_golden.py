"""Golden requests of the sources other than LED: parsed and checked (M19), replayed with the serving code (M20)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_store.comparison import check_encoded, check_scores, check_share, share_found
from index_store.content import SourceGoldenCase
from index_store.country import Country
from index_store.errors import GoldenInvalid, GoldenMismatch
from index_store.golden_answer import check_answer, check_items, check_numbers
from index_store.item_interaction import ItemInteractionShard, merged
from index_store.layout import ENCODERS
from models.encoder import OnnxEncoder
from models.errors import EncoderError, FeatureKindError
from models.features import UserContext
from models.interactions import InteractionType
from models.pdn import triggers_of
from models.two_tower import NO_SEED

_Id = Annotated[int, msgspec.Meta(ge=0)]
_Type = Annotated[int, msgspec.Meta(ge=0, le=int(max(InteractionType)))]
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Encoders = Mapping[str, OnnxEncoder]
_Shard = TypeVar("_Shard")


class SourceGoldenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One case as stored; fields as in `index_store.content.SourceGoldenCase`."""

    source: Literal["two_tower", "pdn", "item_interaction"]
    country: str
    history: Annotated[tuple[tuple[_Id, _Type, _Milliseconds], ...], msgspec.Meta(min_length=1)]
    k: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    encoded: dict[str, tuple[float, ...]]
    item_ids: tuple[_Id, ...]
    scores: tuple[float, ...]
    seed: _Id | None
    time_ms: _Milliseconds
    features: dict[str, float | str]


def encode_source_golden(cases: Sequence[SourceGoldenCase]) -> bytes:
    """Serialise cases; float32 values survive the decimal form exactly."""
    requests = [
        SourceGoldenRequest(
            source=case.source,
            country=case.country,
            history=tuple((int(item), int(kind), int(time)) for item, kind, time in case.history),
            k=case.k,
            encoded={name: tuple(float(value) for value in values) for name, values in case.encoded.items()},
            item_ids=tuple(int(item) for item in case.item_ids),
            scores=tuple(float(score) for score in case.scores),
            seed=None if case.seed is None else int(case.seed),
            time_ms=int(case.time_ms),
            features=dict(case.features),
        )
        for case in cases
    ]
    return msgspec.json.encode(requests) + b"\n"


def load_source_golden(path: Path, countries: Mapping[str, Country]) -> tuple[SourceGoldenRequest, ...]:
    """Parse the cases and check M19 against the countries."""
    try:
        requests = msgspec.json.decode(path.read_bytes(), type=tuple[SourceGoldenRequest, ...])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path.name}: {error}"
        raise GoldenInvalid(message) from error
    for number, request in enumerate(requests):
        _check_request(f"{path.name}, request {number}", request, countries)
    covered = {(request.source, request.country) for request in requests}
    for source, code in _answerable(countries):
        if (source, code) not in covered:
            message = f"{path.name}: country {code} has no golden request to {source}"
            raise GoldenInvalid(message)
    return requests


def _answerable(countries: Mapping[str, Country]) -> Iterator[tuple[str, str]]:
    for code, country in countries.items():
        if country.two_tower:
            yield "two_tower", code
        if country.pdn:
            yield "pdn", code
        pairs = country.item_interaction
        if (
            pairs
            and any(kind in pairs.pairs for kind in pairs.sources)
            and any(kind in pairs.pairs for kind in pairs.targets)
        ):
            yield "item_interaction", code


def _check_request(where: str, request: SourceGoldenRequest, countries: Mapping[str, Country]) -> None:
    country = countries.get(request.country)
    if country is None or getattr(country, request.source) is None:
        message = f"{where}: the bundle has no {request.source} in country {request.country!r}"
        raise GoldenInvalid(message)
    if request.encoded.keys() != set(ENCODERS[request.source]):
        message = f"{where}: expected what {ENCODERS[request.source]} give, found {sorted(request.encoded)}"
        raise GoldenInvalid(message)
    if request.seed is not None and request.source != "two_tower":
        message = f"{where}: {request.source} takes no seed, found {request.seed}"
        raise GoldenInvalid(message)
    most = min(request.k, country.catalog.size)
    check_answer(where, request.item_ids, request.scores, range(most if request.source == "two_tower" else 0, most + 1))
    items = [item for item, _, _ in request.history] + [*request.item_ids]
    check_items(where, request.country, country.catalog, items + ([] if request.seed is None else [request.seed]))
    numbers = [value for value in request.features.values() if not isinstance(value, str)]
    check_numbers(where, [*numbers, *(value for values in request.encoded.values() for value in values)])


@dataclass(frozen=True)
class _Replay:
    """A request, resolved. rows, types: (T,) int64, oldest first."""

    where: str
    request: SourceGoldenRequest
    country: Country
    rows: NDArray[np.int64]
    types: NDArray[np.int64]
    wanted: NDArray[np.int64]
    context: UserContext

    @classmethod
    def of(cls, number: int, request: SourceGoldenRequest, country: Country) -> "_Replay":
        """Look every item up."""
        items, types, times = (np.array(column, dtype=np.uint64) for column in zip(*request.history, strict=True))
        context = UserContext(
            country=request.country,
            time_ms=request.time_ms,
            newest_ms=int(times.max()),
            history_length=len(items),
            features=request.features,
        )
        return cls(
            where=f"golden request {number} to {request.source} ({request.country}, history of {len(items)})",
            request=request,
            country=country,
            rows=country.catalog.rows_of_ids(items),
            types=types.astype(np.int64),
            wanted=country.catalog.rows_of_ids(np.array(request.item_ids, dtype=np.uint64)),
            context=context,
        )

    def check(self, scores: NDArray[np.float32]) -> None:
        """Compare the scores (n,) of the expected items with training's."""
        check_scores(self.where, self.request.item_ids, scores, self.request.scores)

    def share(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> float:
        """Measure what was found, best first."""
        request = self.request
        found = self.country.catalog.item_ids[rows]
        return share_found(self.where, request.item_ids, request.scores, request.k, found, scores)


def replay_sources(
    requests: Sequence[SourceGoldenRequest], countries: Mapping[str, Country], encoders: Encoders
) -> None:
    """Answer every case with its source's serving code; `GoldenMismatch` on the first that differs (M20)."""
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    targets: dict[tuple[str, str], float] = {}
    for number, request in enumerate(requests):
        replay = _Replay.of(number, request, countries[request.country])
        try:
            share, target = _REPLAYS[request.source](replay, encoders)
        except (EncoderError, FeatureKindError) as error:
            message = f"{replay.where}: {error}"
            raise GoldenMismatch(message) from error
        shares[request.country, request.source].append(share)
        targets[request.country, request.source] = target
    for (code, source), measured in shares.items():
        check_share(f"country {code}, {source}", measured, targets[code, source])


def _there(shard: _Shard | None) -> _Shard:
    if shard is None:
        message = "a golden request to a source that the bundle has not"
        raise GoldenInvalid(message)
    return shard


def _two_tower(replay: _Replay, encoders: Encoders) -> tuple[float, float]:
    shard, request = _there(replay.country.two_tower), replay.request
    seed = NO_SEED
    if request.seed is not None:
        seed = int(replay.country.catalog.rows_of_ids(np.array([request.seed], dtype=np.uint64))[0])
    user = shard.encode(encoders["two_tower_query"], [replay.rows], [seed], [replay.context])
    check_encoded(replay.where, "two_tower_query", user[0], request.encoded["two_tower_query"])
    replay.check(shard.vectors[replay.wanted] @ user[0])
    found = shard.search(user, request.k)
    return replay.share(found.rows[0], found.scores[0]), shard.entry.recall_target


def _pdn(replay: _Replay, encoders: Encoders) -> tuple[float, float]:
    shard, request, trignet = _there(replay.country.pdn), replay.request, encoders["trignet"]
    triggers = triggers_of(replay.rows, replay.types, trignet.spec.max_history)
    check_encoded(
        replay.where,
        "trignet",
        shard.trigger_weights(trignet, [triggers], [replay.context])[0],
        request.encoded["trignet"],
    )
    user = shard.user_vectors(encoders["pdn_user"], [replay.context])[0]
    check_encoded(replay.where, "pdn_user", user, request.encoded["pdn_user"])
    # from here on with training's own numbers: a score adds up many paths, and with them what the encoders differ by
    weights = np.array(request.encoded["trignet"], dtype=np.float32)
    user = np.array(request.encoded["pdn_user"], dtype=np.float32)
    best = np.lexsort((replay.country.catalog.item_ids[triggers.rows], -weights))[: shard.triggers]
    every = shard.search(triggers.rows[best], weights[best], user, replay.country.catalog.size)
    scores = dict(zip(every.rows.tolist(), every.scores.tolist(), strict=True))
    replay.check(np.array([scores.get(row, -np.inf) for row in replay.wanted.tolist()], dtype=np.float32))
    return replay.share(every.rows[: request.k], every.scores[: request.k]), 1.0


def _item_interaction(replay: _Replay, _: Encoders) -> tuple[float, float]:
    shard, k = _there(replay.country.item_interaction), replay.request.k
    replay.check(_cosines(shard, replay))
    found = merged(shard.modules(replay.rows, replay.types, k + len(replay.rows)))
    others = ~np.isin(found.rows, replay.rows)
    share = replay.share(found.rows[others][:k], found.scores[others][:k])
    targets = [shard.pairs[kind].entry for kind in shard.targets if kind in shard.pairs]
    return share, min((entry.recall_target for entry in targets if entry.engine != "exact"), default=1.0)


def _cosines(shard: ItemInteractionShard, replay: _Replay) -> NDArray[np.float32]:
    """Compute the largest cosine of each expected item with the recent pairs, without an index."""
    found = np.full(len(replay.wanted), -np.inf, dtype=np.float32)
    found_own = np.isin(replay.wanted, replay.rows)
    for source, rows in shard.recent(replay.rows, replay.types).items():
        begins = shard.pairs[source]
        queries = begins.vectors[begins.places(rows)]
        for target in shard.targets:
            if ends := shard.pairs.get(target):
                places = ends.places(replay.wanted)
                cosines = (queries @ ends.vectors[places].T).max(axis=0)
                found = np.maximum(found, np.where(places >= 0, cosines, -np.inf))
    return np.where(found_own, -np.inf, found).astype(np.float32)


_REPLAYS: Mapping[str, Callable[[_Replay, Encoders], tuple[float, float]]] = {
    "two_tower": _two_tower,
    "pdn": _pdn,
    "item_interaction": _item_interaction,
}
