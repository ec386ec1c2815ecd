"""Bench bundles: drawn or given vectors, published as any bundle is, kept under a key of all that made them.

    build/bench/bundles/<key>/v1/    the bundle
    build/bench/asked/<key>.npz      histories to ask for, and the scores of their exact answers

`python -m loadtest.bench_bundle` makes one and prints its place as JSON.
"""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import index_store
from index_store.content import IndexPolicy
from index_store.engines import scann_engine
from index_store.format_versions import FORMAT_VERSION
from index_store.index import exact_top_k
from index_store.location import set_current
from index_store.publish import publish
from loadtest.bench_content import COUNTRY, Asked, led_content, user_vectors
from loadtest.bench_systems import with_systems
from loadtest.catalogue import REFERENCE, Catalogue, Recipe, draw

# a change of these may change what is built of the same policy
_CODE = Path(index_store.__file__).parent
_BUILDERS = ("calibration.py", "hnsw.py", "principal.py", "scann_config.py", "sweep.py")
CACHE = Path("build/bench")
VERSION = "v1"
BENCH_QUERIES = 2_000
USUAL, LONGEST = 20, 100
"""Interactions of a history: that LED's recall is judged with, and that are there."""
JUDGED = 1_000
"""So many of the bench's queries have their exact answers at hand."""
_K = 100
_CALIBRATION = 1_000
# the calibration's queries are a sample: so much more is asked of them than the bench wants to see on others
_MARGIN = 0.004
_EF_GRID = (100, 200, 400, 800, 1600, 3200, 6400, 10_000, 14_000)
_SEED = 3
_CLUSTER_SIZE = 300


@dataclass(frozen=True)
class BenchBundle:
    """A published bundle and what is asked of it.

    histories: (Q, LONGEST) uint64 item ids, oldest first. best: (J, k) float32, LED's exact scores of the best k for
    the last USUAL interactions of the first J, best first. build_s: how long publishing took; nan where it was
    interrupted after that.
    """

    root: Path
    name: str
    histories: NDArray[np.uint64]
    best: NDArray[np.float32]
    build_s: float

    @property
    def directory(self) -> Path:
        """The version's."""
        return self.root / self.name / VERSION

    @classmethod
    def load(cls, cache: Path, key: str) -> "BenchBundle":
        """Open what was made before; FileNotFoundError if it was not."""
        with np.load(cache / "asked" / f"{key}.npz") as stored:
            return cls(cache / "bundles", key, stored["histories"], stored["best"], float(stored["build_s"]))


@dataclass(frozen=True)
class Wanted:
    """What a bench bundle is made of: a recipe's catalogue, or the vectors of a .npy file, and an index policy."""

    recipe: Recipe
    recall: float = 0.95
    vectors: Path | None = None
    every_source: bool = False

    @property
    def key(self) -> str:
        """The same for the same."""
        parts = {**asdict(self), "vectors": str(self.vectors), "format": FORMAT_VERSION, "policy": asdict(self.policy)}
        parts["builders"] = [hashlib.sha256((_CODE / each).read_bytes()).hexdigest() for each in _BUILDERS]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @property
    def policy(self) -> IndexPolicy:
        """The publisher's own but for the target. Graphs are left out where ScaNN is installed.

        They take minutes to build, and lose on such catalogues: `loadtest.bench_engines` shows by how much. Without
        ScaNN they get the breadths that they need here.
        """
        target = self.recall + _MARGIN
        if scann_engine() is not None:
            return IndexPolicy(recall_target=target, engines=("exact", "scann"))
        return IndexPolicy(recall_target=target, engines=("exact", "hnsw"), ef_grid=_EF_GRID)

    def catalogue(self) -> Catalogue:
        """Draw or read it."""
        return draw(self.recipe) if self.vectors is None else given(self.vectors)


def given(path: Path) -> Catalogue:
    """Make a catalogue of vectors (N, d) of any float dtype, scaled to length 1; clusters are those around items."""
    vectors = np.load(path).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    rng = np.random.default_rng(_SEED)
    centres = vectors[rng.choice(len(vectors), max(1, len(vectors) // _CLUSTER_SIZE), replace=False)]
    parts = np.array_split(vectors, max(1, len(vectors) // 10_000))
    clusters = np.concatenate([np.argmax(part @ centres.T, axis=1) for part in parts])
    nothing = np.zeros(len(vectors), dtype=np.float32)
    by_cluster = np.argsort(clusters, kind="stable")
    ends = np.searchsorted(clusters[by_cluster], np.arange(len(centres) + 1))
    return Catalogue(vectors, nothing, np.ones(len(vectors), dtype=np.int64), by_cluster, ends, vectors[:0])


def prepare(wanted: Wanted, cache: Path = CACHE) -> BenchBundle:
    """Open the bundle, or make it: minutes for a million items."""
    try:
        found = BenchBundle.load(cache, wanted.key)
    except FileNotFoundError:
        return _make(wanted, cache)
    if (found.directory / "manifest.json").exists():
        return found
    return _make(wanted, cache)


def _make(wanted: Wanted, cache: Path) -> BenchBundle:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        step = progress.add_task(f"drawing {wanted.recipe.items:,} items")
        catalogue = wanted.catalogue()
        asked = _asked(catalogue)
        content = led_content(catalogue, asked)
        if wanted.every_source:
            progress.update(step, description="making the other systems")
            content = with_systems(content, catalogue, asked)
        progress.update(step, description=f"publishing {len(catalogue.vectors):,} items at recall {wanted.recall}")
        target = cache / "bundles" / wanted.key / VERSION
        if target.exists():
            set_current(cache / "bundles", wanted.key, VERSION)
            spent = math.nan  # lost with who published it
        else:
            started = time.perf_counter()
            publish(content, root=cache / "bundles", name=wanted.key, version=VERSION, policy=wanted.policy)
            spent = time.perf_counter() - started
        progress.update(step, description="searching exactly")
        best = _exact(catalogue, [history[-USUAL:] for history in asked.bench[:JUDGED]])
    (cache / "asked").mkdir(parents=True, exist_ok=True)
    histories = content.countries[COUNTRY].item_ids[np.stack(asked.bench)]
    np.savez(cache / "asked" / f"{wanted.key}.npz", histories=histories, best=best, build_s=np.float64(spent))
    return BenchBundle.load(cache, wanted.key)


def _asked(catalogue: Catalogue) -> Asked:
    long = (LONGEST, LONGEST)
    users = catalogue.histories(_CALIBRATION, long, _SEED)
    return Asked([history[-USUAL:] for history in users], catalogue.histories(BENCH_QUERIES, long, _SEED + 1))


def _exact(catalogue: Catalogue, histories: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    vectors = np.column_stack([catalogue.vectors, catalogue.biases])
    users = user_vectors(catalogue.vectors, histories)
    chunks = [exact_top_k(vectors, users[start : start + 25], _K).scores for start in range(0, len(users), 25)]
    return np.concatenate(chunks)


def main(
    items: Annotated[int, typer.Option(help="Catalogue size.")] = REFERENCE.items,
    recall: Annotated[float, typer.Option(help="Recall@100 that the index must reach.")] = 0.95,
    glove: Annotated[Path | None, typer.Option(help=".npy file of vectors instead.", show_default=False)] = None,
    cache: Annotated[Path, typer.Option(help="Where bundles are kept.")] = CACHE,
    *,
    every_source: Annotated[bool, typer.Option("--every-source", help="All four systems.")] = False,
) -> None:
    """Make a bench bundle, unless it is there, and print where it is."""
    wanted = Wanted(REFERENCE.of_size(items), recall, vectors=glove, every_source=every_source)
    made = prepare(wanted, cache)
    typer.echo(json.dumps({"root": str(made.root), "name": made.name, "key": wanted.key}))


if __name__ == "__main__":
    typer.run(main)
