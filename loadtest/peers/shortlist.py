"""Shortlist itself: `shortlist serve` over a bundle that was published for the target."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loadtest.peers.bundle import NAME, PERCENTS, BundleStore, published
from loadtest.peers.environments import versions_in
from loadtest.peers.peer import RETRIEVAL, AskedByProto, Facts, Place, Serving, Variant
from loadtest.peers.processes import answers, free_port, started, wait_for

_SETTINGS = """[bundle]
root = "{root}"
name = "{name}"

[server]
transport = "{transport}"
workers = {workers}
drain_delay_s = 0

[profiles.default]
sources = [{{ name = "led" }}]
fusion = "single"
"""


class ShortlistPeer(AskedByProto, BundleStore):
    """`transport`: "native" or "grpcio"."""

    def __init__(self, transport: str) -> None:
        self._transport = transport
        self.facts = Facts(
            title=f"Shortlist, {transport}",
            licence="Apache-2.0",
            packages=("shortlist", "grpcio", "pygrpc-native", "hnswlib", "scann"),
            start=f"shortlist serve, server.transport = {transport}; indices loaded once, workers forked",
            filters="merchants, categories, price, up to 20,000 excluded items; exactly k as long as k are eligible",
            lacks="no new items between bundles; one machine holds a country whole",
        )

    def variants(self, place: Place) -> Sequence[Variant]:
        """The index that publishing chooses for each target."""
        del place
        choices = [{"workers": 1}, {"workers": 2}]
        return [Variant("bundle", "recall %", PERCENTS, choices)]

    def versions(self, place: Place) -> Mapping[str, str]:
        """Look into this very environment."""
        del place
        return versions_in(Path(sys.executable), self.facts.packages)

    @contextmanager
    def serve(
        self, place: Place, variant: Variant, store: None, effort: int, choice: Mapping[str, Any]
    ) -> Iterator[Serving]:
        """Serve the version that was published for `effort` percent."""
        del variant, store
        version = published(place, effort)
        root = version.parents[1]
        (root / NAME / "CURRENT").write_text(version.name + "\n", encoding="utf-8")
        config = place.data / "shortlist.toml"
        settings = _SETTINGS.format(root=root, name=NAME, transport=self._transport, workers=choice["workers"])
        config.write_text(settings, encoding="utf-8")
        port, log = free_port(), place.data / f"shortlist-{self._transport}.log"
        command = [
            Path(sys.executable).parent / "shortlist", "serve", "--config", config, "--port", str(port),
            "--metrics-port", "0",
        ]  # fmt: skip
        address = f"127.0.0.1:{port}"
        with started(command, log) as process:
            wait_for("shortlist", answers(address, RETRIEVAL, place.job), process, log, seconds=300)
            yield Serving(address, [process.pid])
