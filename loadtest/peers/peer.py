"""What every peer of the bench offers: facts for the reader, variants to tune, a store to start, a server to ask."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from loadtest.peers.job import COUNTRY, Job, K
from protos.retrieval.v1 import retrieval_pb2 as pb

_STEP = 1.15
RETRIEVE = "/retrieval.v1.Retrieval/Retrieve"


class UnavailableError(Exception):
    """A peer that cannot be had here; says why."""


@dataclass(frozen=True)
class Facts:
    """What the table says of a peer beside figures. `packages`: distributions whose versions are stated."""

    title: str
    licence: str
    packages: Sequence[str]
    start: str
    filters: str
    lacks: str


@dataclass(frozen=True)
class Variant:
    """One way to lay the items out. `efforts`: rising values of the knob that buys recall; `knob` names it."""

    name: str
    knob: str
    efforts: Sequence[int]
    choices: Sequence[Mapping[str, Any]] = ({},)
    """What does not change recall, such as the number of processes: the one with the most calls per second is taken."""


def efforts(first: int, last: int) -> Sequence[int]:
    """Values of a knob in steps of 15 %: fine enough that no peer pays for much more recall than asked."""
    count = math.ceil(math.log(last / first, _STEP))
    rising = {min(last, round(first * _STEP**number)) for number in range(count + 1)}
    return tuple(sorted(rising))


@dataclass(frozen=True)
class Place:
    """Where a run keeps things: the job, and directories for environments, data and logs."""

    job: Job
    environments: Path
    data: Path
    console: Console


@dataclass(frozen=True)
class Serving:
    """A running server: where it listens, and the processes at the top of its trees."""

    address: str
    pids: Sequence[int]


Answers = tuple[Sequence[NDArray[np.uint64]], Sequence[NDArray[np.float32]]]
"""Item ids and scores of each reply."""


@dataclass(frozen=True)
class Wire:
    """How a peer is asked: method path, histories to payloads, replies to ids and scores."""

    method: str
    encode: Callable[[Job, Sequence[int]], Sequence[bytes]]
    decode: Callable[[Sequence[bytes]], Answers]


class Peer(Protocol):
    """One column of the comparison."""

    @property
    def facts(self) -> Facts:
        """What is said of it."""
        ...

    def wire_in(self, place: Place) -> Wire:
        """How it is asked."""
        ...

    def variants(self, place: Place) -> Sequence[Variant]:
        """List the variants, those that a user would try first first; installs what is needed, or UnavailableError."""
        ...

    def versions(self, place: Place) -> Mapping[str, str]:
        """Versions of what `facts.packages` names."""
        ...

    def store(self, place: Place, variant: Variant) -> AbstractContextManager[Any]:
        """Start what holds the items, built if it was not, and give what `serve` needs of it."""
        ...

    def serve(
        self,
        place: Place,
        variant: Variant,
        store: Any,  # noqa: ANN401 - each its own
        effort: int,
        choice: Mapping[str, Any],
    ) -> AbstractContextManager[Serving]:
        """Start the gRPC server over the store; it answers when the context begins."""
        ...


class AskedByProto:
    """For peers that serve the Retrieval proto."""

    def wire_in(self, place: Place) -> Wire:  # noqa: ARG002
        """Give the generated classes."""
        return RETRIEVAL


def retrieve_payloads(job: Job, users: Sequence[int]) -> Sequence[bytes]:
    """Encode RetrieveRequests of those users."""
    return [
        pb.RetrieveRequest(
            country=COUNTRY,
            history=[pb.Interaction(item_id=int(item)) for item in job.item_ids[job.histories[user]]],
            k=K,
        ).SerializeToString()
        for user in users
    ]


def retrieve_answers(replies: Sequence[bytes]) -> Answers:
    """Decode RetrieveResponses."""
    parsed = [pb.RetrieveResponse.FromString(reply).candidates for reply in replies]
    return (
        [np.array([each.item_id for each in one], dtype=np.uint64) for one in parsed],
        [np.array([each.score for each in one], dtype=np.float32) for one in parsed],
    )


RETRIEVAL = Wire(RETRIEVE, retrieve_payloads, retrieve_answers)
