"""Drawn logs: who looks at what says where items lie, and `shortlist-train` learns from it what the bench searches."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from index_store.bundle import verify_bundle
from loadtest.bench_engines_input import of_bundle
from loadtest.catalogue import REFERENCE, Catalogue, draw
from loadtest.interaction_log import Events, Log, LogRecipe
from loadtest.log_project import SourceName, project
from shortlist_training.config import LoadedProject

ROOT = Path(__file__).parents[2]
_ITEMS = 2_000


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Few items, in clusters as large as the reference's."""
    return draw(REFERENCE.of_size(_ITEMS))


def _all(log: Log) -> Events:
    parts = list(log.parts())
    return Events(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("users", "items", "times_ms", "types"))
    )


def test_one_seed_draws_one_log(catalogue: Catalogue) -> None:
    """The same recipe gives the same events, another seed others."""
    first, second, other = (_all(Log(catalogue, LogRecipe(seed=seed))) for seed in (1, 1, 2))
    assert np.array_equal(first.items, second.items)
    assert np.array_equal(first.times_ms, second.times_ms)
    assert not np.array_equal(first.items[:1000], other.items[:1000])


def test_every_item_gets_its_turn_and_some_are_popular(catalogue: Catalogue) -> None:
    """No item is left out, half of them have five interactions and more, and the popular tenth has far more."""
    counts = np.sort(np.bincount(_all(Log(catalogue, LogRecipe())).items, minlength=_ITEMS))
    assert counts[0] >= 1
    assert counts[_ITEMS // 2] >= 5
    assert counts[-_ITEMS // 10 :].sum() > 0.25 * counts.sum()
    assert counts.sum() == pytest.approx(LogRecipe().interactions_per_item * _ITEMS, rel=0.15)


def test_timelines_are_ordered_and_sessions_apart(catalogue: Catalogue) -> None:
    """Users follow each other, their times rise, and pauses are of minutes or of an hour and more."""
    events = _all(Log(catalogue, LogRecipe()))
    same = np.diff(events.users) == 0
    pauses = np.diff(events.times_ms)[same]
    assert (np.diff(events.users) >= 0).all()
    assert (pauses > 0).all()
    assert ((pauses < 1_800_000) | (pauses > 1_800_000)).all()
    sessions = 1 + np.bincount(events.users[1:][same][pauses > 1_800_000], minlength=events.users[-1] + 1)
    assert sessions.min() == 1
    assert sessions.max() == 3


def test_what_occurs_together_lies_together(catalogue: Catalogue) -> None:
    """Neighbours in a session are nearer than items of one cluster, and those nearer than any two items."""
    log = Log(catalogue, LogRecipe())
    events = _all(log)
    units = catalogue.vectors / np.linalg.norm(catalogue.vectors, axis=1, keepdims=True)
    near = (np.diff(events.users) == 0) & (np.diff(events.times_ms) < 1_800_000)
    pairs = events.items[:-1][near], events.items[1:][near]
    own = log.clusters[pairs[0]] == log.clusters[pairs[1]]
    rng = np.random.default_rng(0)
    anywhere = rng.integers(_ITEMS, size=(2, 5000))
    cosine = [float((units[a] * units[b]).sum(axis=1).mean()) for a, b in (pairs, anywhere)]
    assert cosine[0] > cosine[1] + 0.2
    assert own.mean() > 3 * (log.clusters[anywhere[0]] == log.clusters[anywhere[1]]).mean()


def test_a_drawn_log_is_trained_and_published(tmp_path: Path) -> None:
    """The project file beside it makes a verified bundle, whose LED finds far more than popularity does."""
    _run("-m", "loadtest.draw_log", "--items", str(_ITEMS), "--out", str(tmp_path / "log"))
    assert pq.ParquetFile(tmp_path / "log/events.parquet").metadata.num_rows > 10 * _ITEMS
    train = "from shortlist_training.cli import main; main()"
    places = ("--runs", str(tmp_path / "runs"), "--bundles", str(tmp_path), "--version", "v1")
    _run("-c", train, "run", str(tmp_path / "log/project.toml"), *places)
    bundle = tmp_path / f"drawn-{_ITEMS}/v1"
    verify_bundle(bundle)
    models = json.loads((tmp_path / f"runs/drawn-{_ITEMS}/metrics.json").read_text())["models"]
    assert models["led"]["recall@20"]["mean"] > 1.5 * models["popularity"]["recall@20"]["mean"]
    given = of_bundle(bundle, "led", "", 50)
    assert 0.97 * _ITEMS < len(given.vectors) <= _ITEMS  # a few are known to held-out users only
    assert given.vectors.shape[1] == 101
    assert given.queries.shape == (50, 101)


def test_a_project_file_names_the_sources_that_are_asked_for(tmp_path: Path) -> None:
    """Training reads it: LED alone unless asked, the others with settings whose candidates a million items allow."""
    for sources in ((), (SourceName.TWO_TOWER,), tuple(SourceName)):
        (tmp_path / "project.toml").write_text(project(1_000_000, 631_579, sources))
        read = LoadedProject.read(tmp_path / "project.toml").project
        assert read.sources() == sources
        if read.pdn is not None:
            assert 20 * 1_000_000 * (read.pdn.by_log + read.pdn.by_profile) * (read.pdn.folds + 1) < 3e9


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
