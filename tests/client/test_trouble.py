"""A server that is killed, restarted, reloaded or overloaded, as its caller sees it."""

import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from running_server import ROOT, RunningServer, eventually

from index_store.publish import publish
from shortlist.client import Client, OverloadedError, ShortlistError, UnavailableError
from tiny_bundle import POLICY
from tiny_sources import full_content

Start = Callable[..., RunningServer]
_S = 10.0


class _Callers:
    """Threads that call without pause until the block ends, and count what comes back."""

    def __init__(self, client: Client, threads: int = 4) -> None:
        self._client = client
        self._ending = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self.words: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._client.retrieve("FR", k=10)
                self.outcomes["OK"] += 1
            except ShortlistError as error:
                self.outcomes[type(error).__name__] += 1
                self.words.append(str(error))

    def wait_for_more(self, count: int) -> None:
        """Wait until `count` more good answers have come."""
        wanted = self.outcomes["OK"] + count
        eventually(lambda: self.outcomes["OK"] >= wanted)


def test_a_killed_worker_costs_no_call(start: Start) -> None:
    """What a dying worker had is sent again by the channel, and its connections move: every call is answered."""
    with start() as server:
        server.wait_until_serving()
        # so many that none of them is at the other worker hardly ever happens
        with Client(server.address, connections=16, timeout_s=_S) as client, _Callers(client) as callers:
            callers.wait_for_more(100)
            old = server.workers()
            old[0].kill()
            eventually(lambda: len({each.pid for each in server.workers()} - {each.pid for each in old}) == 1)
            callers.wait_for_more(300)
        assert not callers.words


def test_a_reload_costs_no_call(start: Start, tmp_path: Path) -> None:
    """The hand-over to another version is not seen by a caller."""
    root = tmp_path / "bundles"
    publish(full_content(1), root=root, name="tiny", version="v1", policy=POLICY)
    with start(bundle_root=root) as server:
        server.wait_until_serving()
        with Client(server.address, timeout_s=_S) as client, _Callers(client) as callers:
            callers.wait_for_more(100)
            publish(full_content(2), root=root, name="tiny", version="v2", policy=POLICY)
            server.signal(signal.SIGHUP)
            server.wait_for_log(r"serving on .*tiny/v2 \(reload\)")
            eventually(lambda: client.serving_info(timeout_s=_S).bundle_version == "v2")
            callers.wait_for_more(100)
        assert set(callers.outcomes) == {"OK"}


def test_a_restarted_server_is_found_again(start: Start) -> None:
    """While nobody listens calls end with UnavailableError within their time; the same client then goes on."""
    with start() as server:
        server.wait_until_serving()
        port = int(server.address.rpartition(":")[2])
        client = Client(server.address, timeout_s=_S)
        client.retrieve("FR", k=3)
    with client, pytest.raises(UnavailableError):
        client.retrieve("FR", k=3)
    with Client(f"127.0.0.1:{port}", timeout_s=_S) as client:
        with pytest.raises(UnavailableError):
            client.retrieve("FR", k=3)
        with start(port=port) as server:
            client.wait_until_serving()
            assert len(client.retrieve("FR", k=3)) == 3


def test_an_overloaded_server_refuses_at_once(start: Start) -> None:
    """More calls than a worker takes end with OverloadedError, which is not sent again; afterwards all is well."""
    with start(workers=1, max_concurrent_rpcs=1, transport="native") as server:
        server.wait_until_serving()
        with Client(server.address, timeout_s=_S) as client:
            with _Callers(client, threads=16) as callers:
                eventually(lambda: callers.outcomes[OverloadedError.__name__])
                callers.wait_for_more(20)
            assert set(callers.outcomes) == {"OK", OverloadedError.__name__}
            assert len(client.retrieve("FR", k=3)) == 3


def test_the_example_ranks(server: RunningServer) -> None:
    """The ranking service of the examples answers over HTTP with what it ranked."""
    command = [sys.executable, "client/examples/ranking_service.py", "--shortlist", server.address, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            with urllib.request.urlopen(f"{url}/rank?country=FR&items=fr-0001,fr-0002&n=5", timeout=_S) as reply:  # noqa: S310 - http, ours
                lines = reply.read().decode().splitlines()
            assert len(lines) == 5
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{url}/rank?country=XX&items=a", timeout=_S)  # noqa: S310 - http, ours
        finally:
            process.terminate()
