"""Our encoder and our index, for serving frameworks to host: loaded from the bundle that Shortlist serves itself."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_store.bundle import load_bundle
from loadtest.peers.job import COUNTRY


class Hosted:
    """What a framework calls. Opens the encoder at once, so make it in the process that answers."""

    def __init__(self, bundle: Path) -> None:
        loaded = load_bundle(bundle)
        country = loaded.countries[COUNTRY]
        self._catalog, self._led = country.catalog, country.led
        self._encoder = loaded.open_led()

    def answer(self, item_ids: NDArray[np.uint64], k: int) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Item ids and scores of the best k for a history of item ids."""
        rows = self._catalog.rows_of_ids(item_ids)
        users = self._led.encode(self._encoder, [rows[rows >= 0]])
        found = self._led.search(users, k)
        return self._catalog.item_ids[found.rows[0]], found.scores[0]
