"""Starts `loadtest.peers.front` in a store's own environment."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from loadtest.peers.environments import python_of
from loadtest.peers.peer import RETRIEVAL, Place, Serving
from loadtest.peers.processes import answers, free_port, started, wait_for


@contextmanager
def front(place: Place, store: str, options: Mapping[str, Any], processes: int) -> Iterator[Serving]:
    """Serve `loadtest.peers.stores.<store>` with `options` from so many processes."""
    address = f"127.0.0.1:{free_port()}"
    asked = {
        "job": str(place.job.directory),
        "store": store,
        "options": options,
        "address": address,
        "processes": processes,
    }
    log = place.data / f"front-{store}.log"
    command = [python_of(place, store), "-m", "loadtest.peers.front", json.dumps(asked)]
    with started(command, log) as process:
        wait_for(f"the front of {store}", answers(address, RETRIEVAL, place.job), process, log)
        yield Serving(address, [process.pid])
