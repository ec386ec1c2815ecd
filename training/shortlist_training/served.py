"""Asks a running server for users' candidates, as a ranking service would: the one module here that speaks gRPC."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub
from shortlist_training.errors import ServerError
from shortlist_training.histories import History
from shortlist_training.timelines import Rows

Request = TypeVar("Request")
Response = TypeVar("Response")

BATCH = 64
TIMEOUT_S = 60.0
NOT_FOUND = -1


@dataclass(frozen=True)
class Serving:
    """What a server serves: the bundle's name and version, its trained sources, and each index's recall by source."""

    bundle: str
    version: str
    sources: tuple[str, ...]
    countries: frozenset[str]
    recall: dict[str, float]


class ServedRetrieval:
    """A server at `address` ("host:port"), asked about items by their row: item r has the id item_ids[r], (I,) uint64.

    Every call raises `ServerError` with the server's own words where it refuses or cannot be reached.
    """

    def __init__(self, address: str, item_ids: NDArray[np.uint64]) -> None:
        self._address = address
        self._stub = RetrievalStub(grpc.insecure_channel(address))  # type: ignore[no-untyped-call]  # generated code
        self._item_ids = item_ids
        self._order = np.argsort(item_ids)

    def serving(self) -> Serving:
        """Ask what is served."""
        info = self._info
        every = [source for country in info.countries for source in country.sources]
        names = tuple(dict.fromkeys(source.source for source in every))
        recall = {name: min(source.recall for source in every if source.source == name) for name in names}
        countries = frozenset(country.country for country in info.countries)
        return Serving(info.bundle_name, info.bundle_version, names, countries, recall)

    def rank(self, users: Sequence[History], k: int, sources: Sequence[str], only: str | None) -> Rows:
        """Give each user's candidates without the history's items: (U, k) int64, best first, then `NOT_FOUND`.

        only: one of `sources`, whose candidates alone are wanted, without those that popularity fills up with; None is
        the default profile's answer.
        """
        ranked = np.full((len(users), k), NOT_FOUND, dtype=np.int64)
        quotas = {} if only is None else {name: k if name == only else 0 for name in sources}
        for start in range(0, len(users), BATCH):
            part = users[start : start + BATCH]
            request = pb.RetrieveBatchRequest(requests=[self._request(user, k, quotas) for user in part])
            for row, response in enumerate(self._call(self._stub.RetrieveBatch, request).responses, start):
                wanted = len(response.candidates) - (0 if only is None else response.backfilled)
                ids = np.array([candidate.item_id for candidate in response.candidates[:wanted]], dtype=np.uint64)
                ranked[row, :wanted] = self._rows(ids)
        return ranked

    @cached_property
    def _info(self) -> pb.GetServingInfoResponse:
        info: pb.GetServingInfoResponse = self._call(self._stub.GetServingInfo, pb.GetServingInfoRequest())
        return info

    def _request(self, whole: History, k: int, quotas: dict[str, int]) -> pb.RetrieveRequest:
        """Send as much of the history as the server takes; what is older is not wanted in the answer, either."""
        user = whole.recent(self._info.max_history)
        older = np.unique(whole.rows[: len(whole) - len(user)])
        history = [
            pb.Interaction(item_id=int(item), type=pb.InteractionType.Name(int(kind)), timestamp_ms=int(time))
            for item, kind, time in zip(self._item_ids[user.rows], user.types, user.times_ms, strict=True)
        ]
        features = {
            name: pb.FeatureValue(category=value) if isinstance(value, str) else pb.FeatureValue(number=value)
            for name, value in user.features.items()
        }
        return pb.RetrieveRequest(
            country=user.country,
            history=history,
            k=k,
            exclude_history=True,
            filters=pb.Filters(excluded_item_ids=self._item_ids[older].tolist()),
            features=features,
            source_quotas=quotas,
            timestamp_ms=user.asked_ms(),
        )

    def _rows(self, ids: NDArray[np.uint64]) -> Rows:
        place = np.searchsorted(self._item_ids, ids, sorter=self._order)
        rows = self._order[np.minimum(place, len(self._order) - 1)]
        return np.where(self._item_ids[rows] == ids, rows, NOT_FOUND).astype(np.int64)

    def _call(self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        try:
            return method(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            message = f"the server at {self._address} answered {error.code().name}: {error.details()}"
            raise ServerError(message) from error
