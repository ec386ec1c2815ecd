"""Publishes the job as a bundle, once per recall target: for Shortlist, and for frameworks that host its index."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.bundle import load_bundle
from index_store.content import BundleContent, CountryContent, GoldenCase, IndexPolicy, Timeline
from index_store.engines import scann_engine
from index_store.errors import BundleError
from index_store.index import exact_top_k
from index_store.publish import publish
from loadtest.peers.job import COUNTRY, JUDGED, K
from loadtest.peers.peer import Place, UnavailableError, Variant
from models.spec import decode_spec

NAME = "peers"
PERCENTS = (90, 95)
"""Recall targets that bundles are published for, percent: the knob of whoever serves the index."""

_GOLDEN = 20
# fine, so that no more recall is paid for than peers pay for; long, for graphs over inner products
_EF_GRID = tuple(round(100 * 1.2**step) for step in range(28))
# building graphs over more would take a quarter of an hour, and none comes near (docs/index-engines.md)
_GRAPHS_UP_TO = 200_000


def published(place: Place, percent: int) -> Path:
    """Find the version directory published for a recall target, or publish it. UnavailableError if that is refused."""
    root, version = place.data / "bundles", f"recall-{percent}"
    directory = root / NAME / version
    if directory.exists():
        return directory
    large = len(place.job.vectors) > _GRAPHS_UP_TO and scann_engine() is not None
    policy = IndexPolicy(
        recall_target=percent / 100,
        recall_k=K,
        engines=("scann",) if large else ("exact", "hnsw", "scann"),
        ef_grid=_EF_GRID,
    )
    with place.console.status(f"publishing a bundle for recall {percent / 100:.2f}"):
        try:
            return publish(_content(place), root=root, name=NAME, version=version, policy=policy)
        except BundleError as error:
            raise UnavailableError(str(error)) from error


class BundleStore:
    """For peers that serve the index of a published bundle."""

    @contextmanager
    def store(self, place: Place, variant: Variant) -> Iterator[None]:
        """Publish what is not published yet."""
        for percent in variant.efforts:
            published(place, percent)
        yield


def index_of(place: Place, percent: int) -> str:
    """Say how a published bundle is searched, as the manifest does."""
    entry = load_bundle(published(place, percent)).manifest.countries[COUNTRY].led
    if entry.scann is not None:
        return f"scann, {entry.scann.search_leaves} of {entry.scann.leaves} leaves, {entry.scann.reorder} reordered"
    return f"hnsw, {entry.space}, ef {entry.ef}" if entry.engine == "hnsw" else entry.engine


def _content(place: Place) -> BundleContent:
    job = place.job
    vectors = np.asarray(job.vectors)
    country = CountryContent(
        item_ids=job.item_ids,
        keys=None,
        titles=None,
        merchants=None,
        categories=None,
        popularity=np.ones(len(vectors), dtype=np.int64),
        led_vectors=vectors,
        led_biases=np.zeros(len(vectors), dtype=np.float32),
        calibration_queries=_with_one(job.users[:JUDGED]),
        own_queries=JUDGED,
    )
    first = job.item_ids[job.histories[0]]
    return BundleContent(
        led_onnx=(job.directory / "led.onnx").read_bytes(),
        led_spec=decode_spec((job.directory / "led.json").read_bytes()),
        countries={COUNTRY: country},
        golden=[_golden(place, user) for user in range(_GOLDEN)],
        timelines=[Timeline("sample", COUNTRY, first.tolist(), [1] * len(first))],
        data_fingerprint="0" * 64,
        seed=0,
        metrics={},
    )


def _with_one(users: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the encoder gives: with the component that meets the bias."""
    return np.column_stack([users, np.ones(len(users))]).astype(np.float32)


def _golden(place: Place, user: int) -> GoldenCase:
    job = place.job
    found = exact_top_k(job.vectors, job.users[user][None], K)
    order = np.lexsort((job.item_ids[found.rows[0]], -found.scores[0]))
    return GoldenCase(
        country=COUNTRY,
        history=job.item_ids[job.histories[user]].tolist(),
        k=K,
        user_vector=_with_one(job.users[user : user + 1])[0],
        item_ids=job.item_ids[found.rows[0][order]].tolist(),
        scores=found.scores[0][order].tolist(),
    )
