"""The run directory: what each step leaves for the next, and whether that still fits the project file.

`<runs>/<name>/` holds parquet tables, .npy and .npz arrays (no pickle), and one `<step>.done` per finished step. A mark
holds a hash of the step's settings, of the log's content, and of the marks of the steps it builds on: it is good as
long as these are the same, so that a finished step is not done again.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shortlist_training.config import LoadedProject
from shortlist_training.errors import MissingStepError
from shortlist_training.records import Cost, IngestReport

LED = "train.led"
EVALUATE = "evaluate"
INGEST = "ingest"
COSTS = "costs.json"

SECTIONS: Mapping[str, tuple[str, ...]] = {
    INGEST: ("name", "seed", "interactions", "items", "users", "drop", "split"),
    LED: ("session", "cooccurrence", "svd", "led", "evaluate"),  # evaluate: the validation users' fold-in
    "train.two_tower": ("two_tower",),
    "train.pdn": ("pdn",),
    "train.item_interaction": ("item_interaction",),
    EVALUATE: (),
}

Record = TypeVar("Record")


def needs(step: str, sources: tuple[str, ...]) -> tuple[str, ...]:
    """List the steps that a step builds on; the sources begin at LED's vocabulary and PMI-SVD."""
    if step == EVALUATE:
        return (LED, *(f"train.{source}" for source in sources))
    return {INGEST: (), LED: (INGEST,)}.get(step, (LED,))


@dataclass(frozen=True)
class Workspace:
    """One run directory and the project that it belongs to."""

    folder: Path
    loaded: LoadedProject

    def path(self, name: str) -> Path:
        """Give a file's place in the run directory."""
        return self.folder / name

    def save_table(self, name: str, table: pa.Table) -> None:
        """Write a parquet table."""
        pq.write_table(table, self.path(name), compression="zstd")

    def table(self, name: str) -> pa.Table:
        """Read a parquet table."""
        return pq.read_table(self.path(name))

    def save_array(self, name: str, values: NDArray[Any]) -> None:
        """Write an array."""
        np.save(self.path(name), values, allow_pickle=False)

    def array(self, name: str) -> NDArray[Any]:
        """Read an array."""
        loaded: NDArray[Any] = np.load(self.path(name), allow_pickle=False)
        return loaded

    def save_arrays(self, name: str, values: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays by name into one .npz file."""
        np.savez(self.path(name), **values)  # type: ignore[arg-type]  # the stubs take a name for an option

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Read what `save_arrays` wrote."""
        with np.load(self.path(name), allow_pickle=False) as loaded:
            return {key: loaded[key] for key in loaded.files}

    def save_json(self, name: str, value: object) -> None:
        """Write anything that msgspec can encode, indented."""
        self.path(name).write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def json(self, name: str, kind: type[Record]) -> Record:
        """Read what `save_json` wrote."""
        return msgspec.json.decode(self.path(name).read_bytes(), type=kind)

    def begin(self, step: str) -> None:
        """Make the directory and take back this step's mark, since its files are about to change."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path(f"{step}.done").unlink(missing_ok=True)

    def finish(self, step: str) -> None:
        """Mark a step done with the settings and the data that it was done with."""
        self.path(f"{step}.done").write_text(self._expected(step) + "\n", encoding="utf-8")

    def is_done(self, step: str) -> bool:
        """Whether a step and all that it builds on are done, with today's settings and the ingested data."""
        mark = self.path(f"{step}.done")
        if not mark.is_file() or not all(self.is_done(need) for need in self._needs(step)):
            return False
        return mark.read_text(encoding="utf-8").strip() == self._expected(step)

    def require(self, step: str) -> None:
        """Check that a step is done, with today's settings; `MissingStepError` says which command to run."""
        command = step.split(".", maxsplit=1)[0]
        mark = self.path(f"{step}.done")
        if not mark.is_file():
            message = (
                f"{self.folder} has no finished {command} step; run 'shortlist-train {command}' with this project first"
            )
            raise MissingStepError(message)
        for need in self._needs(step):
            self.require(need)
        if mark.read_text(encoding="utf-8").strip() != self._expected(step):
            message = f"the project file has changed since the {step} step; run 'shortlist-train {command}' again"
            raise MissingStepError(message)

    def costs(self) -> dict[str, Cost]:
        """Give what each step cost when it was last done."""
        return self.json(COSTS, dict[str, Cost]) if self.path(COSTS).is_file() else {}

    def save_cost(self, step: str, cost: Cost) -> None:
        """Remember what a step cost."""
        self.save_json(COSTS, {**self.costs(), step: cost})

    def _needs(self, step: str) -> tuple[str, ...]:
        return needs(step, self.loaded.project.sources())

    def _expected(self, step: str) -> str:
        settings = {name: getattr(self.loaded.project, name) for name in SECTIONS[step]}
        digest = hashlib.sha256(msgspec.json.encode([step, settings]))
        if step == INGEST:
            digest.update(self.json("ingest.json", IngestReport).fingerprint.encode())
        for need in self._needs(step):
            digest.update(self._expected(need).encode())
        return digest.hexdigest()
