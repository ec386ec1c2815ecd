"""All peers by the name that `--only` takes, in the order of the table."""

from collections.abc import Callable, Mapping

from loadtest.peers.afternoon import AfternoonPeer
from loadtest.peers.milvus import MilvusPeer
from loadtest.peers.peer import Peer
from loadtest.peers.pgvector import PgvectorPeer
from loadtest.peers.ray import RayPeer
from loadtest.peers.redis import RedisPeer
from loadtest.peers.shortlist import ShortlistPeer
from loadtest.peers.triton import TritonPeer

PEERS: Mapping[str, Callable[[], Peer]] = {
    "native": lambda: ShortlistPeer("native"),
    "grpcio": lambda: ShortlistPeer("grpcio"),
    "afternoon": AfternoonPeer,
    "redis": RedisPeer,
    "pgvector": PgvectorPeer,
    "milvus": MilvusPeer,
    "triton": TritonPeer,
    "ray": RayPeer,
}
