"""The command line, end to end on a tiny log: steps, files, published bundle, errors and exit codes."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from index_store.bundle import verify_bundle
from index_store.errors import RecallUnderTarget
from index_store.manifest import read_manifest
from shortlist_training.cli import app
from shortlist_training.workspace import Workspace

ARRAYS = ("svd_vectors.npy", "led_vectors.npy", "led_biases.npy")


def invoke(folder: Path, step: str, *arguments: str, runs: str = "runs") -> Result:
    options = ["--runs", str(folder / runs)]
    if step in {"run", "publish"}:
        options += ["--bundles", str(folder / "bundles")]
    return CliRunner().invoke(app, [step, str(folder / "shop.toml"), *options, *arguments])


def one_line(result: Result) -> str:
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.output
    return lines[0]


def test_run_publishes_a_verified_bundle(shop: Any) -> None:
    """`run` does all steps, prints the tables, and leaves a bundle that the index store's own check accepts."""
    shop.write()
    result = invoke(shop.folder, "run", "--version", "v1")
    assert result.exit_code == 0, result.output
    for text in ("dropped: no user", "Interactions per country", "LED ", "Recall@20", "published"):
        assert text in result.stdout
    verify_bundle(shop.folder / "bundles/shop/v1")
    assert (shop.folder / "bundles/shop/CURRENT").read_text(encoding="utf-8").strip() == "v1"


def test_steps_resume_from_the_run_directory(shop: Any) -> None:
    """Each step alone leaves its files for the next; the report has every model and the protocol."""
    shop.write()
    for step in ("ingest", "train", "evaluate", "publish"):
        result = invoke(shop.folder, step)
        assert result.exit_code == 0, result.output
    run = shop.folder / "runs/shop"
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics["models"]) == ["popularity", "pmi-svd", "led", "ease"]
    for scores in metrics["models"].values():
        assert all(0 <= score["low"] <= score["mean"] <= score["high"] <= 1 for score in scores.values())
    report = (run / "report.md").read_text(encoding="utf-8")
    assert "| LED |" in report
    assert f"Test users: {metrics['test_users']}." in report
    assert json.loads((run / "ingest.json").read_text(encoding="utf-8"))["kept"] == len(shop.rows)
    (version,) = [path.name for path in (shop.folder / "bundles/shop").iterdir() if path.is_dir()]
    assert re.fullmatch(r"\d{8}T\d{6}Z", version)


@pytest.mark.parametrize("tuning", ["train", "project"])
def test_one_seed_gives_identical_vectors(shop: Any, tuning: str) -> None:
    """Two runs with one seed agree to the bit, another seed does not."""
    shop.settings["led"]["tuning"] = tuning
    shop.write()
    for runs in ("first", "second"):
        for step in ("ingest", "train"):
            assert invoke(shop.folder, step, runs=runs).exit_code == 0
    shop.settings["seed"] = 8
    shop.write()
    for step in ("ingest", "train"):
        assert invoke(shop.folder, step, runs="third").exit_code == 0
    arrays = {
        runs: [np.load(shop.folder / runs / "shop" / name) for name in ARRAYS] for runs in ("first", "second", "third")
    }
    for first, second in zip(arrays["first"], arrays["second"], strict=True):
        assert first.tobytes() == second.tobytes()
    assert arrays["first"][1].tobytes() != arrays["third"][1].tobytes()


def test_two_runs_with_one_seed_publish_the_same_files(shop: Any) -> None:
    """From the log to the graphs: every file of two independent runs has the same hash."""
    # a margin so wide that the clock decides nothing: which engine wins may differ from run to run, its files may not
    shop.settings["index"] = {"exact_below": 10, "recall_k": 10, "engines": ["hnsw", "scann"], "margin": 1e9}
    shop.write()
    listed = []
    for version in ("first", "second"):
        assert invoke(shop.folder, "run", "--version", version, runs=version).exit_code == 0
        listed.append(read_manifest(shop.folder / "bundles/shop" / version).files)
    assert listed[0] == listed[1]
    assert any(entry.path.endswith("index.bin") for entry in listed[0])


@pytest.mark.parametrize(("step", "needed"), [("train", "ingest"), ("evaluate", "train"), ("publish", "evaluate")])
def test_a_step_without_its_input_names_the_command(shop: Any, step: str, needed: str) -> None:
    """Asking for a step too early is a usage error that says which command comes first."""
    shop.write()
    result = invoke(shop.folder, step)
    assert result.exit_code == 2
    assert f"has no finished {needed} step; run 'shortlist-train {needed}'" in one_line(result)


def test_changed_settings_ask_for_the_step_again(shop: Any) -> None:
    """After a change of the seed the old ingest is not used silently; a change of [publish] needs nothing again."""
    work: Workspace = shop.workspace()
    assert invoke(shop.folder, "ingest").exit_code == 0
    shop.settings["publish"]["golden_k"] = 3
    shop.write()
    shop.workspace().require("ingest")
    shop.settings["seed"] = 9
    shop.write()
    result = invoke(shop.folder, "train")
    assert result.exit_code == 2
    assert "the project file has changed since the ingest step; run 'shortlist-train ingest' again" in one_line(result)
    assert work.path("ingest.done").is_file()


def test_ingesting_other_data_takes_back_what_was_made_of_the_old(shop: Any) -> None:
    """Ingesting the same log again keeps the training; another log invalidates it."""
    shop.write()
    for step in ("ingest", "train", "ingest"):
        assert invoke(shop.folder, step).exit_code == 0
    shop.workspace().require("train.led")
    shop.rows = shop.rows[:-1]
    shop.write()
    assert invoke(shop.folder, "ingest").exit_code == 0
    assert "run 'shortlist-train train'" in one_line(invoke(shop.folder, "evaluate"))


def test_a_finished_step_is_not_done_again(shop: Any) -> None:
    """`train` keeps what is finished with the same settings, and does it again when asked or when a setting changed."""
    shop.write()
    for step in ("ingest", "train"):
        assert invoke(shop.folder, step).exit_code == 0
    kept = invoke(shop.folder, "train")
    assert "train.led is kept" in kept.stdout
    assert "took" in invoke(shop.folder, "train", "--again").stdout
    shop.settings["led"]["epochs"] = 2
    shop.write()
    changed = invoke(shop.folder, "train")
    assert "is kept" not in changed.stdout


def test_project_errors_exit_with_2(shop: Any) -> None:
    """An unknown key is a usage error of one line."""
    shop.settings["colour"] = "red"
    shop.write()
    result = invoke(shop.folder, "run")
    assert result.exit_code == 2
    assert "colour" in one_line(result)


def test_bad_data_exits_with_3(shop: Any) -> None:
    """Unmapped values and data too small to split are data errors of one line."""
    shop.settings["split"]["min_items"] = 1000
    shop.write()
    result = invoke(shop.folder, "run")
    assert result.exit_code == 3
    assert "no validation users" in one_line(result)
    shop.settings["interactions"]["type"]["mapping"] = {"see": "VIEW"}
    shop.write()
    result = invoke(shop.folder, "run")
    assert result.exit_code == 3
    assert "'buy'" in one_line(result)


def test_pairs_too_rare_to_learn_from(shop: Any) -> None:
    """When min_count leaves no pair, the error names the setting."""
    shop.settings["cooccurrence"]["min_count"] = 10_000
    shop.write()
    result = invoke(shop.folder, "run")
    assert result.exit_code == 3
    assert "lower cooccurrence.min_count" in one_line(result)


def test_a_refused_bundle_exits_with_1(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the publisher refuses is one line with its reason, and nothing is published."""

    def refuse(*_: object, **__: object) -> Path:
        message = "country BE: reached 0.5"
        raise RecallUnderTarget(message)

    monkeypatch.setattr("shortlist_training.steps.publishing.publish", refuse)
    shop.write()
    result = invoke(shop.folder, "run")
    assert result.exit_code == 1
    assert "the bundle was refused: " in one_line(result)
    assert "country BE: reached 0.5" in one_line(result)
    assert not (shop.folder / "bundles").exists()


def test_help_documents_exit_codes() -> None:
    """--help of the program and of a step says what the exit codes mean."""
    for arguments in (["--help"], ["run", "--help"]):
        assert "0 done, 1 a step failed" in CliRunner().invoke(app, arguments).stdout


def test_a_version_is_published_once(shop: Any) -> None:
    """Publishing a version again, or under a name that is a path, is one line and changes nothing."""
    shop.write()
    assert invoke(shop.folder, "run", "--version", "v1").exit_code == 0
    again = invoke(shop.folder, "publish", "--version", "v1")
    assert again.exit_code == 1
    assert "published already" in one_line(again)
    assert invoke(shop.folder, "publish", "--version", "../v2").exit_code == 2
    assert [path.name for path in (shop.folder / "bundles/shop").iterdir() if path.is_dir()] == ["v1"]


def test_a_directory_that_cannot_be_made_exits_with_1(shop: Any) -> None:
    """When the run directory's place is a file, the system's reason is one line."""
    shop.write()
    (shop.folder / "runs").write_text("in the way", encoding="utf-8")
    result = invoke(shop.folder, "ingest")
    assert result.exit_code == 1
    assert "runs" in one_line(result)


def test_a_catalogue_too_large_for_ease_is_measured_without_it(shop: Any) -> None:
    """Above `ease_max_items` the table has no EASE row and the report says why."""
    shop.settings["evaluate"]["ease_max_items"] = 10
    shop.write()
    for step in ("ingest", "train", "evaluate"):
        assert invoke(shop.folder, step).exit_code == 0
    report = (shop.folder / "runs/shop/report.md").read_text(encoding="utf-8")
    assert "| EASE |" not in report
    assert "EASE is left out" in report


@pytest.mark.parametrize("version", [".hidden", "-v1", "a/b", "v1\n", "v" * 200])
def test_a_wrong_version_is_refused_before_anything_is_trained(shop: Any, version: str) -> None:
    """`run` checks the version first: nothing is left in the run directory."""
    shop.write()
    result = invoke(shop.folder, "run", "--version", version)
    assert result.exit_code == 2
    assert "--version" in one_line(result)
    assert not (shop.folder / "runs/shop/interactions.parquet").exists()
