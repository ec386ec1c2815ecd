"""All four systems from one log into one bundle: the run, its report, its determinism, and what it resumes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shop_run import invoke, run, write
from typer.testing import Result

from index_store.bundle import load_bundle, verify_bundle
from index_store.manifest import read_manifest
from shortlist_training.config import LoadedProject
from shortlist_training.steps.learning import Ingested, load_sources
from shortlist_training.workspace import Workspace


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, shop_in: Callable[[Path], Any]) -> dict[str, Any]:
    """Run everything once."""
    shop = shop_in(tmp_path_factory.mktemp("shop"))
    write(shop)
    result = run(shop.folder, "first")
    return {"folder": shop.folder, "output": result.output}


def test_one_run_publishes_all_four_systems(published: dict[str, Any]) -> None:
    """The bundle has every source in every country, golden cases for each, and passes the index store's checks."""
    verify_bundle(published["folder"] / "b/shop/first")
    bundle = load_bundle(published["folder"] / "b/shop/first")
    for country in bundle.countries.values():
        assert country.two_tower is not None
        assert country.pdn is not None
        assert country.item_interaction is not None
    assert {case.source for case in bundle.source_golden} == {"two_tower", "pdn", "item_interaction"}
    assert any(case.features for case in bundle.source_golden)
    assert bundle.manifest.pdn_triggers == 6


def test_two_runs_with_one_seed_publish_the_same_files(published: dict[str, Any]) -> None:
    """Every file of two independent runs has the same hash."""
    run(published["folder"], "second")
    first, second = (read_manifest(published["folder"] / "b/shop" / version).files for version in ("first", "second"))
    assert first == second


def test_the_report_has_all_models_groups_and_costs(published: dict[str, Any]) -> None:
    """One row per model, recall by length and popularity, greedy retrieval's loss, and what each step cost."""
    run = published["folder"] / "first/shop"
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    models = ["popularity", "pmi-svd", "led", "two_tower", "pdn", "item_interaction", "ease"]
    assert list(metrics["models"]) == models
    strangers = {model for model, groups in metrics["by_history"].items() if "0" in groups}
    assert strangers == {"popularity", "pmi-svd", "led", "two_tower"}
    report = (run / "report.md").read_text(encoding="utf-8")
    for text in (
        "| Two-tower |",
        "| PDN |",
        "Recall@20 by history length",
        "Recall@20 by popularity",
        "PDN: what greedy retrieval loses",
        "| m | k 5 | k 10 |",
        "With the published m 6 and k 5",
    ):
        assert text in report
    assert (run / "pdn-greedy-loss.png").read_bytes().startswith(b"\x89PNG")
    grid = json.loads((run / "train_pdn.json").read_text(encoding="utf-8"))["greedy"]
    assert [one["lost"] for one in grid["losses"]][-1] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    for step in (
        "ingest",
        "train.led",
        "train.two_tower",
        "train.pdn",
        "train.item_interaction",
        "evaluate",
        "publish",
    ):
        assert f"\n| {step} |" in report
    assert "Training figures" in published["output"]


def test_sources_come_back_from_the_run_directory_as_they_were(published: dict[str, Any]) -> None:
    """Reloaded sources score held-out users finitely, each country's user with the own features."""
    work = Workspace(published["folder"] / "first/shop", LoadedProject.read(published["folder"] / "shop.toml"))
    ingested = Ingested(work)
    known = ingested.held_out("test").known[:3]
    assert known[0].features.keys() <= {"segment", "age"}
    for name, source in load_sources(ingested).items():
        scores = source.scores(known)
        assert scores.shape == (3, len(ingested.vocabulary)), name
        assert np.isfinite(scores).any()
        assert not np.isnan(scores).any()


def test_vectors_are_what_is_published_and_asked(published: dict[str, Any], tmp_path: Path) -> None:
    """Items' vectors are the bundle's of every country, held-out users' are as wide; other sources are refused."""
    folder = published["folder"]
    bundle = load_bundle(folder / "b/shop/first")

    def written(source: str) -> Result:
        return invoke(folder, "vectors", "--source", source, "--out", str(tmp_path / source), runs="first")

    for source in ("two_tower", "pdn"):
        assert written(source).exit_code == 0
        items, users = (np.load(tmp_path / source / name) for name in ("items.npy", "users.npy"))
        assert users.shape[1] == items.shape[1]
        assert len(users) > 1
        trained = {row.tobytes() for row in items}
        for country in bundle.countries.values():
            assert country.two_tower is not None
            assert country.pdn is not None
            vectors = country.two_tower.vectors if source == "two_tower" else country.pdn.item_vectors
            assert {np.asarray(row).tobytes() for row in vectors} <= trained
    refused = written("item_interaction")
    assert refused.exit_code == 2
    assert "use two_tower or pdn" in refused.stderr


def test_a_finished_source_is_not_trained_again(published: dict[str, Any]) -> None:
    """After a change of one section only that source and what builds on it are done again."""
    folder, runs = published["folder"], "first"
    again = invoke(folder, "train", runs=runs)
    assert again.stdout.count("is kept") == 4
    text = (folder / "shop.toml").read_text(encoding="utf-8")
    (folder / "shop.toml").write_text(text.replace('"by_log" = 8', '"by_log" = 9'), encoding="utf-8")
    changed = invoke(folder, "train", runs=runs)
    assert changed.exit_code == 0, changed.output
    assert changed.stdout.count("is kept") == 3
    assert "train.pdn took" in changed.stdout
    (folder / "shop.toml").write_text(text, encoding="utf-8")
    missing = invoke(folder, "publish", "--bundles", str(folder / "b"), runs=runs)
    assert missing.exit_code == 2
    assert "the project file has changed since the train.pdn step" in missing.stderr
