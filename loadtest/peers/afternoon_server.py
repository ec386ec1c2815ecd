"""`python -m loadtest.peers.afternoon_server`: what a good engineer writes in an afternoon, and no more.

grpc.aio on uvloop with generated classes, ONNX Runtime at one thread, hnswlib, as many processes as asked, each with an
index of its own.
"""

import json
import sys
from pathlib import Path

import hnswlib
import numpy as np
import uvloop

from loadtest.peers.front import in_processes, serve
from loadtest.peers.job import Job, Users
from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1 import retrieval_pb2_grpc as rpc

M, EF_CONSTRUCTION = 16, 200


class Afternoon(rpc.RetrievalServicer):
    """Encodes, searches, answers. Labels of the graph are item ids."""

    def __init__(self, job: Job, graph: Path, space: str, ef: int) -> None:
        self._users = Users(job)
        self._augmented = space == "l2"
        self._squares = float(np.einsum("nd,nd->n", job.vectors, job.vectors).max())
        self._index = hnswlib.Index(space=space, dim=job.vectors.shape[1] + self._augmented)
        self._index.load_index(str(graph))
        self._index.set_ef(ef)

    async def Retrieve(self, request: pb.RetrieveRequest, context: object) -> pb.RetrieveResponse:  # noqa: ARG002, N802
        """See the proto; only history and k are looked at."""
        user = self._users.vector(np.array([each.item_id for each in request.history], dtype=np.uint64))
        query = np.append(user, np.float32(0)) if self._augmented else user
        labels, distances = self._index.knn_query(query, k=request.k, num_threads=1)
        # distances are 1 - <u, v>, or |u|² + M² - 2 <u, v>
        scores = (self._squares + user @ user - distances[0]) / 2 if self._augmented else 1 - distances[0]
        found = zip(labels[0].tolist(), scores.tolist(), strict=True)
        return pb.RetrieveResponse(candidates=[pb.Candidate(item_id=item, score=score) for item, score in found])


def main() -> None:
    """Take JSON: job, graph, space, ef, address, processes."""
    asked = json.loads(sys.argv[1])

    def worker() -> None:
        servicer = Afternoon(Job(Path(asked["job"])), Path(asked["graph"]), asked["space"], asked["ef"])
        uvloop.run(serve(asked["address"], servicer, raw_replies=False))

    in_processes(asked["processes"], worker)


if __name__ == "__main__":
    main()
