"""What sync and asyncio have in common: messages of the smaller calls, and what a health check said."""

import time
from collections.abc import Sequence

import grpc

from protos.retrieval.v1 import retrieval_pb2 as pb
from shortlist.client.answer import Answer, answer_of_message
from shortlist.client.channel import SERVICE, Settings
from shortlist.client.errors import UnavailableError
from shortlist.client.request import Filters, item_ref
from shortlist.client.wire import SERVING, HealthCheckRequest, HealthCheckResponse

HEALTH_TIMEOUT_S = 1.0
HEALTH_EVERY_S = 0.05


class Tries:
    """The time of one call, and how often it may move to another connection: once to each.

    Connections whose worker died fail at once until they are open again, and about half of them may have had the same.
    """

    def __init__(self, settings: Settings, timeout_s: float | None) -> None:
        self._ends = time.monotonic() + (settings.timeout_s if timeout_s is None else timeout_s)
        self._left = settings.connections

    def left_s(self) -> float:
        """Seconds that the next try may take."""
        return max(0.0, self._ends - time.monotonic())

    def again(self, code: grpc.StatusCode) -> bool:
        """Count a try that failed; whether another is worth it."""
        self._left -= 1
        return code is grpc.StatusCode.UNAVAILABLE and self._left > 0 and self.left_s() > 0


def similar_request(
    country: str, item: int | str, k: int, source: str, filters: Filters | None
) -> pb.SimilarItemsRequest:
    """Make the message of a `SimilarItems`."""
    message = filters.message() if filters is not None else None
    return pb.SimilarItemsRequest(country=country, item=item_ref(item), k=k, source=source, filters=message)


def batch_request(requests: Sequence[pb.RetrieveRequest]) -> pb.RetrieveBatchRequest:
    """Make the message of a `RetrieveBatch`."""
    return pb.RetrieveBatchRequest(requests=requests)


def batch_answers(raw: bytes) -> list[Answer]:
    """Read the reply of a `RetrieveBatch`."""
    return [answer_of_message(each) for each in pb.RetrieveBatchResponse.FromString(raw).responses]


def health_request() -> bytes:
    """Ask whether the retrieval service serves."""
    raw: bytes = HealthCheckRequest(service=SERVICE).SerializeToString()
    return raw


def serves(reply: bytes) -> bool:
    """Whether a health check said SERVING."""
    return bool(HealthCheckResponse.FromString(reply).status == SERVING)


def word_of(error: grpc.RpcError) -> str:
    """Give a failed check in one line."""
    return f"{error.code().name}: {error.details()}"


def does_not_serve(target: str, within_s: float, said: str) -> UnavailableError:
    """Say that waiting was in vain."""
    details = f"{target} does not serve within {within_s:g} s; last word: {said}"
    return UnavailableError(grpc.StatusCode.UNAVAILABLE, details)
