"""`python -m loadtest.in_process SCENARIO`: the work of a scenario without server or transport, on one thread.

limit   mean CPU of encode and search alone, microseconds: the least that a call can cost on this machine. LED's are
        called directly, as its source does; other sources' are their own stopwatch, made to read CPU
engine  of it, what the index engines take themselves: no planning, no filters, no merging; not for LED alone
exact   the ids of the exact answers to the first requests, kept beside the bundle: what recall is judged by
"""

import json
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from index_store.bundle import Bundle, load_bundle
from index_store.country import Country
from index_store.index import ExactIndex, Neighbours
from loadtest.bench_bundle import CACHE, BenchBundle, prepare
from loadtest.scenario import Scenario, scenarios
from models.led import is_mean, mean_users
from server.decode import decode_query
from server.limits import Limits
from server.profile_settings import parse_profiles
from server.retrieval import Retriever
from server.settings import Settings
from server.sources import reporting

EXACT_ANSWERS = 60
_WARM_UP = 30
_NOW_MS = 1_764_100_000_000


def main(
    name: Annotated[str, typer.Argument(help="A scenario of loadtest.scenario.")],
    items: Annotated[int, typer.Option(help="Catalogue size.")] = 1_000_000,
    seconds: Annotated[float, typer.Option(help="How long to measure.")] = 3.0,
    glove: Annotated[Path | None, typer.Option(help="GloVe vectors, .npy.", show_default=False)] = None,
    cache: Annotated[Path, typer.Option(help="Where bundles are kept.")] = CACHE,
    *,
    exact: Annotated[bool, typer.Option(help="Also search the exact answers, unless they are there.")] = False,
) -> None:
    """Measure, and print one JSON object."""
    scenario = scenarios(items, glove)[name]
    made = prepare(scenario.wanted, cache)
    bundle = load_bundle(made.directory)
    found = (
        _led(bundle, made, scenario, seconds) if scenario.profile == "led" else _other(bundle, made, scenario, seconds)
    )
    if exact:
        keep_exact(bundle, made, scenario, cache)
    json.dump(found, sys.stdout)


def exact_path(made: BenchBundle, scenario: Scenario, cache: Path) -> Path:
    """Where a scenario's exact answers are kept."""
    return cache / "exact" / f"{made.name}-{scenario.name}.npy"


def _led(bundle: Bundle, made: BenchBundle, scenario: Scenario, seconds: float) -> dict[str, float]:
    (country,) = bundle.countries.values()
    led, encoder = country.led, bundle.open_led()
    rows = [country.catalog.rows_of_ids(history[-scenario.history :]) for history in made.histories]
    plain, length = is_mean(encoder), encoder.spec.max_history
    spent: list[tuple[int, int]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(spent) <= _WARM_UP:
        history = rows[len(spent) % len(rows)]
        start = time.thread_time_ns()
        users = mean_users(led.vectors, [history], length) if plain else led.encode(encoder, [history])
        middle = time.thread_time_ns()
        led.search(users, scenario.k)
        spent.append((middle - start, time.thread_time_ns() - middle))
    return _means(np.array(spent[_WARM_UP:]) / 1000)


def _other(bundle: Bundle, made: BenchBundle, scenario: Scenario, seconds: float) -> dict[str, float]:
    reporting.time = SimpleNamespace(perf_counter_ns=time.thread_time_ns)  # type: ignore[attr-defined, assignment]
    retriever = _retriever(bundle, scenario)
    queries = [decode_query(payload, _limits(), _NOW_MS) for payload in scenario.payloads(made)[:500]]
    engines = _Clock()
    for engine in _engines(bundle):
        engine.search = engines.clocked(engine.search)
    spent: list[tuple[int, int]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(spent) <= _WARM_UP:
        if len(spent) == _WARM_UP:
            engines.spent_ns = 0
        reports = retriever.answer(queries[len(spent) % len(queries)]).reports
        spent.append((sum(each.encode_us for each in reports), sum(each.search_us for each in reports)))
    measured = spent[_WARM_UP:]
    return {**_means(np.array(measured)), "engine_us": engines.spent_ns / 1000 / len(measured)}


def _engines(bundle: Bundle) -> set[Any]:
    """Classes of the indices that the bundle's vectors are searched by."""
    (country,) = bundle.countries.values()
    pairs = country.item_interaction.pairs.values() if country.item_interaction else ()
    return {type(part.index) for part in (country.led, country.two_tower, *pairs) if part is not None}


class _Clock:
    """Adds up the CPU that calls take on this thread."""

    spent_ns = 0

    def clocked(self, call: Callable[..., Neighbours]) -> Callable[..., Neighbours]:
        """Do the same, on the clock."""

        @wraps(call)
        def do(*arguments: Any, **options: Any) -> Neighbours:  # noqa: ANN401 - whatever it takes
            started = time.thread_time_ns()
            found = call(*arguments, **options)
            self.spent_ns += time.thread_time_ns() - started
            return found

        return do


def _means(spent_us: NDArray[Any]) -> dict[str, float]:
    encode, search = spent_us.mean(axis=0).tolist()
    return {"encode_us": encode, "search_us": search, "limit_us": encode + search, "limit_calls": len(spent_us)}


def _retriever(bundle: Bundle, scenario: Scenario) -> Retriever:
    profiles = parse_profiles(tomllib.loads(scenario.profiles)["profiles"])
    return Retriever(bundle, bundle.open_encoders(), profiles)


def _limits() -> Limits:
    settings = Settings()
    return Limits(settings.max_k, settings.max_history, settings.max_excluded, settings.max_batch)


def keep_exact(bundle: Bundle, made: BenchBundle, scenario: Scenario, cache: Path) -> None:
    """Answer the first requests with every index replaced by exact search; (EXACT_ANSWERS, k) uint64 ids."""
    path = exact_path(made, scenario, cache)
    if path.exists():
        return
    (country,) = bundle.countries.values()
    exact = replace(bundle, countries={country.code: _exactly(country)})
    retriever = _retriever(exact, scenario)
    payloads: Sequence[bytes] = scenario.payloads(made)[:EXACT_ANSWERS]
    answers = [retriever.answer(decode_query(payload, _limits(), _NOW_MS)) for payload in payloads]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.stack([country.catalog.item_ids[answer.rows] for answer in answers]))


def _exactly(country: Country) -> Country:
    tower, pairs = country.two_tower, country.item_interaction
    return replace(
        country,
        led=replace(country.led, index=ExactIndex(country.led.vectors)),
        two_tower=tower and replace(tower, index=ExactIndex(tower.vectors)),
        item_interaction=pairs
        and replace(
            pairs, pairs={kind: replace(each, index=ExactIndex(each.vectors)) for kind, each in pairs.pairs.items()}
        ),
    )


if __name__ == "__main__":
    typer.run(main)
