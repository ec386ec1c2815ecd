"""`python -m loadtest.peers.ray_server`: our encoder and index as a deployment of Ray Serve, behind its gRPC proxy."""

import json
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import ray
from ray import serve
from ray.serve.config import gRPCOptions

from loadtest.peers.hosted import Hosted
from protos.retrieval.v1 import retrieval_pb2 as pb

_IN_FLIGHT = 64


class Retriever:
    """Named by the proto's method."""

    def __init__(self, bundle: str) -> None:
        self._hosted = Hosted(Path(bundle))

    async def Retrieve(self, request: pb.RetrieveRequest) -> pb.RetrieveResponse:  # noqa: N802
        """See the proto; only history and k are looked at."""
        asked = np.array([each.item_id for each in request.history], dtype=np.uint64)
        ids, scores = self._hosted.answer(asked, request.k)
        found = zip(ids.tolist(), scores.tolist(), strict=True)
        return pb.RetrieveResponse(candidates=[pb.Candidate(item_id=item, score=score) for item, score in found])


def main() -> None:
    """Take JSON: bundle, replicas, grpc_port, http_port."""
    asked = json.loads(sys.argv[1])
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ray.init(
        address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1",
        object_store_memory=100_000_000,
    )  # fmt: skip
    servicer = "protos.retrieval.v1.retrieval_pb2_grpc.add_RetrievalServicer_to_server"
    serve.start(
        http_options={"host": "127.0.0.1", "port": asked["http_port"]},
        grpc_options=gRPCOptions(port=asked["grpc_port"], grpc_servicer_functions=[servicer], enable_reflection=False),
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    deployment = serve.deployment(
        Retriever,
        num_replicas=asked["replicas"],
        max_ongoing_requests=_IN_FLIGHT,
        ray_actor_options={"num_cpus": 0.5},
    )
    serve.run(deployment.bind(asked["bundle"]))
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
