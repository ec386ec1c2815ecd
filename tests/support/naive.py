"""The sources' equations, one item and one path at a time in float64: what served answers are held against."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from index_store.country import Country
from models.pdn import count_codes, position_codes
from small_world import LAST_N, MAX_HISTORY, PAIR_SOURCES, PAIR_TARGETS, TRIGGERS


@dataclass(frozen=True)
class Request:
    """A request in rows of one country: `history` is (row, type) oldest first, -1 for items it does not have."""

    history: tuple[tuple[int, int], ...] = ()
    k: int = 10
    seed: int = -1
    age: float | None = None
    exclude_history: bool = False
    merchants: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    price: tuple[float, float] | None = None
    excluded: tuple[int, ...] = ()
    by_key: bool = field(default=False)

    @property
    def known(self) -> list[tuple[int, int]]:
        """What the catalogue has."""
        return [(row, kind) for row, kind in self.history if row >= 0]


def eligible_rows(country: Country, request: Request) -> list[int]:
    """Every row that may be answered, by looking at each."""
    catalog, rows = country.catalog, []
    for row in range(catalog.size):
        item = catalog.details(row)
        price = math.nan if catalog.prices is None else float(catalog.prices[row])
        allowed = (
            (not request.merchants or (item.merchant in request.merchants and item.merchant != ""))
            and (not request.categories or (item.category in request.categories and item.category != ""))
            and (request.price is None or request.price[0] <= price <= request.price[1])
            and row not in request.excluded
            and not (request.exclude_history and row in {row for row, _ in request.known})
        )
        rows += [row] if allowed else []
    return rows


def led(country: Country, request: Request) -> dict[int, float]:
    """`<mean(v_h), v_i> + b_i`, the bias alone without a history."""
    items, biases = country.led.vectors[:, :-1].astype(float), country.led.vectors[:, -1].astype(float)
    recent = [row for row, _ in request.known][-MAX_HISTORY:]
    user = sum(items[row] for row in recent) / len(recent) if recent else np.zeros(items.shape[1])
    return {row: float(items[row] @ user + biases[row]) for row in range(len(items))}


def two_tower(country: Country, request: Request) -> dict[int, float]:
    """`<u(x), v(y)>` with the query tower of `small_world.tower_vector`."""
    shard = country.two_tower
    assert shard is not None
    user = tower_user(country, request, [row for row, _ in request.known][-MAX_HISTORY:])
    return {row: float(shard.vectors[row].astype(float) @ user) for row in range(len(shard.vectors))}


def tower_user(country: Country, request: Request, recent: Sequence[int]) -> np.ndarray:
    """u(x) for the rows that enter."""
    shard = country.two_tower
    assert shard is not None
    taken = shard.input_vectors.astype(float)
    mean = sum(taken[row] for row in recent) / len(recent) if recent else np.zeros(taken.shape[1])
    seed = taken[request.seed] if request.seed >= 0 else np.zeros(taken.shape[1])
    return np.asarray(mean + 0.5 * seed + 0.1 * _age(request))


def paths(country: Country, request: Request) -> dict[int, list[tuple[int, float, float]]]:
    """Every candidate's (trigger, t_uj, s_ji), by the top m triggers."""
    shard = country.pdn
    assert shard is not None
    recent = request.known[-MAX_HISTORY:]
    weights = {}
    for row in {row for row, _ in recent}:
        places = [place for place, (other, _) in enumerate(recent) if other == row]
        count, position = np.array([len(places)]), np.array([len(recent) - 1 - places[-1]])
        weights[row] = (
            float(shard.trigger_vectors[row].astype(float).sum())
            + 0.25 * recent[places[-1]][1]
            + 0.125 * int(count_codes(count)[0])
            - 0.0625 * int(position_codes(position)[0])
            + 0.0625 * _age(request)
        )
    found: dict[int, list[tuple[int, float, float]]] = {}
    for row in sorted(weights, key=lambda row: (-np.float32(weights[row]), row))[:TRIGGERS]:
        for near, score in zip(shard.neighbours[row].tolist(), shard.scores[row].tolist(), strict=True):
            if near >= 0:
                found.setdefault(near, []).append((row, weights[row], score))
    return found


def direct(country: Country, request: Request, row: int) -> float:
    """softplus(d_ui)."""
    shard = country.pdn
    assert shard is not None
    vector = shard.item_vectors[row].astype(float)
    return _softplus(sum(0.1 * place * _age(request) * vector[place] for place in range(len(vector) - 1)) + vector[-1])


def pdn(country: Country, request: Request) -> dict[int, float]:
    """`softplus(d_ui) + sum of softplus(t_uj + s_ji)`, equation 14."""
    return {
        row: direct(country, request, row) + sum(_softplus(weight + score) for _, weight, score in two_hops)
        for row, two_hops in paths(country, request).items()
    }


def item_interaction(country: Country, request: Request) -> dict[int, float]:
    """The largest cosine with any of the last n pairs of each source type; not the history's own items."""
    found: dict[int, float] = {}
    own = {row for row, _ in request.known}
    for _, _, row, cosine in pair_cosines(country, request):
        if row not in own:
            found[row] = max(found.get(row, -2.0), cosine)
    return found


def pair_cosines(country: Country, request: Request) -> list[tuple[tuple[int, int], int, int, float]]:
    """((row, source type), target type, row, cosine) of every recent pair with every pair of a target type."""
    shard = country.item_interaction
    assert shard is not None
    found = []
    for source in PAIR_SOURCES:
        begins = shard.pairs.get(source)
        starts: list[int] = []
        for row, kind in reversed(request.known):
            if (kind or PAIR_SOURCES[0]) == source and begins and row in begins.rows and row not in starts:
                starts.append(row)
        for start in starts[:LAST_N]:
            assert begins is not None
            vector = begins.vectors[begins.rows.tolist().index(start)].astype(float)
            for target in PAIR_TARGETS:
                ends = shard.pairs.get(target)
                for row, other in zip(ends.rows.tolist(), ends.vectors, strict=True) if ends else ():
                    found.append(((start, int(source)), int(target), row, float(vector @ other.astype(float))))
    return found


def similar(country: Country, request: Request) -> dict[int, float]:
    """s_ji of the seed, or of the newest item."""
    shard = country.pdn
    assert shard is not None
    row = request.seed if request.seed >= 0 else request.known[-1][0] if request.known else -1
    if row < 0:
        return {}
    near = zip(shard.neighbours[row].tolist(), shard.scores[row].tolist(), strict=True)
    return {other: score for other, score in near if other >= 0}


def popular(country: Country, request: Request) -> dict[int, float]:  # noqa: ARG001 - as the others
    """The number of interactions."""
    return {row: float(count) for row, count in enumerate(country.catalog.popularity)}


SCORES: dict[str, Callable[[Country, Request], dict[int, float]]] = {
    "led": led,
    "two_tower": two_tower,
    "pdn": pdn,
    "item_interaction": item_interaction,
    "similar": similar,
    "popular": popular,
}


def best(scores: dict[int, float], rows: Sequence[int], k: int) -> list[float]:
    """The k largest scores of the eligible rows, best first."""
    return sorted((scores[row] for row in rows if row in scores), reverse=True)[:k]


def _age(request: Request) -> float:
    return 0.0 if request.age is None else (request.age - 30.0) / 10.0


def _softplus(value: float) -> float:
    return math.log1p(math.exp(-abs(value))) + max(value, 0.0)
