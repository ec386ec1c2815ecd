"""The reproduction harness: what is run again and what is not, what is left behind, and what the command prints."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from shortlist_training.cli import app
from shortlist_training.errors import DataError
from shortlist_training.reproduction import catalog
from shortlist_training.reproduction.parts import Cell, Curve, Part, PartContext, PartResult, Plot, ResultTable
from shortlist_training.reproduction.report import console_table, write_costs, write_report
from shortlist_training.reproduction.runner import Finished, kept_results, run_parts


def result(value: float) -> PartResult:
    cells = (Cell(value, value - 0.1, value + 0.1), "0.375", None)
    table = ResultTable("Toy table", "Two users, seed 7.", ("ours", "paper", "other"), (("LED", cells),))
    curve = Curve("LED", (1.0, 10.0), (value, value), (0.0, 0.0), (1.0, 1.0))
    plots = (
        Plot("toy-curve", "A curve", "N", "drop", log_x=True, curves=(curve,)),
        Plot("toy-places", "A curve over names", "told", "found", curves=(curve,), x_names=("0", "20+")),
        Plot("toy-map", "A map", matrix=((0.0, 1.0), (1.0, 0.0)), matrix_labels=("a", "b")),
    )
    return PartResult((table,), plots, ("The claim holds.",))


class Toy:
    """Parts that count how often they run, and their data folder."""

    def __init__(self, folder: Path) -> None:
        self.data, self.out = folder / "data", folder / "out"
        (self.data / "toy").mkdir(parents=True)
        (self.data / "toy/log.csv").write_text("1,2\n", encoding="utf-8")
        self.runs: list[str] = []

    def part(self, name: str, **changes: Any) -> Part:
        part = Part(f"toy/{name}", f"Toy {name}", ("toy/log.csv",), {"dim": 3}, self.runner(name))
        return replace(part, **changes)

    def runner(self, name: str) -> Callable[[PartContext], PartResult]:
        def run(context: PartContext) -> PartResult:
            self.runs.append(name)
            context.progress("epochs", 1, 2)
            (context.work / "checkpoint").write_text("half", encoding="utf-8")
            return result(len(self.runs))

        return run

    def run(self, *parts: Part, seed: int = 7) -> tuple[list[Finished], list[bool]]:
        kept: list[bool] = []
        finished = run_parts(
            parts,
            data=self.data,
            out=self.out,
            seed=seed,
            threads=1,
            progress=lambda *_: None,
            on_done=lambda _, was_kept: kept.append(was_kept),
        )
        return finished, kept


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def test_a_finished_part_is_not_run_again(toy: Toy) -> None:
    """The second run takes the result, with what it cost, from the first one's file."""
    first, _ = toy.run(toy.part("a"))
    second, kept = toy.run(toy.part("a"))
    assert second == first
    assert kept == [True]
    assert toy.runs == ["a"]
    assert first[0].result == result(1.0)


@pytest.mark.parametrize("change", ["settings", "revision", "seed", "input"])
def test_what_decides_the_result_is_in_the_key(toy: Toy, change: str) -> None:
    """A changed setting, revision, seed or input file runs the part again; the old result stays beside the new."""
    toy.run(toy.part("a"))
    changes: dict[str, Any] = {"settings": {"settings": {"dim": 4}}, "revision": {"revision": 2}}.get(change, {})
    if change == "input":
        (toy.data / "toy/log.csv").write_text("1,3\n", encoding="utf-8")
    _, kept = toy.run(toy.part("a", **changes), seed=8 if change == "seed" else 7)
    assert kept == [False]
    assert len(list((toy.out / "toy/a").glob("*.json"))) == 2


def test_a_missing_input_is_named_before_anything_runs(toy: Toy) -> None:
    """Of two parts the second lacks its file: neither runs, and the message has the path."""
    with pytest.raises(DataError, match=r"toy/b needs .*toy/absent\.csv.*--data is the folder"):
        toy.run(toy.part("a"), toy.part("b", inputs=("toy/absent.csv",)))
    assert toy.runs == []


def test_an_interrupted_part_does_not_count_as_finished(toy: Toy) -> None:
    """After Ctrl-C in the second part the first is kept, the second starts anew and finds its work folder."""

    def interrupted(context: PartContext) -> PartResult:
        toy.part("b").run(context)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy.run(toy.part("a"), toy.part("b", run=interrupted))
    assert list((toy.out / "toy/b").glob("*.json")) == []
    found: list[bool] = []

    def resumed(context: PartContext) -> PartResult:
        found.append((context.work / "checkpoint").is_file())
        return result(0.5)

    _, kept = toy.run(toy.part("a"), toy.part("b", run=resumed))
    assert kept == [True, False]
    assert found == [True]


def test_a_half_written_result_does_not_count_as_finished(toy: Toy) -> None:
    """A crash while the result is written leaves a draft, which is not read."""
    (done,), _ = toy.run(toy.part("a"))
    path = toy.out / "toy/a" / f"{done.key}.json"
    path.rename(path.with_suffix(".draft"))
    _, kept = toy.run(toy.part("a"))
    assert kept == [False]


def test_report_has_tables_remarks_plots_and_costs(toy: Toy) -> None:
    """report.md names the command, shows both numbers and their protocol, and its plots are PNG files beside it."""
    finished, _ = toy.run(toy.part("a"))
    report = write_report(finished, toy.out, "shortlist-train reproduce toy")
    text = report.read_text(encoding="utf-8")
    for line in (
        "Made by `shortlist-train reproduce toy`.",
        "| LED | 1.0000 [0.900, 1.100] | 0.375 | - |",
        "Two users, seed 7.",
        "![A curve](toy-curve.png)",
        "- The claim holds.",
        "| part | seed | wall s | CPU s | peak MB |",
    ):
        assert line in text
    for name in ("toy-curve", "toy-places", "toy-map"):
        assert (toy.out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert console_table(finished[0].result.tables[0]).row_count == 1


def test_a_kept_result_of_before_inputs_were_kept_is_still_read(toy: Toy) -> None:
    """Without the field the data sets are unknown, which the table of costs shows as a dash."""
    (done,), _ = toy.run(toy.part("a"))
    path = toy.out / "toy/a" / f"{done.key}.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    assert fields.pop("inputs") == ["toy/log.csv"]
    path.write_text(json.dumps(fields), encoding="utf-8")
    (old,) = kept_results(toy.out)
    assert old == msgspec.structs.replace(done, inputs=())
    costs = write_costs([old, msgspec.structs.replace(done, name="other/b")], toy.out)
    assert costs is not None
    assert "| toy | a | - | 7 |" in costs.read_text(encoding="utf-8")


def test_costs_have_every_part_of_several_systems(toy: Toy) -> None:
    """One row per part and seed with its data sets, the newest result only, and one sum per system."""
    toy.run(toy.part("a"), toy.part("b"))
    assert write_costs(kept_results(toy.out), toy.out) is None
    toy.run(replace(toy.part("c"), name="other/c"), toy.part("a", settings={"dim": 4}))
    kept = kept_results(toy.out)
    assert [part.name for part in kept] == ["other/c", "toy/a", "toy/b"]
    path = write_costs(kept, toy.out)
    assert path is not None
    rows = [line.split(" | ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    assert [row[:3] for row in rows[:3]] == [["| other", "c", "toy"], ["| toy", "a", "toy"], ["| toy", "b", "toy"]]
    assert [row[:2] for row in rows[3:]] == [["| other", "all"], ["| toy", "all"]]
    assert float(rows[4][4]) == pytest.approx(sum(part.wall_s for part in kept[1:]), abs=0.11)


def test_the_peak_is_that_of_the_part_alone(toy: Toy) -> None:
    """A small part after one that holds 200 MB reports less than it."""

    def greedy(_: PartContext) -> PartResult:
        held = bytearray(b"1") * (200 << 20)
        return result(len(held) / (200 << 20))

    (large, small), _ = toy.run(toy.part("a", run=greedy), toy.part("b"))
    assert small.peak_mb < large.peak_mb - 150


def invoke(toy: Toy, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["reproduce", *arguments, "--data", str(toy.data), "--out", str(toy.out)], env={"COLUMNS": "200"}
    )


def one_line(outcome: Result) -> str:
    lines = [line for line in outcome.stderr.splitlines() if line]
    assert len(lines) == 1, outcome.stderr
    assert "Traceback" not in outcome.output
    return lines[0]


@pytest.fixture
def command(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Let the catalogue have one system, toy, with the parts a and b."""
    monkeypatch.setattr(catalog, "MODULES", {"toy": "toy"})
    parts = [toy.part("a"), toy.part("b")]
    monkeypatch.setattr("shortlist_training.reproduction.command.parts_of", lambda _: parts)
    return toy


@pytest.mark.parametrize("system", ["toy", "all"])
def test_the_command_runs_all_parts_and_writes_the_report(command: Toy, system: str) -> None:
    """Tables and remarks are printed per part; a second call says that the parts were kept."""
    first = invoke(command, system)
    assert first.exit_code == 0, first.output
    for text in ("toy/a took", "toy/b took", "Toy table", "Two users, seed 7.", "- The claim holds.", "report: "):
        assert text in first.stdout
    again = invoke(command, system)
    assert "toy/a kept from an earlier run" in again.stdout
    assert command.runs == ["a", "b"]
    assert f"reproduce {system} --data" in (command.out / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["b", "toy/b"])
def test_only_runs_one_part(command: Toy, name: str) -> None:
    """--only takes the part's name with or without its system."""
    assert invoke(command, "toy", "--only", name).exit_code == 0
    assert command.runs == ["b"]


def test_the_seed_reaches_the_part(command: Toy) -> None:
    """--seed is in the kept result."""
    assert invoke(command, "toy", "--only", "a", "--seed", "11").exit_code == 0
    (path,) = (command.out / "toy/a").glob("*.json")
    assert json.loads(path.read_text(encoding="utf-8"))["seed"] == 11


def test_unknown_systems_and_parts_are_usage_errors(command: Toy) -> None:
    """One line that lists what there is, exit code 2."""
    unknown = invoke(command, "als")
    assert unknown.exit_code == 2
    assert "there is no system 'als'; choose toy or all" in one_line(unknown)
    part = invoke(command, "toy", "--only", "c")
    assert part.exit_code == 2
    assert "there is no part 'c'; choose one of toy/a, toy/b" in one_line(part)


def test_missing_data_exits_with_3(command: Toy) -> None:
    """A data folder without the file is one line that names it."""
    (command.data / "toy/log.csv").unlink()
    missing = invoke(command, "toy")
    assert missing.exit_code == 3
    assert "log.csv" in one_line(missing)
    assert command.runs == []


def test_every_catalogued_part_is_well_formed() -> None:
    """Names are unique and begin with their system, and the settings can be hashed."""
    for system in catalog.MODULES:
        names = [part.name for part in catalog.parts_of([system])]
        assert len(set(names)) == len(names) > 0
        assert all(name.startswith(f"{system}/") for name in names)
