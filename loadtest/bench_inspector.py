"""`python -m loadtest.bench_inspector`: how long the inspector's page waits over 200 countries and a million items.

The bundle is drawn: one country of a million items with titles, keys, merchants, categories and prices, 199 of a
thousand each, LED searched exactly. What is measured does not depend on how items are searched.
"""

import json
import re
import statistics
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from index_store.content import BundleContent, CountryContent, GoldenCase, IndexPolicy, Timeline
from index_store.publish import publish
from loadtest.served import served
from loadtest.synthetic_encoders import encoder_contents

_ROOT = Path("build/bench/inspector")
_COUNTRIES, _SMALL = 200, 1_000
_DIM = 16
_USERS = 20
_SEED = 5
_RUNS = 9
_VOCABULARY = (
    "red white blue green black silver gold vintage wooden glass ceramic paper metal heart star flower bird rabbit "
    "lantern holder bag box set mug plate candle clock frame cushion towel ribbon garland bunting tin jar bottle lamp "
    "mirror hook sign basket tray bowl spoon apron card wrap tag toy doll game puzzle"
)
_WORDS = _VOCABULARY.split()
_QUERIES = {
    "two common words": "red heart",
    "three words, rare together": "vintage wooden rabbit 77",
    "one letter": "e",
    "a word that no title has": "zebra",
    "a common word and one that no title has": "red zebra",
    "a key": "k0777777",
}


def _content(items: int) -> BundleContent:
    rng = np.random.default_rng(_SEED)
    sizes = {"XX": items, **{f"C{number:03}": _SMALL for number in range(_COUNTRIES - 1)}}
    countries = {code: _country(rng, size) for code, size in sizes.items()}
    led = encoder_contents(_DIM, _DIM, _DIM, _DIM)["led"]
    return BundleContent(
        led_onnx=led.graph,
        led_spec=led.spec,
        countries=countries,
        golden=[_golden(code, country) for code, country in countries.items()],
        timelines=[user for code, country in countries.items() for user in _users(rng, code, country)],
        data_fingerprint="0" * 64,
        seed=_SEED,
        metrics={},
        config={"note": "drawn for a bench"},
    )


def _country(rng: np.random.Generator, size: int) -> CountryContent:
    words = rng.integers(0, len(_WORDS), (size, 4)).tolist()
    return CountryContent(
        item_ids=rng.permutation(np.arange(1, size + 1, dtype=np.uint64) * np.uint64(977)),
        keys=[f"k{row:07}" for row in range(size)],
        titles=[f"{_WORDS[a]} {_WORDS[b]} {_WORDS[c]} {_WORDS[d]} {row}" for row, (a, b, c, d) in enumerate(words)],
        merchants=[f"merchant {number}" for number in rng.zipf(1.5, size).clip(max=5_000).tolist()],
        categories=[f"{_WORDS[a]}s" for a, *_ in words],
        popularity=rng.zipf(1.3, size).clip(max=10**6),
        led_vectors=rng.normal(size=(size, _DIM)).astype(np.float32),
        led_biases=np.zeros(size, dtype=np.float32),
        calibration_queries=_with_bias(rng.normal(size=(4, _DIM))),
        own_queries=4,
        prices=rng.uniform(1, 100, size).astype(np.float32),
    )


def _with_bias(users: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.column_stack([users, np.ones(len(users))]).astype(np.float32)


def _golden(code: str, country: CountryContent) -> GoldenCase:
    user = _with_bias(country.led_vectors[:1].astype(np.float64))[0]
    scores = country.led_vectors @ user[:-1]
    best = np.lexsort((country.item_ids, -scores))[:5]
    ids = country.item_ids
    return GoldenCase(code, [int(ids[0])], 5, user, ids[best].tolist(), scores[best].tolist())


def _users(rng: np.random.Generator, code: str, country: CountryContent) -> list[Timeline]:
    rows = rng.integers(0, len(country.item_ids), (_USERS, 30))
    return [
        Timeline(f"u{number}", code, country.item_ids[history].tolist(), [1] * len(history))
        for number, history in enumerate(rows)
    ]


class _Page:
    """Asks the inspector as the page does."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, body: object = None) -> tuple[float, Any, int]:
        """Give milliseconds, the JSON and its bytes."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} if data else {}
        request = urllib.request.Request(self._url + path, data, headers)  # noqa: S310 - http, ours
        started = time.perf_counter()
        with urllib.request.urlopen(request, timeout=120) as reply:  # noqa: S310
            raw = reply.read()
        return (time.perf_counter() - started) * 1000, json.loads(raw), len(raw)


class _Bench:
    """Measures each thing that a person waits for: the first time, then several; wall time and the process's CPU."""

    def __init__(self, page: _Page, process: psutil.Process) -> None:
        self.rows: list[tuple[str, ...]] = []
        self._page = page
        self._process = process

    def measure(self, name: str, path: str, body: object = None, note: Callable[[Any], str] = lambda _: "") -> None:
        """Ask for a path again and again."""
        begun = self._cpu_ms()
        first, value, size = self._page.get(path, body)
        between = self._cpu_ms()
        again = [self._page.get(path, body)[0] for _ in range(_RUNS)]
        cpu = (self._cpu_ms() - between) / _RUNS
        median, most = statistics.median(again), max(again)
        figures = (f"{first:,.0f}", f"{between - begun:,.0f}", f"{median:,.1f}", f"{most:,.1f}", f"{cpu:,.1f}")
        self.rows.append((name, *figures, f"{size / 1000:,.1f} kB", note(value)))

    def _cpu_ms(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system) * 1000


def _found(value: dict[str, Any]) -> str:
    return f"{value['found']:,} found" + ("" if value["complete"] else ", ended early")


def _run(page: _Page, process: psutil.Process) -> list[tuple[str, ...]]:
    bench = _Bench(page, process)
    bench.measure("overview", "api/overview")
    bench.measure("a country's details", "api/country?country=XX")
    for name, query in _QUERIES.items():
        bench.measure(f"search: {name}", f"api/items?country=XX&q={query.replace(' ', '+')}", note=_found)
    bench.measure("merchants", "api/names?country=XX&facet=merchants&q=12")
    _, user, _ = page.get("api/user?country=XX&user=u7")
    history = [{"item_id": event["item"]["id"], "type": event["type"]} for event in user["history"]]
    bench.measure("a question, 30 interactions", "api/query", {"country": "XX", "k": 20, "history": history})
    bench.measure("live figures", "api/live")
    return bench.rows


def main(
    items: Annotated[int, typer.Option(help="Items of the largest country.")] = 1_000_000,
) -> None:
    """Publish once, serve, ask, print."""
    name = f"countries-{_COUNTRIES}-items-{items}"
    console = Console()
    with console.status("publishing"):
        if not (_ROOT / name / "CURRENT").exists():
            policy = IndexPolicy(exact_below=10**9)
            publish(_content(items), root=_ROOT, name=name, version="v1", policy=policy)
    with served(_ROOT, name, workers=1, inspector_port=0) as server:
        log = Path("build/bench/run") / f"{name}.log"
        match = re.search(r"inspector (http\S+)", log.read_text())
        assert match, "the inspector is not installed"  # noqa: S101 - nothing to measure
        process = next(one for one in psutil.Process(server.pid).children() if "server.inspector" in one.cmdline())
        with console.status("asking"):
            rows = _run(_Page(match[1]), process)
        memory = process.memory_full_info().uss / 2**20
    table = Table(title=f"{_COUNTRIES} countries, the largest of {items:,} items; milliseconds")
    for place, column in enumerate(("what", "first", "its CPU", f"median of {_RUNS}", "most", "CPU", "answer", "")):
        table.add_column(column, justify="right" if 0 < place < len(rows[0]) - 1 else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(f"the inspector's own memory afterwards: {memory:,.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
