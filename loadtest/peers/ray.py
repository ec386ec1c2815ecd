"""Ray Serve hosting our encoder and index."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from loadtest.peers.bundle import PERCENTS, BundleStore, published
from loadtest.peers.environments import python_of, versions_in
from loadtest.peers.peer import RETRIEVAL, AskedByProto, Facts, Place, Serving, Variant
from loadtest.peers.processes import answers, free_port, started, wait_for

_NAME = "ray"
# its own "throughput optimized" mode, but for direct ingress, which gives every replica a port of its own
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
}
_CHOICES = [{"replicas": 1}, {"replicas": 2}]


class RayPeer(AskedByProto, BundleStore):
    """One node: a proxy, and replicas of one deployment."""

    facts = Facts(
        title="Ray Serve hosting encoder and index",
        licence="Apache-2.0",
        packages=("ray", "grpcio", "uvloop"),
        start="ray.init and serve.run in one process, no dashboard; gRPC proxy with the generated servicer; a "
        "deployment that loads Shortlist's bundle; RAY_SERVE_THROUGHPUT_OPTIMIZED",
        filters="what one writes",
        lacks="everything but hosting: each replica loads its own index; a call passes two processes",
    )

    def variants(self, place: Place) -> Sequence[Variant]:
        """The same bundles as Shortlist's."""
        python_of(place, _NAME)
        return [Variant("bundle", "recall %", PERCENTS, _CHOICES)]

    def versions(self, place: Place) -> Mapping[str, str]:
        """Look into its environment."""
        return versions_in(python_of(place, _NAME), self.facts.packages)

    @contextmanager
    def serve(
        self, place: Place, variant: Variant, store: None, effort: int, choice: Mapping[str, Any]
    ) -> Iterator[Serving]:
        """Start Ray, Serve and the deployment."""
        del variant, store
        port, log = free_port(), place.data / "ray.log"
        asked = {
            "bundle": str(published(place, effort)),
            "replicas": choice["replicas"],
            "grpc_port": port,
            "http_port": free_port(),
        }
        address = f"127.0.0.1:{port}"
        command = [python_of(place, _NAME), "-m", "loadtest.peers.ray_server", json.dumps(asked)]
        with started(command, log, env=_ENVIRONMENT) as process:
            wait_for("Ray Serve", answers(address, RETRIEVAL, place.job), process, log, seconds=180)
            yield Serving(address, [process.pid])
