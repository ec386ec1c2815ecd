"""The job that every peer does: a history of 20 items, LED's encoder, the best 100 of N items by inner product.

Kept as plain files, so that a peer can load them in an environment of its own:

    vectors.npy         (N, D) float32, LED's items; the job has no item bias
    item_ids.npy        (N,) uint64, below 2**63: PostgreSQL and Milvus know only signed integers
    led.onnx, led.json  the encoder and its spec
    histories.npy       (Q, 20) int64 rows, oldest first
    users.npy           (Q, D) float32, what the encoder gives for them, without the bias' component
    bars.npy            (JUDGED,) float32, the exact score of the 100th best item
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoder import OnnxEncoder
from models.led import led_inputs
from models.spec import decode_spec

COUNTRY = "XX"
K = 100
HISTORY = 20
JUDGED = 500
"""So many of the users choose the settings of all peers, and recall is reported of the same: so it is equal."""


@dataclass(frozen=True)
class Job:
    """The files of one job, opened when first asked for."""

    directory: Path

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """(N, D), mapped: all processes share its pages."""
        return _load(self.directory / "vectors.npy", mapped=True)

    @cached_property
    def item_ids(self) -> NDArray[np.uint64]:
        """(N,), by row."""
        return _load(self.directory / "item_ids.npy")

    @cached_property
    def histories(self) -> NDArray[np.int64]:
        """(Q, 20) rows."""
        return _load(self.directory / "histories.npy")

    @cached_property
    def users(self) -> NDArray[np.float32]:
        """(Q, D)."""
        return _load(self.directory / "users.npy")

    @cached_property
    def bars(self) -> NDArray[np.float32]:
        """(JUDGED,): an item belongs to the answer if its exact score is at least this."""
        return _load(self.directory / "bars.npy")


def _load(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    found: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None)
    return found


class Users:
    """Computes user vectors from item ids, as every server of this bench does. Opened after the fork."""

    def __init__(self, job: Job) -> None:
        spec = decode_spec((job.directory / "led.json").read_bytes())
        self._encoder = OnnxEncoder.open(job.directory / "led.onnx", spec)
        self._items = job.vectors
        self._rows = RowsById(job.item_ids)

    def vector(self, item_ids: NDArray[np.uint64]) -> NDArray[np.float32]:
        """(D,) of a history of ids; those that the catalogue does not have are skipped."""
        inputs = led_inputs(self._items, [self._rows.known(item_ids)], len(item_ids) or 1)
        # the last component meets the item bias, which this job does not have
        user: NDArray[np.float32] = self._encoder.encode(inputs)[0, :-1]
        return user


class RowsById:
    """Looks up the rows of item ids."""

    def __init__(self, item_ids: NDArray[np.uint64]) -> None:
        self._order = np.argsort(item_ids)
        self._sorted = item_ids[self._order]

    def known(self, item_ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Rows of those ids that the catalogue has, in their order."""
        places = np.minimum(np.searchsorted(self._sorted, item_ids), len(self._sorted) - 1)
        found: NDArray[np.int64] = self._order[places[self._sorted[places] == item_ids]]
        return found
