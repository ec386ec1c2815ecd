"""`make recall-drill`: how long it takes until somebody knows that an index answers worse than its bundle promises.

The LED vectors of the demo's largest countries are published twice: well, and then with graphs that hardly hang
together while the manifest goes on promising the target. A server with default settings is asked what the demo's sample
users would ask; a real Prometheus scrapes it and evaluates the rules, both at the intervals of `deploy/prometheus`.
Prints the seconds from the reload to the gauge under the target and to the alert. Exits 0 only if the alert fires
for every country within two minutes, and did not fire before. Needs the demo bundle, and Prometheus (`make tools`).
"""

import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent / "support"))

from prometheus_server import RULES, Prometheus

from index_store.bundle import Bundle, load_bundle
from index_store.content import BundleContent, CountryContent, GoldenCase, IndexPolicy, Timeline
from index_store.country import Country
from index_store.layout import TIMELINES
from index_store.location import current_bundle
from index_store.publish import publish
from processes import ServerProcess, serving
from shortlist.client import Client, History
from tiny_bundle import user_vector
from worsened import publish_worsened

ALERT = "ShortlistLiveRecallLow"
WITHIN_S = 120.0
# what publishing does on its own, with fewer graphs to choose from
POLICY = IndexPolicy(engines=("hnsw",), exact_below=1_000, ef_grid=(100, 128, 192, 256), spaces=("ip",))
_CALLS_PER_S = 50.0
_COUNTRIES = 3
_K = 100
_CONSOLE = Console()


def main(
    bundle_root: Annotated[Path, typer.Option(help="Folder that holds the bundles.")] = Path("build/bundles"),
    bundle_name: Annotated[str, typer.Option(help="Whose vectors and users to take.")] = "online-retail",
) -> None:
    """Serve well, serve badly, and time what Prometheus makes of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _CONSOLE.status("publishing the demo's largest countries"):
            content = content_of(load_bundle(current_bundle(bundle_root, bundle_name)))
            publish(content, root=folder, name="tiny", version="v1", policy=POLICY)
        with (
            serving(["--bundle-root", str(folder), "--bundle-name", "tiny"]) as (server, address, metrics),
            traffic(address, content.timelines),
            Prometheus(
                folder / "prometheus", {"shortlist": [metrics.split("/")[2]]}, intervals=intervals()
            ) as prometheus,
        ):
            drill(folder, content, server, prometheus)


def drill(folder: Path, content: BundleContent, server: ServerProcess, prometheus: Prometheus) -> None:
    """Wait until all is judged well, worsen it, and print what was seen when."""
    good = wait_for(prometheus, "shortlist_live_recall and shortlist_live_recall_samples >= 30", len(content.countries))
    with _CONSOLE.status("publishing graphs that are worse than their manifest says"):
        publish_worsened(folder, content, policy=POLICY)
    if prometheus.query(f'ALERTS{{alertname="{ALERT}"}}'):
        sys.exit(f"recall-drill: {ALERT} before anything was worse")
    before = len(server.lines)
    started = time.monotonic()
    server.process.send_signal(1)
    server.wait_for(r"serving on .*tiny/v2 \(reload\)", after=before)
    seconds = {"the worse bundle is served": time.monotonic() - started}
    below = f"shortlist_live_recall < on (country, source) group_left () {target()}"
    pending, firing = (f'ALERTS{{alertname="{ALERT}", alertstate="{state}"}}' for state in ("pending", "firing"))
    steps = [
        ("the gauge of one country is under the target", below, 1),
        (f"{ALERT} is pending for one", pending, 1),
        (f"{ALERT} is firing for one", firing, 1),
        (f"{ALERT} is firing for all", firing, len(content.countries)),
    ]
    for what, expression, series in steps:
        wait_for(prometheus, expression, series, within_s=WITHIN_S + 60)
        seconds[what] = time.monotonic() - started
    worse = {labels["country"]: value for labels, value in prometheus.query("shortlist_live_recall")}
    show(seconds, {labels["country"]: value for labels, value in good}, worse)
    if time.monotonic() - started > WITHIN_S:
        sys.exit(f"recall-drill: later than {WITHIN_S:.0f} s")


def target() -> str:
    """What the rule compares live recall with."""
    return "min by (country, source) (shortlist_index_recall_target)"


def wait_for(
    prometheus: Prometheus, expression: str, series: int = 1, within_s: float = 180
) -> Sequence[tuple[dict[str, str], float]]:
    """Ask until the query gives so many series; ends the program where it does not in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = prometheus.query(expression)
        if len(found) >= series:
            return found
        time.sleep(0.1)
    sys.exit(f"recall-drill: not within {within_s:.0f} s: {expression}")


def intervals() -> dict[str, str]:
    """How often the composition's Prometheus scrapes and evaluates."""
    every: dict[str, str] = yaml.safe_load((RULES.parent / "prometheus.yml").read_text(encoding="utf-8"))["global"]
    return every


def show(seconds: dict[str, float], good: dict[str, float], worse: dict[str, float]) -> None:
    """Print recall by country, before and at the end, and what happened when."""
    recall = Table(title="Live recall of LED")
    for column in ("country", "before", "at the end"):
        recall.add_column(column, justify="left" if column == "country" else "right")
    for country, before in good.items():
        recall.add_row(country, f"{before:.3f}", f"{worse[country]:.3f}")
    _CONSOLE.print(recall)
    times = Table("seconds since SIGHUP", "", title=f"Prometheus with {intervals()}")
    for what, passed in seconds.items():
        times.add_row(f"{passed:.1f}", what)
    _CONSOLE.print(times)


@contextmanager
def traffic(address: str, users: Sequence[Timeline]) -> Iterator[None]:
    """Ask as one sample user after another, evenly, until the block ends; ends the program where a call fails."""
    ended = threading.Event()
    asked = itertools.cycle(users)

    def ask() -> None:
        # a connection is one worker's, and each worker takes its share of the samples
        with Client(address, timeout_s=5) as client:
            while not ended.wait(1 / _CALLS_PER_S):
                user = next(asked)
                client.retrieve(user.country, History(np.array(user.item_ids[-20:], np.uint64), user.types[-20:]), _K)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def content_of(bundle: Bundle) -> BundleContent:
    """Take the largest countries' catalogues and LED vectors out of a bundle, to be published again."""
    codes = sorted(bundle.countries, key=lambda code: -len(bundle.countries[code].catalog.item_ids))[:_COUNTRIES]
    lines = map(json.loads, (bundle.path / TIMELINES).read_text(encoding="utf-8").splitlines())
    users = [Timeline(line["user"], line["country"], line["item_ids"], line["types"]) for line in lines]
    # a sample user of any country is asked for in each, so that each is asked for often enough
    timelines = [replace(user, country=code) for user in users for code in codes]
    graph = bundle.manifest.encoders["led"].graph
    countries = {code: _country(bundle.countries[code], users) for code in codes}
    return BundleContent(
        led_onnx=(bundle.path / graph).read_bytes(),
        led_spec=bundle.specs["led"],
        countries=countries,
        golden=[_golden(code, country) for code, country in countries.items()],
        timelines=timelines,
        data_fingerprint=bundle.manifest.training.data_fingerprint,
        seed=bundle.manifest.training.seed,
        metrics={},
    )


def _country(country: Country, users: Sequence[Timeline]) -> CountryContent:
    catalog, vectors = country.catalog, np.asarray(country.led.vectors)
    known = [rows[rows >= 0] for rows in (catalog.rows_of_ids(np.array(u.item_ids, dtype=np.uint64)) for u in users)]
    queries = [user_vector(vectors[:, :-1], rows) for rows in known if len(rows)]
    return CountryContent(
        item_ids=catalog.item_ids,
        keys=None,
        titles=None,
        merchants=None,
        categories=None,
        popularity=catalog.popularity,
        led_vectors=vectors[:, :-1],
        led_biases=vectors[:, -1],
        calibration_queries=np.stack(queries),
        own_queries=len(queries),
    )


def _golden(code: str, country: CountryContent) -> GoldenCase:
    """Of a user without a history, whom no graph answers: the order of the biases."""
    best = np.lexsort((country.item_ids, -country.led_biases))[:10]
    return GoldenCase(
        country=code,
        history=[],
        k=len(best),
        user_vector=user_vector(country.led_vectors, []),
        item_ids=[int(item) for item in country.item_ids[best]],
        scores=[float(score) for score in country.led_biases[best]],
    )


if __name__ == "__main__":
    typer.run(main)
