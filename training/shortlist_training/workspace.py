"""The run directory: what each step leaves for the next, and whether that still fits the project file.

`<runs>/<name>/` holds parquet tables and .npy arrays (no pickle), and one `<step>.json` per finished step.
"""

import hashlib
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

STEPS = ("ingest", "train", "evaluate")
SECTIONS = {
    "ingest": ("name", "seed", "interactions", "items", "users", "drop", "split"),
    "train": ("session", "cooccurrence", "svd", "led", "evaluate"),  # evaluate: the validation users' fold-in
    "evaluate": (),
}

Record = TypeVar("Record")


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

    def save_json(self, name: str, value: object) -> None:
        """Write anything that msgspec can encode, indented."""
        self.path(name).write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def json(self, name: str, kind: type[Record]) -> Record:
        """Read what `save_json` wrote."""
        return msgspec.json.decode(self.path(name).read_bytes(), type=kind)

    def begin(self, step: str) -> None:
        """Make the directory and take back this step's and all later marks, since their files are about to change."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for later in STEPS[STEPS.index(step) :]:
            self.path(f"{later}.done").unlink(missing_ok=True)

    def finish(self, step: str) -> None:
        """Mark a step done with the settings that it was done with."""
        self.path(f"{step}.done").write_text(self._settings(step) + "\n", encoding="utf-8")

    def require(self, step: str) -> None:
        """Check that a step is done, with today's settings; `MissingStepError` says which command to run."""
        mark = self.path(f"{step}.done")
        if not mark.is_file():
            message = f"{self.folder} has no finished {step} step; run 'shortlist-train {step}' with this project first"
            raise MissingStepError(message)
        if mark.read_text(encoding="utf-8").strip() != self._settings(step):
            message = f"the project file has changed since the {step} step; run 'shortlist-train {step}' again"
            raise MissingStepError(message)

    def _settings(self, step: str) -> str:
        names = [name for done in STEPS[: STEPS.index(step) + 1] for name in SECTIONS[done]]
        settings = {name: getattr(self.loaded.project, name) for name in names}
        return hashlib.sha256(msgspec.json.encode(settings)).hexdigest()
