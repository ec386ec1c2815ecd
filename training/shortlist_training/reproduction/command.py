"""What `shortlist-train reproduce` does: run the parts, show each one's tables as it finishes, write the report."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from shortlist_training.reproduction.catalog import only, parts_of, systems_of
from shortlist_training.reproduction.parts import Part, Progress
from shortlist_training.reproduction.report import console_table, write_costs, write_report
from shortlist_training.reproduction.runner import Finished, kept_results, run_parts


@dataclass(frozen=True)
class Request:
    """The command's arguments. `part`: the only part to run, or None for all of the system's."""

    system: str
    data: Path
    out: Path
    seed: int
    threads: int
    part: str | None

    def command(self) -> str:
        """Spell the command that asks for this."""
        options = {"--data": self.data, "--out": self.out, "--seed": self.seed, "--threads": self.threads}
        words = ["shortlist-train", "reproduce", self.system]
        words += [word for option, value in options.items() for word in (option, str(value))]
        return shlex.join([*words, *(["--only", self.part] if self.part else [])])


def wanted(request: Request) -> list[Part]:
    """List the parts that were asked for."""
    parts = parts_of(systems_of(request.system))
    return only(parts, request.part) if request.part else parts


def reproduce(request: Request, parts: Sequence[Part], console: Console, progress: Progress) -> Path:
    """Run what is not finished, print tables and remarks, write report and costs, and give the report's path."""

    def on_done(part: Finished, kept: bool) -> None:  # noqa: FBT001 - the runner's callback
        how = "kept from an earlier run" if kept else f"took {part.wall_s:.1f} s"
        console.print(f"[bold]{part.name}[/bold] {how}: {part.title}")
        for table in part.result.tables:
            console.print(console_table(table))
        for remark in part.result.remarks:
            console.print(f"- {remark}", markup=False, highlight=False)

    finished = run_parts(
        parts,
        data=request.data,
        out=request.out,
        seed=request.seed,
        threads=request.threads,
        progress=progress,
        on_done=on_done,
    )
    write_costs(kept_results(request.out), request.out)
    return write_report(finished, request.out, request.command())
